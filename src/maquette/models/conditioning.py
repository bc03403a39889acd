"""From a photo and labels to what the networks see: letterboxed pictures, crops, and the camera's
parameters.

In the flow: SceneInput (or a rendered training view) -> arrays for GeometryNet, PictureEncoder and
the lift. Training and generation share this file, so that they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import (
    intrinsics_from_focal,
    pitch_of,
    project,
    view_centric_rotation,
)
from maquette.geometry.transforms import similarity
from maquette.photos.pixels import scaled_size
from maquette.types import Camera


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo letterboxed to a square."""

    image: np.ndarray  # (S, S, 3) float32 in [-1, 1]; 0 outside the photo
    labels: np.ndarray  # (S, S) int32; 0 = background
    inside: np.ndarray  # (S, S) bool: the photo, not the letterbox
    scale: float  # square pixels per photo pixel
    offset: tuple[float, float]  # of the photo's left upper corner in the square, x and y

    @property
    def from_photo(self) -> np.ndarray:
        """(3, 3) maps pixels of the photo to those of the square."""
        matrix = np.diag([self.scale, self.scale, 1.0])
        matrix[:2, 2] = self.offset
        return matrix


def nearest_pixels(places: np.ndarray, count: int) -> np.ndarray:
    """Which of ``count`` pixels in a line each place is in; the nearest one outside of them."""
    return np.clip(places.astype(int), 0, count - 1)


def letterbox(image: np.ndarray, labels: np.ndarray, size: int) -> Picture:
    """Fit a photo (H, W, 3) uint8 and its label map (H, W) into a size x size square, centred,
    without changing the aspect.
    """
    height, width = labels.shape
    scale = size / max(height, width)
    offset = (size - width * scale) / 2, (size - height * scale) / 2
    centres = np.arange(size) + 0.5
    x = (centres - offset[0]) / scale
    y = (centres - offset[1]) / scale
    inside = _within(y, height)[:, None] & _within(x, width)[None, :]
    rows = nearest_pixels(y, height)
    columns = nearest_pixels(x, width)
    sampled = np.where(inside, labels[np.ix_(rows, columns)], 0).astype(np.int32)
    square = _fitted(image, scale, offset, size)
    return Picture(signed(square) * inside[..., None], sampled, inside, scale, offset)


def _fitted(
    image: np.ndarray,
    scale: float,
    offset: tuple[float, float],
    size: int,
) -> np.ndarray:
    """A photo (H, W, 3) uint8 in a square (S, S, 3), its edge going on outside of it."""
    height, width = image.shape[:2]
    if scale < 1:  # area-average first: warpAffine alone would alias
        smaller = scaled_size((width, height), scale)
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    fit = np.zeros((2, 3))
    for axis, (full, now) in enumerate(((width, image.shape[1]), (height, image.shape[0]))):
        step = scale / (now / full)
        fit[axis, axis] = step
        fit[axis, 2] = offset[axis] + 0.5 * step - 0.5
    edge = cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, fit, (size, size), flags=cv2.INTER_LINEAR, borderMode=edge)


def _within(places: np.ndarray, limit: int) -> np.ndarray:
    return (places >= 0) & (places < limit)


def signed(colours: np.ndarray) -> np.ndarray:
    """Bytes as float32 in [-1, 1]."""
    return colours.astype(np.float32) / 127.5 - 1.0


def geometry_input(picture: Picture) -> np.ndarray:
    """(6, S, S) float32 input of GeometryNet: colour, any object, outlines between objects, inside
    the photo.
    """
    labels = picture.labels
    return _with_planes(picture.image, [labels > 0, outlines(labels), picture.inside])


def _with_planes(pixels: np.ndarray, planes: list[np.ndarray]) -> np.ndarray:
    """(3 + K, S, S) float32 from colours (S, S, 3) and K planes (S, S)."""
    return np.concatenate([pixels.transpose(2, 0, 1), np.stack(planes)]).astype(np.float32)


def outlines(labels: np.ndarray) -> np.ndarray:
    """(H, W) float32 1 at the pixels whose label differs from that of the pixel to the left or
    above.
    """
    outline = np.zeros(labels.shape, np.float32)
    outline[:, 1:] += np.diff(labels, axis=1) != 0
    outline[1:] += np.diff(labels, axis=0) != 0
    return np.minimum(outline, 1.0)


@dataclass(frozen=True, eq=False)
class Cut:
    """A photo and its labels in a square window of P pixels a side."""

    # left, top and side in the photo's pixels; it may reach over the photo's edges
    window: tuple[int, int, int]
    colours: np.ndarray  # (P, P, 3) uint8; outside of the photo its edge goes on
    labels: np.ndarray  # (P, P) int; 0 outside of the photo
    inside: np.ndarray  # (P, P) bool the photo
    # rows (P, 1) and columns (1, P) of the photo at the window's pixels, clipped to the photo
    pixels: tuple[np.ndarray, np.ndarray]


