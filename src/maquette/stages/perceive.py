"""First stage of generation: read depth and camera off the photo, and fix the scene frame.

In the flow: SceneInput -> GeometryNet -> Perception (what every method starts from). The network's
camera already lives in the scene frame; the visible surfaces, lifted through it, then correct the
frame where the two disagree (``frame``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import DepthView
from maquette.masks.labels import labels_in, painted_labels
from maquette.models.conditioning import (
    Picture,
    camera_from_parameters,
    centre_depth,
    close_look,
    cut_window,
    geometry_input,
    letterbox,
    letterboxed_camera,
    with_focal,
)
from maquette.models.image_encoder import Geometry, GeometryNet
from maquette.models.relief import Windows
from maquette.photos.pixels import going_on, nearest_inside
from maquette.stages.contacts import in_contact
from maquette.stages.frame import (
    BACKGROUND_DEPTH,
    STEEPEST,
    DepthPicture,
    ObjectBoxes,
    frame_of_picture,
    into_boxes,
    picture_in_frame,
    shown_labels,
)
from maquette.stages.known import known_shapes
from maquette.stages.lines import seen_by_lines
from maquette.stages.measured import Measured, floors, put_in
from maquette.stages.shapes import (
    PlacedShape,
    as_measured,
    placed_shapes,
    with_surfaces,
)
from maquette.stages.support import find_supports, ground_under, likely_supports
from maquette.types import Camera, SceneInput, Support

LIFT_SIZE = 256  # pixels of the square picture that is lifted
TOGETHER = 16  # close looks that are taken at once


@dataclass(frozen=True, eq=False)
class Perception:
    """A photo and what one look at it gives, in the scene frame."""

    given: SceneInput  # the photo and its masks
    camera: Camera  # of the photo
    picture: Picture  # the letterboxed photo, LIFT_SIZE square
    # (S, S) float32 z-depth in scene units of the letterboxed photo, background far away
    depth: np.ndarray
    points: np.ndarray  # (S, S, 3) float32 visible surface in the scene frame
    label_map: np.ndarray  # (H, W) int32 of the photo, the nearest instance where masks overlap
    # label -> (2, 3) estimated box in the scene frame, hidden parts included
    boxes: ObjectBoxes = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # of the masks, by label; "" = not known
    # (H, W) float32 z-depth of the photo's own pixels, where it was given; else None
    given_depth: np.ndarray | None = None
    metres_per_unit: float | None = None  # None = not known
    supports: Mapping[int, Support] = field(default_factory=dict)  # by label
    # label -> height of what it stands on, where that is known; nothing of it lies below
    floors: Mapping[int, float] = field(default_factory=dict)
    # label -> what its outline tells, unless a measured depth says otherwise
    shapes: Mapping[int, PlacedShape] = field(default_factory=dict)

    @property
    def seen(self) -> DepthPicture:
        """Camera and depth map."""
        return DepthPicture(self.camera, self.picture, self.depth)

    @property
    def photo(self) -> np.ndarray:
        """(H, W, 3) uint8, sRGB."""
        return self.given.image

    @cached_property
    def view(self) -> DepthView:
        """The letterboxed photo and its depth as tensors, for lifting."""
        square = letterboxed_camera(self.camera, self.picture)
        labels = torch.from_numpy(self.picture.labels.astype(np.int64))
        image = torch.from_numpy(self.picture.image).permute(2, 0, 1).contiguous()
        intrinsics = torch.from_numpy(square.intrinsics)
        camera_from_scene = torch.from_numpy(square.camera_from_world)
        depth = torch.from_numpy(self.depth)
        return DepthView(depth, labels, image, intrinsics, camera_from_scene)

    @cached_property
    def photo_depth(self) -> np.ndarray:
        """(H, W) float32 the depth map on the photo's own pixels: that of the nearest pixel of the
        same object; far where there is none.

        A pixel at an outline often meets a coarse pixel of something else. Read as it is, the
        background's depth would tell ``fuse`` that the object is not there.
        """
        if self.given_depth is not None:
            return self.given_depth
        last = len(self.picture.labels) - 1

        def coarse(side: int, offset: float) -> np.ndarray:
            centres = np.arange(side) + 0.5
            return np.clip((centres * self.picture.scale + offset).astype(int), 0, last)

        left, top = self.picture.offset
        rows = coarse(self.camera.height, top)
        columns = coarse(self.camera.width, left)
        depth = self.depth[np.ix_(rows, columns)]
        foreign = self.picture.labels[np.ix_(rows, columns)] != self.label_map
        depth[foreign] = BACKGROUND_DEPTH
        y, x = np.nonzero(foreign)
        labels = self.label_map[y, x]
        for label in np.intersect1d(labels, shown_labels(self.picture)):
            at_y, at_x = y[labels == label], x[labels == label]
            own = self.depth[nearest_inside(self.picture.labels == label)]
            depth[at_y, at_x] = own[rows[at_y], columns[at_x]]
        return depth

    def points_in(self, label: int, scene_from_cube: np.ndarray) -> np.ndarray:
        """(N, 3) float32 visible surface of an instance in a cube's frame."""
        seen = self.points[self.picture.labels == label]
        return transform_points(np.linalg.inv(scene_from_cube), seen).astype(np.float32)

    def visible_box(self, label: int, trim: float = 0.02) -> np.ndarray | None:
        """(2, 3) box of an instance's visible surface without its most extreme points, and of the
        shape that its outline tells; None when no pixel is left.
        """
        points = self.points[self.picture.labels == label]
        if len(points) == 0:
            return None
        box = np.stack([np.quantile(points, q, axis=0) for q in (trim, 1 - trim)])
        if label not in self.shapes:
            return box
        return bounding_box(np.concatenate([box, self.shapes[label].box]))


