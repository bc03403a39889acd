"""Depth, camera and gravity as users give them -> GivenGeometry of one photo, checked.

In the flow: StoredDepth and StoredCamera, the photo's size and masks -> z-depth on the photo's own
pixels, in metres where the unit is known. What cannot belong to the photo is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import cv2
import numpy as np

from maquette.errors import InputError, contained
from maquette.geometry.cameras import intrinsics_from_focal
from maquette.given.cameras import CameraSource, StoredCamera, read_camera
from maquette.given.depth import DepthSource, read_depth, read_points
from maquette.given.stored import StoredDepth
from maquette.masks.labels import labels_in
from maquette.options import DEPTH_KINDS, METRES, parse_depth_unit
from maquette.photos.pixels import ASPECT_TOLERANCE, Size, same_aspect, shown
from maquette.types import Focal, GivenGeometry, StrPath

LARGE_METRES = 50.0  # a median above is no scene in metres
FEW = 0.001  # share of the pixels; fewer known ones are no depth map
FLAT = 1.001  # farthest over nearest; a map of less tells nothing
COARSE = 160  # pixels of the longer side, when outlines and steps of depth are compared
ASIDE = 14  # of these that masks are moved, to know what chance gives
CHANCE = 0.2  # share of misplaced outlines at which a depth map has a step, which says how large
LARGE_STEP = 0.05  # is one, also where crowded objects have larger ones by chance
LEAST_SHARE = 0.28  # of the outlines in place
FEW_STEPS = 100  # fewer known ones tell nothing
FLATNESS = 0.001  # mean step elsewhere, below which there are none
APART = 2  # pixels between an outline and where depth is compared
POINTS_REMEDY = "expected x right, y down, z forward, one point for each pixel"
MOST_SPREAD = 0.02  # of the longer side, by which points may miss their pixels on average
LARGEST_RAY = 1e3  # x or y over z; farther aside no pinhole camera sees
FOCAL_TOLERANCE = 0.25  # relative, between a given focal length and the photo's EXIF data
GravitySource: TypeAlias = str | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False)
class GeometrySource:
    """What a user gives beside photo and masks; all of it may be missing."""

    depth: DepthSource | None = None
    depth_unit: str | float = "auto"  # see ``options.parse_depth_unit``
    depth_kind: str = "z"  # z, ray (distance from the camera) or inverse (1 / z)
    intrinsics: CameraSource | None = None
    points: StrPath | np.ndarray | None = None  # (H, W, 3), instead of a depth map
    gravity: GravitySource | None = None  # where it pulls, in the camera's axes (x right, y down)

    @property
    def is_there(self) -> bool:
        """Whether anything is given."""
        given = (self.depth, self.intrinsics, self.points, self.gravity)
        return any(value is not None for value in given)


KNOWN = tuple(field.name for field in fields(GeometrySource))


@dataclass(frozen=True, eq=False)
class FittedGeometry:
    """Geometry of one photo, and what to tell of it."""

    geometry: GivenGeometry
    focal: Focal | None
    warnings: tuple[str, ...]
    unit: str  # the unit that was taken, and why


@dataclass(frozen=True, eq=False)
class Shown:
    """What is known of the photo."""

    full: Size  # (H, W) of its file
    labels: np.ndarray  # (h, w) int of the picture that is worked on; 0 = background
    focal: Focal | None = None  # as its file tells
    name: str = ""


def fit_geometry(source: GeometrySource, photo: Shown) -> FittedGeometry:
    """Geometry of the picture that is worked on. Raises InputError."""
    size: Size = photo.labels.shape[:2]
    focal = photo.focal
    stored = _stored(source, photo.name)
    camera = _camera(source, stored, photo.name)
    warnings = list(camera.warnings) if camera else []
    intrinsics = None if camera is None else scaled_intrinsics(camera, photo.full, size)
    told = focal
    if intrinsics is not None:
        told = Focal(float(intrinsics[0, 0]) / max(size), f"given, {camera.name}" if camera else "")
        _same_focal(told, focal)
    depth = None
    scale = Scale(None, "no depth")
    if stored is not None:
        scale = depth_scale(stored, source.depth_unit, source.depth_kind)
        warnings += scale.warnings
        matrix = intrinsics if intrinsics is not None else centred_intrinsics(told, size)
        depth = z_depth(stored, scale, source.depth_kind, size, matrix)
        warnings += _doubts(depth, photo.labels, stored.name)
        check_outlines(depth, photo.labels, stored.name)
    down = None if source.gravity is None else _gravity(source.gravity)
    name = stored.name if stored else camera.name if camera else "gravity"
    geometry = GivenGeometry(depth, scale.metres is not None, intrinsics, down, name)
    return FittedGeometry(geometry, told, tuple(warnings), scale.reason)


def _stored(source: GeometrySource, photo: str) -> StoredDepth | None:
    if source.depth is not None and source.points is not None:
        raise InputError("both a depth map and points are given; give one of the two")
    if source.points is not None:
        if source.depth_kind != "z":
            raise InputError(f"points have no depth kind, got {source.depth_kind!r}; leave it out")
        return read_points(source.points)
    return None if source.depth is None else read_depth(source.depth, photo)


def _camera(source: GeometrySource, stored: StoredDepth | None, photo: str) -> StoredCamera | None:
    """The camera that is given, else the one in the depth's file, else that of its points."""
    if source.intrinsics is not None:
        return read_camera(source.intrinsics, photo)
    if stored is None:
        return None
    if stored.intrinsics is not None:
        height, width = stored.values.shape
        return replace(
            read_camera(stored.intrinsics),
            width=width,
            height=height,
            name=stored.name,
        )
    return None if stored.points is None else camera_of_points(stored)


