"""What annotation tools draw - polygons, ellipses, cut-out bitmaps - as masks, and drawings of one
group as one object.

Every module of this package turns a tool's file into Drawings; here they become instances. Pixel
coordinates as in COCO: the corner of the first pixel is (0, 0), and a pixel belongs to a shape when
its centre does.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from skimage.draw import polygon as pixels_in_polygon

from maquette.errors import InputError, present
from maquette.masks.labels import MAX_INSTANCES
from maquette.photos.pixels import Size, same_aspect, shown
from maquette.photos.read import check_size
from maquette.types import InstanceMask, JsonObject

MOST_SHAPES = 10_000  # pieces and empty masks included, of one picture
MOST_PIXELS = 2**35  # of these, altogether: 10,000 of 3 megapixels, 340 of 100
BOX_ONLY = "is only a box, which is no mask; `maquette masks make --box` makes one of it"


@dataclass
class Effort:
    """How much has been decoded for a picture, where pieces of objects and empty masks may be any
    number.
    """

    name: str  # of the source
    shapes: int = 0
    pixels: int = 0

    def add(self, mask: np.ndarray) -> None:
        """One more mask. InputError when they are too many."""
        self.shapes += 1
        self.pixels += mask.size
        if self.shapes > MOST_SHAPES or self.pixels > MOST_PIXELS:
            height, width = mask.shape
            raise InputError(
                f"{self.name}: has more than {self.shapes - 1} shapes in a picture of "
                f"{width} x {height} pixels, which is the most that is read; leave out empty ones, "
                "join the pieces of an object, or make the masks smaller"
            )


@dataclass(frozen=True)
class Drawing:
    """One drawn shape; shapes of the same ``group`` are one object, ``None`` is no group."""

    name: str
    mask: np.ndarray  # (H, W) bool
    group: Hashable = None


def left_out(what: str, kind: Any, box: str) -> str:
    """The warning about a drawing of a kind that gives no mask; ``box``: the kind of mere boxes."""
    reason = BOX_ONLY if kind == box else f"is a {kind} without an area"
    return f"{what} {reason}, and is left out"


def instances(
    drawings: Iterable[Drawing], name: str, warnings: Sequence[str] = ()
) -> Iterator[InstanceMask]:
    """Drawings of one picture -> its objects, numbered in the order in which they are drawn.

    Raises InputError when there is none, which repeats the first of the ``warnings`` that reading
    them gave, or too many.
    """
    objects: dict[Hashable, _Object] = {}
    effort = Effort(name)
    for k, drawing in enumerate(drawings):
        effort.add(drawing.mask)
        key = ("alone", k) if drawing.group is None else ("group", drawing.group)
        found = objects.setdefault(key, _Object(drawing.mask.shape))
        found.name = found.name or drawing.name
        found.add(drawing.mask)
        if len(objects) > MAX_INSTANCES:
            raise InputError(
                f"{name}: has more than {MAX_INSTANCES} objects, which is the most that is "
                "supported; select fewer"
            )
    if not objects:
        reason = f" ({warnings[0]})" if warnings else ""
        raise InputError(
            f"{name}: holds no outline or mask of any object{reason}; draw at least one"
        )
    for label, found in enumerate(objects.values(), start=1):
        yield InstanceMask(label, found.mask, found.name)


class _Object:
    """An object of which pieces are still to come. All objects of a picture wait for its end, so
    their masks are eight pixels a byte.
    """

    def __init__(self, size: Size) -> None:
        self.name = ""
        self.size = size
        self.packed: np.ndarray | None = None

    def add(self, mask: np.ndarray) -> None:
        """One more piece (H, W) bool."""
        packed = np.packbits(mask)
        self.packed = packed if self.packed is None else self.packed | packed

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        count = math.prod(self.size)
        packed = present(self.packed, "piece of the mask")
        return np.unpackbits(packed, count=count).astype(bool).reshape(self.size)


def polygon_mask(corners: Any, size: Size, where: str) -> np.ndarray | None:
    """A polygon's corners (N, 2) x, y in pixels -> mask (H, W) bool; ``None`` when there are fewer
    than three. Raises InputError.
    """
    points = finite_numbers(corners, where).reshape(-1, 2)
    if len(points) < 3:
        return None
    mask = np.zeros(size, bool)
    x, y = (points - 0.5).T
    rows, columns = pixels_in_polygon(y, x, size)
    mask[rows, columns] = True
    return mask


def ellipse_mask(
    centre: Sequence[Any],
    radii: Sequence[Any],
    size: Size,
    where: str,
    turn: Any = 0.0,
) -> np.ndarray:
    """An ellipse -> mask (H, W) bool; ``turn``: clockwise in the picture, radians. InputError."""
    x, y, across, along, turn = finite_numbers([*centre, *radii, turn], where)
    if across <= 0 or along <= 0:
        raise InputError(f"{where}: has the radii {across:g} and {along:g}; expected more than 0")
    reach = max(across, along)
    top, bottom = _within(y - reach, y + reach, size[0])
    left, right = _within(x - reach, x + reach, size[1])
    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
    aside = columns - x
    down = rows - y
    along_axis = (aside * math.cos(turn) + down * math.sin(turn)) / across
    across_axis = (down * math.cos(turn) - aside * math.sin(turn)) / along
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = along_axis**2 + across_axis**2 <= 1
    return mask


def _within(low: float, high: float, side: int) -> tuple[int, int]:
    """The pixels, from and to, that an interval touches in a picture."""
    first, last = np.clip([low, high + 1], 0, side)
    return math.floor(first), math.ceil(last)


def pasted(
    part: np.ndarray,
    left: Any,
    top: Any,
    size: Size,
    where: str,
) -> np.ndarray:
    """A small mask (h, w) at its place in a picture -> mask (H, W) bool. Raises InputError."""
    column, row = (round(value) for value in finite_numbers([left, top], where))
    height, width = part.shape
    below = row + height
    beside = column + width
    if min(column, row) < 0 or below > size[0] or beside > size[1]:
        given = f"its mask of {width} x {height} pixels at {column}, {row}"
        raise InputError(
            f"{where}: {given} does not lie within the picture of {size[1]} x {size[0]}"
        )
    mask = np.zeros(size, bool)
    mask[row : row + height, column : column + width] = part
    return mask


def finite_numbers(values: Any, where: str) -> np.ndarray:
    """Finite float64 numbers in one row. Raises InputError."""
    try:
        found = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: has coordinates that are no numbers; export it again"
        ) from error
    if not np.isfinite(found).all():
        raise InputError(f"{where}: has coordinates that are not finite; export it again")
    if len(found) % 2 and np.ndim(values) > 1:
        raise InputError(f"{where}: has an odd number of coordinates; export it again")
    return found


def picture_size(
    height: Any,
    width: Any,
    photo: Size | None,
    where: str,
) -> Size:
    """The size that a file gives for its picture, or else the photo's. Raises InputError."""
    if height is None or width is None:
        if photo is None:
            raise InputError(f"{where}: does not say how large its picture is; give the photo, too")
        return photo
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        raise InputError(
            f"{where}: its picture has the height {height!r} and the width {width!r}; "
            "expected positive whole numbers"
        )
    check_size((width, height), where)
    if photo is not None:
        check_aspect((height, width), photo, where)
    return height, width