@torch.no_grad()
def perceive(net: GeometryNet, given: SceneInput, revolve: bool = True) -> Perception:
    """Estimate depth and camera of a photo with GeometryNet (on its own device) and fix the scene
    frame by the visible surfaces.

    A focal length that the input tells is used as it is. ``revolve``: objects whose outline is that
    of a body of revolution or of a box are taken for one, unless a measured depth says otherwise.

    InputError when the objects are so small that the lifted picture shows none of them.
    """
    labels = painted_labels(given.masks, given.image.shape[:2])
    height, width = labels.shape
    picture = _lifted_picture(given, labels)
    coarse = letterbox(given.image, labels, net.config.size)
    looks = _looks(given.image, labels, picture, net.config.close)
    estimate = _estimate(net, coarse, looks)
    estimate = _with_camera(estimate, given, labels)
    depth = _upsample(estimate, coarse.labels, picture.labels)
    depth = _with_reliefs(depth, picture.labels, looks, estimate)
    seen = DepthPicture(
        camera_from_parameters(estimate.camera, width, height),
        picture,
        centre_depth(estimate.camera) * np.exp(depth),
    )
    known = Measured(seen, estimate.boxes, None, None)
    if given.geometry is not None:
        known = put_in(seen, estimate.camera, estimate.boxes, given.geometry, labels)
    is_measured = known.fine is not None  # such surfaces are where they are
    shapes = known_shapes(known.seen, given.image, labels) if revolve else {}
    if is_measured:
        shapes = as_measured(known.seen, shapes)
    else:
        known = replace(known, seen=with_surfaces(known.seen, shapes))
    boxed = known.seen if is_measured else into_boxes(known.seen, known.boxes)
    supports = find_supports(boxed, known.boxes)
    if not is_measured:
        known = replace(known, seen=in_contact(known.seen, boxed, supports))
    likely = likely_supports(boxed, known.boxes, supports)
    perception = _in_scene_frame(known, given, labels, supports)
    placed = placed_shapes(perception.seen, shapes)
    low = perception.floors or ground_under(perception.seen, likely)
    return replace(perception, supports=likely, shapes=placed, floors=low)


def _lifted_picture(given: SceneInput, labels: np.ndarray) -> Picture:
    """The photo at the size at which it is lifted. InputError when that shows no object."""
    picture = letterbox(given.image, labels, LIFT_SIZE)
    if not shown_labels(picture):
        raise InputError(
            f"{given.source or 'the photo'}: no mask covers a pixel at the working size of "
            f"{LIFT_SIZE}; mark larger areas or crop the photo"
        )
    return picture