def camera_of_points(stored: StoredDepth) -> StoredCamera:
    """The pinhole camera that sees points (H, W, 3) at their own pixels, by least squares."""
    points = stored.points
    if points is None:
        raise InputError(f"{stored.name}: has no points")
    height, width = stored.values.shape
    rows, columns = np.nonzero((stored.values > 0) & np.isfinite(points).all(-1))
    if len(rows) < 100:
        raise InputError(f"{stored.name}: only {len(rows)} points lie before the camera")
    with contained(f"{stored.name}: no camera can be found for its points", POINTS_REMEDY):
        rays = points[rows, columns, :2] / points[rows, columns, 2:]
        matrix = np.eye(3)
        for axis, pixels in enumerate((columns + 0.5, rows + 0.5)):
            focal, centre, spread = _line(rays[:, axis], pixels)
            if not (focal > 0 and spread < MOST_SPREAD * max(width, height)):
                raise InputError(
                    f"{stored.name}: no pinhole camera sees these points at their pixels; "
                    f"{POINTS_REMEDY}"
                )
            matrix[axis, axis] = focal
            matrix[axis, 2] = centre
    return StoredCamera(matrix, width, height, stored.name)


def _line(rays: np.ndarray, pixels: np.ndarray) -> tuple[float, float, float]:
    """Slope and offset of the pixels (N,) over the rays (N,), and how far off they are on average
    (root mean square).
    """
    if not np.isfinite(rays).all() or np.abs(rays).max() > LARGEST_RAY:
        return 0.0, 0.0, np.inf
    design = np.stack([rays, np.ones(len(rays))], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, pixels, rcond=None)
    off = design @ [slope, offset] - pixels
    return float(slope), float(offset), float(np.sqrt(np.square(off).mean()))


def scaled_intrinsics(camera: StoredCamera, full: Size, size: Size) -> np.ndarray:
    """(3, 3) intrinsics of the pixels of a picture of a size (H, W), made of a photo of the size
    ``full``. InputError when they are of another aspect.
    """
    height, width = size
    if camera.normalised:
        return np.diag([width, height, 1.0]) @ camera.matrix
    own = full
    if camera.width is None or camera.height is None:
        _centre_inside(camera, full)
    else:
        own = camera.height, camera.width
    if not same_aspect(own, full):
        raise InputError(
            f"{camera.name}: is of a picture of {shown(own)}, the photo has {shown(full)}; "
            "give the camera of this photo"
        )
    fit = np.array([width / own[1], height / own[0], 1.0])
    return np.diag(fit) @ camera.matrix


def _centre_inside(camera: StoredCamera, size: Size) -> None:
    x, y = camera.matrix[:2, 2]
    height, width = size
    if not (0.2 * width < x < 0.8 * width and 0.2 * height < y < 0.8 * height):
        raise InputError(
            f"{camera.name}: its principal point ({x:.0f}, {y:.0f}) is not near the middle of the "
            f"photo of {shown(size)}; give the camera of this picture, or its width and height in "
            "a JSON file"
        )