def cut_window(
    image: np.ndarray,
    labels: np.ndarray,
    label: int,
    size: int,
    margin: float = 1.25,
) -> Cut:
    """The window around one label of a photo (H, W, 3) uint8 with labels (H, W), resampled to size
    x size.

    ``margin`` is the window's side over the longer side of the label's box.
    """
    x0, y0, x1, y1 = pixel_box(labels == label)
    side = max(int(np.ceil(margin * max(y1 - y0, x1 - x0))), 8)
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)
    return cut_square(image, labels, (left, top, side), size)


def cut_square(
    image: np.ndarray,
    labels: np.ndarray,
    window: tuple[int, int, int],
    size: int,
) -> Cut:
    """A square window (left, top, side) of a photo (H, W, 3) uint8 with labels (H, W), which it
    has to overlap, resampled to size x size.
    """
    left, top, side = window
    height, width = labels.shape
    ys, rows = overlap(top, side, height)
    xs, columns = overlap(left, side, width)
    missing = (rows.start, side - rows.stop, columns.start, side - columns.stop)
    part = cv2.copyMakeBorder(image[ys, xs], *missing, cv2.BORDER_REPLICATE)
    steps = (np.arange(size) + 0.5) * side / size
    y = np.floor(top + steps).astype(int)[:, None]
    x = np.floor(left + steps).astype(int)[None]
    inside = _within(y, height) & _within(x, width)
    pixels = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    shown = np.where(inside, labels[pixels], 0)
    return Cut(window, _resampled(part, size), shown, inside, pixels)


def overlap(start: int, span: int, limit: int) -> tuple[slice, slice]:
    """Where a window from ``start`` and a photo of ``limit`` pixels overlap: in the photo, and in
    the window.
    """
    first = max(start, 0)
    last = min(start + span, limit)
    return slice(first, last), slice(first - start, last - start)


def _resampled(square: np.ndarray, size: int) -> np.ndarray:
    """A square picture (P, P, ...) of another size: area-averaged when it becomes smaller."""
    how = cv2.INTER_AREA if square.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=how)


def close_look(cut: Cut, label: int) -> np.ndarray:
    """(7, P, P) float32 what GeometryNet sees of one object in its window: colour, any object,
    outlines, inside the photo, own mask.
    """
    planes = [cut.labels > 0, outlines(cut.labels), cut.inside, cut.labels == label]
    return _with_planes(signed(cut.colours) * cut.inside[..., None], planes)


def instance_crop(
    image: np.ndarray,
    labels: np.ndarray,
    label: int | None,
    size: int,
    margin: float = 1.2,
) -> np.ndarray:
    """(5, size, size) float32 input of PictureEncoder: the square crop around one instance
    (``None``: around all objects).

    Colour where the pixel is the instance's (0 elsewhere), the instance's mask, other objects'
    mask. ``margin`` is the crop's side over the longer side of the mask's box, as in I-Scene's
    preprocessing.
    """
    own = labels > 0 if label is None else labels == label
    x0, y0, x1, y1 = pixel_box(own)
    side = max(margin * max(y1 - y0, x1 - x0), 4.0)
    left = int(np.floor((x0 + x1) / 2 - side / 2))
    top = int(np.floor((y0 + y1) / 2 - side / 2))
    span = int(np.ceil(side)) + 1
    ys, rows = overlap(top, span, labels.shape[0])
    xs, columns = overlap(left, span, labels.shape[1])
    mask = own[ys, xs].astype(np.float32)
    window = np.zeros((span, span, 5), np.float32)
    seen = window[rows, columns]
    seen[..., :3] = signed(image[ys, xs]) * mask[..., None]
    seen[..., 3] = mask
    seen[..., 4] = (labels[ys, xs] > 0) * (1.0 - mask)
    colours = _resampled(window[..., :3], size)
    crop = np.concatenate([colours, _resampled(window[..., 3:], size)], axis=2)
    return np.ascontiguousarray(crop.transpose(2, 0, 1))


def camera_parameters(camera: Camera) -> np.ndarray:
    """(5,) float32 what GeometryNet regresses of a camera in the scene frame: pitch in radians,
    log(focal / longer picture side), the projection of the scene's centre relative to the picture's
    centre (x, y, in longer sides), and log(z / focal) with its z-depth: how many scene units a
    picture side spans there. A picture shows that ratio well, and focal and distance each on its
    own badly.
    """
    longer = max(camera.size)
    pixel, depth = project(camera, np.zeros(3))
    centre = (pixel - np.array(camera.size) / 2) / longer
    focal = camera.focal / longer
    numbers = [pitch_of(camera), np.log(focal), *centre, np.log(depth / focal)]
    return np.array(numbers, np.float32)


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
    intrinsics = intrinsics_from_focal(focal * max(width, height), width, height)
    return Camera(intrinsics, pose, width, height)


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
    depth = np.maximum(1.0 + np.expm1(relative) * nearer, 0.05)
    return known, np.log(depth).astype(relative.dtype)


def letterboxed_camera(camera: Camera, picture: Picture) -> Camera:
    """The camera of the square picture of a photo seen by ``camera``."""
    size = picture.labels.shape[0]
    return Camera(picture.from_photo @ camera.intrinsics, camera.world_from_camera, size, size)