def _with_camera(estimate: _Estimate, given: SceneInput, labels: np.ndarray) -> _Estimate:
    """With the focal length that is told, and the pitch to which straight lines agree; where
    nothing tells the focal length, they have a say in it, too.
    """
    pitch = float(estimate.camera[0])
    is_told = given.focal is not None
    focal = given.focal.ratio if given.focal else float(np.exp(estimate.camera[1]))
    measured = given.geometry.intrinsics if given.geometry else None
    if measured is not None:  # it takes the estimate's place later (measured.py)
        ratio = float(measured[0, 0]) / max(labels.shape)
        turned, _ = seen_by_lines(given.image, labels, pitch, ratio, is_known=True)
    else:
        turned, focal = seen_by_lines(given.image, labels, pitch, focal, is_told)
    camera, depth = with_focal(estimate.camera, estimate.depth, focal)
    camera[0] = turned
    return replace(estimate, camera=camera, depth=depth)


def _in_scene_frame(
    known: Measured,
    given: SceneInput,
    labels: np.ndarray,
    supports: Mapping[int, Support],
) -> Perception:
    """The perceived scene in the frame that it fills."""
    new_from_old = frame_of_picture(known.seen, known.boxes)
    seen, points = picture_in_frame(known.seen, new_from_old)
    scale = float(new_from_old[0, 0])
    shift = new_from_old[:3, 3]
    boxes = {label: box * scale + shift for label, box in known.boxes.items()}
    names = {mask.label: mask.name for mask in given.masks}
    fine = known.fine
    if fine is not None:
        fine = np.where(labels > 0, fine * scale, BACKGROUND_DEPTH).astype(np.float32)
    units = known.units_per_metre
    low = floors(known, supports, labels)
    perception = Perception(
        given,
        seen.camera,
        seen.picture,
        seen.depth,
        points,
        labels,
        boxes,
        names,
        fine,
        None if units is None else 1.0 / (units * scale),
        supports,
        {label: height * scale + float(shift[1]) for label, height in low.items()},
    )
    shown = shown_labels(seen.picture)
    missing = {label: perception.visible_box(label) for label in shown if label not in boxes}
    return replace(perception, boxes=boxes | missing)


@dataclass(frozen=True, eq=False)
class _ObjectWindow:
    """A window around one object of the photo."""

    picture: np.ndarray  # (7, P, P) see conditioning.close_look
    place: np.ndarray  # (3,) left, top and side in the letterboxed picture, whose side is 1

    @property
    def own(self) -> np.ndarray:
        """(P, P) bool the object's pixels."""
        return self.picture[6] > 0.5


@dataclass(frozen=True, eq=False)
class _Estimate:
    """What GeometryNet says of one picture."""

    depth: np.ndarray  # (S, S) log relative
    camera: np.ndarray  # (5,) see conditioning.camera_parameters
    # of the labels that have a pixel at the network's size; none when it has no layout head
    boxes: ObjectBoxes
    # label -> (P, P) of its window; none without close looks
    reliefs: dict[int, np.ndarray] = field(default_factory=dict)


def _looks(
    photo: np.ndarray,
    labels: np.ndarray,
    picture: Picture,
    size: int,
) -> dict[int, _ObjectWindow]:
    """The window of every label that the letterboxed picture shows, cut out of the photo itself at
    ``size`` pixels; none when that is 0.
    """
    looks = {}
    for label in shown_labels(picture) if size else ():
        cut = cut_window(photo, labels, label, size)
        seen = close_look(cut, label)
        place = np.array(cut.window) * picture.scale + [*picture.offset, 0]
        if seen[6].any():
            looks[label] = _ObjectWindow(seen, place / len(picture.labels))
    return looks


def _estimate(net: GeometryNet, picture: Picture, looks: Mapping[int, _ObjectWindow]) -> _Estimate:
    """Mean of what the network says of the picture and of its mirror image."""
    device = next(net.parameters()).device
    shown = shown_labels(picture)
    rows = np.searchsorted(shown, picture.labels) + 1
    numbered = np.where(picture.labels > 0, rows, 0).astype(np.int64)
    pixels = _with_mirror_image(torch.from_numpy(geometry_input(picture))).to(device)
    labels = _with_mirror_image(torch.from_numpy(numbered)).to(device)
    seen = net(pixels, labels)
    reliefs = _reliefs(net, seen, labels, shown, looks)
    depth, mirrored_depth = _array(seen.depth)
    camera, mirrored_camera = _array(seen.camera).astype(np.float64)
    boxes = {}
    if seen.boxes is not None:
        direct, mirrored = _array(seen.boxes).astype(np.float64)
        mirrored[..., 0] = -mirrored[:, ::-1, 0]
        boxes = dict(zip(shown, 0.5 * (direct + mirrored)))
    depth = 0.5 * (depth + mirrored_depth[:, ::-1])
    camera = 0.5 * (camera + mirrored_camera * np.array([1, 1, -1, 1, 1]))
    return _Estimate(depth, camera, boxes, reliefs)