def _same_focal(given: Focal, told: Focal | None) -> None:
    if told is None:
        return
    off = given.ratio / told.ratio
    if not 1 - FOCAL_TOLERANCE < off < 1 / (1 - FOCAL_TOLERANCE):
        raise InputError(
            f"the given focal length is {given.ratio:.2f} of the photo's longer side, its file "
            f"says {told.ratio:.2f} ({told.source}); give the camera of this photo, or a copy of "
            "the photo without EXIF data"
        )


@dataclass(frozen=True)
class Scale:
    """How stored values become lengths."""

    metres: float | None  # per stored unit; None = unknown
    reason: str
    warnings: tuple[str, ...] = ()


def depth_scale(stored: StoredDepth, unit: str | float, kind: str) -> Scale:
    """Metres per stored unit: by the type of the file first, by its values only with a warning."""
    asked = parse_depth_unit(unit)
    if isinstance(asked, float):
        return Scale(asked, f"{asked:g} m, as given")
    if asked == "relative":
        return Scale(None, "none, as given")
    if asked != "auto":
        return Scale(METRES[asked], f"{asked}, as given")
    if kind == "inverse":
        return Scale(None, "none: inverse depth of an unknown scale (give --depth-unit)")
    known = stored.values[_known(stored.values)]
    median = float(np.median(known)) if known.size else 0.0
    if stored.whole and stored.bits <= 8:
        raise InputError(
            f"{stored.name}: a picture of 8 bits holds no measured depth; say what one step is "
            "with --depth-unit FACTOR (metres) or --depth-unit relative"
        )
    if stored.whole:
        return Scale(0.001, "mm, for it holds whole numbers")
    if median > LARGE_METRES:
        told = f"{stored.name}: taken as millimetres, for its median is {median:.0f}"
        return Scale(0.001, f"mm, for the median is {median:.0f}", (told + "; give --depth-unit",))
    return Scale(1.0, "m, for it holds fractions")


def _known(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values > 0)


def z_depth(
    stored: StoredDepth,
    scale: Scale,
    kind: str,
    size: Size,
    intrinsics: np.ndarray | None,
) -> np.ndarray:
    """(H, W) float32 z-depth on the photo's pixels, nan where nothing is known. InputError for
    another aspect, negative values, and when nothing is known.
    """
    if kind not in DEPTH_KINDS:
        raise InputError(f"a kind of depth is one of {', '.join(DEPTH_KINDS)}, got {kind!r}")
    values = stored.values
    if not same_aspect(values.shape, size):
        turned = values.shape[::-1] == size or same_aspect(values.shape[::-1], size)
        hint = "; it lies on its side: turn it as the photo is shown" if turned else ""
        raise InputError(
            f"{stored.name}: is {shown(values.shape)}, the photo {shown(size)}: not of one "
            f"picture (aspects may differ by {ASPECT_TOLERANCE:.0%}){hint}"
        )
    negative = np.isfinite(values) & (values < 0)
    if negative.mean() > FEW:
        raise InputError(
            f"{stored.name}: {negative.mean():.0%} of its values are negative; depth grows away "
            "from the camera"
        )
    known = _known(values)
    if known.mean() < FEW:
        raise InputError(f"{stored.name}: nothing is known (0, nan or inf nearly everywhere)")
    lengths = np.where(known, values * (scale.metres or 1.0), np.nan)
    if kind == "inverse":
        lengths = np.where(known, (scale.metres or 1.0) / values, np.nan)
    depth = _on_pixels(lengths, size)
    if kind == "ray":
        if intrinsics is None:
            raise InputError("distances along rays need a camera; give --intrinsics or --fov")
        depth = depth / ray_lengths(intrinsics, size)
    return depth.astype(np.float32)


def ray_lengths(intrinsics: np.ndarray, size: Size) -> np.ndarray:
    """(H, W) length of each pixel's ray with z = 1."""
    height, width = size
    x = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.sqrt(1.0 + x[None] ** 2 + y[:, None] ** 2)


def _on_pixels(depth: np.ndarray, size: Size) -> np.ndarray:
    """Nearest neighbour: a mean of two surfaces is on neither."""
    if depth.shape == size:
        return depth
    height, width = size
    return cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)


def centred_intrinsics(focal: Focal | None, size: Size) -> np.ndarray | None:
    """(3, 3) a centred camera of a known focal length."""
    if focal is None:
        return None
    height, width = size
    return intrinsics_from_focal(focal.ratio * max(size), width, height)


