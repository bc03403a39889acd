"""From a photo and labels to what the networks see: letterboxed pictures, crops, and the camera's
parameters.

In the flow: SceneInput (or a rendered training view) -> arrays for GeometryNet, PictureEncoder and
the lift. Training and generation share this file, so that they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maquette.geometry.cameras import (
    intrinsics_from_focal,
    pitch_of,
    project,
    view_centric_rotation,
)
from maquette.geometry.transforms import similarity
from maquette.types import Camera


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo letterboxed to a square."""

    image: np.ndarray  # (S, S, 3) float32 in [-1, 1]; 0 outside the photo
    labels: np.ndarray  # (S, S) int32; 0 = background
    inside: np.ndarray  # (S, S) bool: the photo, not the letterbox
    scale: float  # square pixels per photo pixel
    offset: tuple[float, float]  # of the photo's left upper corner in the square, x and y


def letterbox(image: np.ndarray, labels: np.ndarray, size: int) -> Picture:
    """Fit a photo (H, W, 3) uint8 and its label map (H, W) into a size x size square, centred,
    without changing the aspect.
    """
    height, width = labels.shape
    scale = size / max(height, width)
    offset = (size - width * scale) / 2, (size - height * scale) / 2
    affine = np.array(
        [[scale, 0, offset[0] + 0.5 * scale - 0.5], [0, scale, offset[1] + 0.5 * scale - 0.5]]
    )
    if scale < 1:  # area-average first: warpAffine alone would alias
        small = cv2.resize(
            image,
            (max(1, round(width * scale)), max(1, round(height * scale))),
            interpolation=cv2.INTER_AREA,
        )
        ratio = np.array([small.shape[1] / width, small.shape[0] / height])
        fit = np.array([[scale / ratio[0], 0, 0], [0, scale / ratio[1], 0]])
        fit[:, 2] = [offset[0] + 0.5 * fit[0, 0] - 0.5, offset[1] + 0.5 * fit[1, 1] - 0.5]
        square = cv2.warpAffine(
            small, fit, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    else:
        square = cv2.warpAffine(
            image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    centres = np.arange(size) + 0.5
    x = (centres - offset[0]) / scale
    y = (centres - offset[1]) / scale
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
    rows = np.clip(y.astype(int), 0, height - 1)
    columns = np.clip(x.astype(int), 0, width - 1)
    sampled = np.where(inside, labels[np.ix_(rows, columns)], 0).astype(np.int32)
    pixels = (square.astype(np.float32) / 127.5 - 1.0) * inside[..., None]
    return Picture(pixels, sampled, inside, scale, offset)


def geometry_input(picture: Picture) -> np.ndarray:
    """(6, S, S) float32 input of GeometryNet: colour, any object, outlines between objects, inside
    the photo.
    """
    labels = picture.labels
    planes = [(labels > 0).astype(np.float32), outlines(labels), picture.inside.astype(np.float32)]
    return np.concatenate([picture.image.transpose(2, 0, 1), np.stack(planes)]).astype(np.float32)


def outlines(labels: np.ndarray) -> np.ndarray:
    """(H, W) float32 1 at the pixels whose label differs from that of the pixel to the left or
    above.
    """
    outline = np.zeros(labels.shape, np.float32)
    outline[:, 1:] += labels[:, 1:] != labels[:, :-1]
    outline[1:] += labels[1:] != labels[:-1]
    return np.minimum(outline, 1.0)


@dataclass(frozen=True, eq=False)
class Cut:
    """A photo and its labels in a square window of P pixels a side."""

    window: tuple[
        int, int, int
    ]  # left, top and side in the photo's pixels; it may reach over the photo's edges
    colours: np.ndarray  # (P, P, 3) uint8; outside of the photo its edge goes on
    labels: np.ndarray  # (P, P) int; 0 outside of the photo
    inside: np.ndarray  # (P, P) bool the photo
    pixels: tuple[
        np.ndarray, np.ndarray
    ]  # rows (P, 1) and columns (1, P) of the photo at the window's pixels, clipped to the photo


def cut_window(
    image: np.ndarray, labels: np.ndarray, label: int, size: int, margin: float = 1.25
) -> Cut:
    """The window around one label of a photo (H, W, 3) uint8 with labels (H, W), resampled to size
    x size.

    ``margin`` is the window's side over the longer side of the label's box.
    """
    rows = np.flatnonzero((labels == label).any(1))
    columns = np.flatnonzero((labels == label).any(0))
    y0 = rows[0]
    y1 = rows[-1] + 1
    x0 = columns[0]
    x1 = columns[-1] + 1
    side = max(int(np.ceil(margin * max(y1 - y0, x1 - x0))), 8)
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)
    height, width = labels.shape
    part = cv2.copyMakeBorder(
        image[max(top, 0) : top + side, max(left, 0) : left + side],
        max(-top, 0),
        max(top + side - height, 0),
        max(-left, 0),
        max(left + side - width, 0),
        cv2.BORDER_REPLICATE,
    )
    colours = cv2.resize(
        part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    )
    steps = (np.arange(size) + 0.5) * side / size
    y = np.floor(top + steps).astype(int)[:, None]
    x = np.floor(left + steps).astype(int)[None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    pixels = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    return Cut((left, top, side), colours, np.where(inside, labels[pixels], 0), inside, pixels)


def close_look(cut: Cut, label: int) -> np.ndarray:
    """(7, P, P) float32 what GeometryNet sees of one object in its window: colour, any object,
    outlines, inside the photo, own mask.
    """
    pixels = (cut.colours.astype(np.float32) / 127.5 - 1.0) * cut.inside[..., None]
    planes = [cut.labels > 0, outlines(cut.labels), cut.inside, cut.labels == label]
    return np.concatenate([pixels.transpose(2, 0, 1), np.stack(planes)]).astype(np.float32)


def instance_crop(
    image: np.ndarray, labels: np.ndarray, label: int | None, size: int, margin: float = 1.2
) -> np.ndarray:
    """(5, size, size) float32 input of PictureEncoder: the square crop around one instance
    (``None``: around all objects).

    Colour where the pixel is the instance's (0 elsewhere), the instance's mask, other objects'
    mask. ``margin`` is the crop's side over the longer side of the mask's box, as in I-Scene's
    preprocessing.
    """
    own = labels > 0 if label is None else labels == label
    rows = np.flatnonzero(own.any(1))
    columns = np.flatnonzero(own.any(0))
    y0 = rows[0]
    y1 = rows[-1] + 1
    x0 = columns[0]
    x1 = columns[-1] + 1
    side = max(margin * max(y1 - y0, x1 - x0), 4.0)
    cx = (x0 + x1) / 2
    cy = (y0 + y1) / 2
    left = int(np.floor(cx - side / 2))
    top = int(np.floor(cy - side / 2))
    span = int(np.ceil(side)) + 1
    window = np.zeros((span, span, 5), np.float32)
    ys = slice(max(top, 0), min(top + span, labels.shape[0]))
    xs = slice(max(left, 0), min(left + span, labels.shape[1]))
    to_y = slice(ys.start - top, ys.stop - top)
    to_x = slice(xs.start - left, xs.stop - left)
    inside = own[ys, xs].astype(np.float32)
    window[to_y, to_x, :3] = (image[ys, xs].astype(np.float32) / 127.5 - 1.0) * inside[..., None]
    window[to_y, to_x, 3] = inside
    window[to_y, to_x, 4] = (labels[ys, xs] > 0) * (1.0 - inside)
    interpolation = cv2.INTER_AREA if span > size else cv2.INTER_LINEAR
    planes = [
        cv2.resize(window[..., part], (size, size), interpolation=interpolation)
        for part in (slice(0, 3), slice(3, 5))
    ]
    return np.ascontiguousarray(np.concatenate(planes, axis=2).transpose(2, 0, 1))


def camera_parameters(camera: Camera) -> np.ndarray:
    """(5,) float32 what GeometryNet regresses of a camera in the scene frame: pitch in radians,
    log(focal / longer picture side), the projection of the scene's centre relative to the picture's
    centre (x, y, in longer sides), and log(z / focal) with its z-depth: how many scene units a
    picture side spans there. A picture shows that ratio well, and focal and distance each on its
    own badly.
    """
    longer = max(camera.width, camera.height)
    pixel, depth = project(camera, np.zeros(3))
    centre = (pixel - np.array([camera.width, camera.height]) / 2) / longer
    focal = camera.intrinsics[0, 0] / longer
    return np.array([pitch_of(camera), np.log(focal), *centre, np.log(depth / focal)], np.float32)


def centre_depth(parameters: np.ndarray) -> float:
    """z-depth of the scene's centre, in scene units."""
    return float(np.exp(parameters[1] + parameters[4]))


def camera_from_parameters(parameters: np.ndarray, width: int, height: int) -> Camera:
    """The inverse of ``camera_parameters`` for an upright view-centric camera with centred
    principal point.
    """
    pitch, log_focal, x, y, log_span = (float(p) for p in parameters)
    focal = np.exp(log_focal)
    rotation = view_centric_rotation(pitch)
    centre = np.exp(log_span) * np.array([x, y, focal])
    pose = similarity(1.0, rotation, -rotation @ centre)
    return Camera(
        intrinsics_from_focal(focal * max(width, height), width, height), pose, width, height
    )


def with_focal(
    parameters: np.ndarray, relative: np.ndarray, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """The camera's parameters (5,) and log relative depth (...) of the same picture when its focal
    length (in longer sides) is known.

    What is seen in the picture plane stays: the projected centre, and how many scene units a
    picture side spans at the centre. So does how far, in scene units, every point lies before or
    behind the centre: the camera comes nearer or goes away (a dolly zoom).
    """
    known = np.array(parameters, np.float64)
    known[1] = np.log(focal)
    nearer = np.exp(float(parameters[1]) - known[1])
    return known, np.log(np.maximum(1.0 + np.expm1(relative) * nearer, 0.05)).astype(relative.dtype)


def letterboxed_camera(camera: Camera, picture: Picture) -> Camera:
    """The camera of the square picture of a photo seen by ``camera``."""
    fit = np.array(
        [[picture.scale, 0, picture.offset[0]], [0, picture.scale, picture.offset[1]], [0, 0, 1.0]]
    )
    size = picture.labels.shape[0]
    return Camera(fit @ camera.intrinsics, camera.world_from_camera, size, size)