def _with_mirror_image(pictures: Tensor) -> Tensor:
    """(2, ..., W) of pictures (..., W)."""
    return torch.stack([pictures, pictures.flip(-1)])


def _array(tensor: Tensor) -> np.ndarray:
    """Values of any device and precision in float32."""
    return tensor.float().cpu().numpy()


def _reliefs(
    net: GeometryNet,
    seen: Geometry,
    labels: Tensor,
    shown: Sequence[int],
    looks: Mapping[int, _ObjectWindow],
) -> dict[int, np.ndarray]:
    """Label -> (P, P) mean relief of a window and of its mirror image; seen and labels: of the
    picture and its mirror image.
    """
    reliefs: dict[int, np.ndarray] = {}
    row_of = {label: k + 1 for k, label in enumerate(shown)}
    chosen = list(looks)
    device = labels.device
    for start in range(0, len(chosen), TOGETHER):
        part = chosen[start : start + TOGETHER]
        pictures = torch.from_numpy(np.stack([looks[label].picture for label in part]))
        places = torch.from_numpy(np.stack([looks[label].place for label in part]))
        places = places.float().to(device)
        left, top, side = places.unbind(-1)
        mirrored = torch.stack([1 - left - side, top, side], dim=-1)
        # -1: too small for the network
        rows = torch.tensor([row_of.get(label, -1) for label in part], device=device)
        windows = Windows(
            _with_mirror_image(pictures.to(device)),
            torch.stack([places, mirrored]),
            rows.expand(2, -1),
        )
        direct, flipped = net.look_closely(seen.depth, seen.camera, labels, windows)["relief"]
        means = _array(0.5 * (direct + flipped.flip(-1)))
        for label, mean in zip(part, means):
            reliefs[label] = _smooth(mean, looks[label].own)
    return reliefs


def _smooth(relief: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A relief (P, P) blurred by a pixel, and going on beyond its own pixels: what changes from
    pixel to pixel is noise (docs/log.md).
    """
    whole = going_on(relief, own, STEEPEST / len(relief))
    return cv2.GaussianBlur(whole, (0, 0), 1.0)


def _with_reliefs(
    relative: np.ndarray,
    labels: np.ndarray,
    looks: Mapping[int, _ObjectWindow],
    estimate: _Estimate,
) -> np.ndarray:
    """A log depth map (S, S) in which every object keeps its mean and gets the relief of its close
    look.
    """
    size = len(labels)
    refined = relative.copy()
    centres = np.arange(size) + 0.5
    for label, relief in estimate.reliefs.items():
        left, top, side = looks[label].place
        own = looks[label].own.astype(np.float32)
        scale = len(relief) / (side * size)
        columns = ((centres - left * size) * scale - 0.5).astype(np.float32)
        rows = ((centres - top * size) * scale - 0.5).astype(np.float32)
        x, y = np.meshgrid(columns, rows)
        weight, values = (
            cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for part in (own, relief)
        )
        found = (labels == label) & (weight > 1e-3)
        if found.any():
            depth = values[found] * side * np.exp(-estimate.camera[1])
            refined[found] = relative[found].mean() + depth - depth.mean()
    return refined


def _upsample(estimate: _Estimate, labels: np.ndarray, fine_labels: np.ndarray) -> np.ndarray:
    """The log depth of labels (S, S) on a finer grid; a pixel mixes only coarse pixels of its own
    label, and what goes on beyond them, so that outlines stay sharp.
    """

    def finer(plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane, fine_labels.shape, interpolation=cv2.INTER_LINEAR)

    steepest = STEEPEST * float(np.exp(-estimate.camera[1])) / len(labels)
    fine = finer(estimate.depth)
    for label in labels_in(fine_labels):
        own = labels == label
        if own.any():
            inside = (fine_labels == label) & (finer(own.astype(np.float32)) > 1e-3)
            fine[inside] = finer(going_on(estimate.depth, own, steepest))[inside]
    return fine.astype(np.float32)