def _gravity(source: GravitySource) -> np.ndarray:
    """(3,) unit vector. InputError for anything else than three numbers of some length."""
    parts = source.replace(",", " ").split() if isinstance(source, str) else source
    try:
        vector = np.asarray([float(part) for part in parts], np.float64)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else 0.0
    if not (np.isfinite(length) and length > 1e-6):
        raise InputError(
            f"gravity is three numbers in the camera's axes (x right, y down, z forward), such as "
            f"0,1,0 for a level camera, got {source!r}"
        )
    if vector[1] <= 0:
        raise InputError(
            f"gravity {source!r} pulls upwards in the picture; y points down, so its second "
            "number is above 0 for an upright photo"
        )
    return vector / length


def _doubts(depth: np.ndarray, labels: np.ndarray, name: str) -> list[str]:
    known = np.isfinite(depth)
    doubts = []
    if known.mean() < 0.5:
        doubts.append(f"{name}: known for {known.mean():.0%} of the pixels; the rest is estimated")
    unknown = set(labels_in(labels)) - set(labels_in(np.where(known, labels, 0)))
    if unknown:
        which = ", ".join(map(str, sorted(unknown)))
        doubts.append(f"{name}: holds no known pixel of instance {which}; its depth is estimated")
    return doubts


def outline_steps(depth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) steps of log depth across the outlines of objects, where they are known; labels (H, W)
    int, 0 = background.

    Each side is carried on to the outline along its own slope, in inverse depth, in which planes
    are linear: ground that recedes has no steps.
    """
    inverse = 1 / depth
    carried = (APART + 0.5) / APART
    last = np.array([[side - 1] for side in depth.shape])
    steps = []
    for axis in (0, 1):
        edge = np.stack(np.nonzero(np.diff(labels, axis=axis)))
        apart = np.zeros((2, 1), int)
        apart[axis] = APART
        sides = []
        for start, way in ((edge, -apart), (edge + np.sign(apart), apart)):
            near, far = (inverse[tuple((start + k * way).clip(0, last))] for k in (1, 2))
            at_outline = near + carried * (near - far)
            sides.append(np.log(np.where(at_outline > 0, at_outline, np.nan)))
        steps.append(np.abs(sides[0] - sides[1]))
    every = np.concatenate(steps)
    return every[np.isfinite(every)]


def check_outlines(depth: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Refuse a depth map that is the same everywhere, or whose steps lie elsewhere than the
    outlines of the masks. InputError.
    """
    low, high = np.nanmin(depth), np.nanmax(depth)
    if high < FLAT * low:
        raise InputError(
            f"{name}: from {low:.4g} to {high:.4g} in the whole photo; expected how far away each "
            "pixel is"
        )
    every = max(1, round(max(depth.shape) / COARSE))  # smooth maps and noisy ones have steps there
    coarse = _without_noise(depth[::every, ::every])
    own = labels[::every, ::every]
    here = outline_steps(coarse, own)
    elsewhere = np.concatenate([outline_steps(coarse, other) for other in _misplaced(own)])
    if min(len(here), len(elsewhere)) < FEW_STEPS or elsewhere.mean() < FLATNESS:
        return
    step = np.clip(np.quantile(elsewhere, 1 - CHANCE), FLATNESS, LARGE_STEP)
    share = (here > 0.99 * step).mean()  # all steps may be equally large
    if share < LEAST_SHARE:
        raise InputError(
            f"{name}: has steps at {share:.0%} of the masks' outlines; it has them at {CHANCE:.0%} "
            f"of outlines by chance, at {LEAST_SHARE:.0%} or more of its own photo's; it seems to "
            "be of another photo"
        )


def _without_noise(depth: np.ndarray) -> np.ndarray:
    """The median of each pixel of a depth map (H, W) and its neighbours, nan where most are."""
    median = cv2.medianBlur(np.nan_to_num(depth).astype(np.float32), 3)
    return np.where(median > 0, median, np.nan)


def _misplaced(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Labels (H, W) where they do not belong: moved aside, and mirrored."""
    for axes in (0, 1, (0, 1)):
        yield np.flip(labels, axes)
    for way in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for sign in (-1, 1):
            yield np.roll(labels, sign * ASIDE * np.array(way), (0, 1))