def check_aspect(size: Size, photo: Size, name: str) -> None:
    """InputError when masks of a size (H, W) cannot be of a photo."""
    if same_aspect(size, photo):
        return
    turned = ""
    if same_aspect(size[::-1], photo):
        turned = " (is the photo turned by its EXIF orientation? then on the upright photo)"
    raise InputError(
        f"{name}: the masks have {shown(size)} pixels and the photo {shown(photo)}, "
        f"which is another aspect ratio; make masks for this very photo{turned}"
    )


def of_photo(pictures: Mapping[Any, str], photo: str | None, name: str) -> Any:
    """The key of the photo's picture among ``pictures``, key -> file name. Raises InputError."""
    if len(pictures) == 1:
        return next(iter(pictures))
    if not pictures:
        raise InputError(f"{name}: holds no picture; export it again")
    if photo is None:
        raise InputError(
            f"{name}: has {len(pictures)} pictures; give the photo too, it is looked up by its name"
        )
    wanted = base_name(photo)
    stem = PurePosixPath(wanted).stem
    exact = [key for key, file in pictures.items() if base_name(file) == wanted]
    alike = [key for key, file in pictures.items() if PurePosixPath(base_name(file)).stem == stem]
    # uploads to Label Studio get some digits before their names
    behind = [key for key, file in pictures.items() if base_name(file).endswith(f"-{wanted}")]
    found = exact or alike or behind
    if len(found) != 1:
        raise InputError(
            f"{name}: {len(found)} of its {len(pictures)} pictures have the photo's name {wanted}; "
            "rename it"
        )
    return found[0]


def base_name(path: Any) -> str:
    """The last part of a path as any system writes it."""
    return PureWindowsPath(str(path)).name


def records(values: Any, where: str) -> list[JsonObject]:
    """A list of JSON objects. Raises InputError."""
    listed = list(values.values()) if isinstance(values, Mapping) else values
    if not isinstance(listed, list) or not all(isinstance(value, dict) for value in listed):
        raise InputError(f"{where}: expected a list of JSON objects; export it again")
    return listed
