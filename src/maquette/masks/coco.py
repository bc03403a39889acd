"""COCO instance annotations: reading and writing polygons and run lengths. Used by masks.

Polygons are in pixel coordinates with the corner of the first pixel at (0, 0); a pixel
belongs to a polygon when its centre does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import cv2
import numpy as np
from skimage.draw import polygon as pixels_in_polygon

from maquette.errors import InputError
from maquette.geometry.boxes import pixel_box
from maquette.masks.annotations.drawn import BOX_ONLY
from maquette.masks.arrays import binary_plane
from maquette.masks.run_lengths import decode_rle, encode_rle
from maquette.photos.pixels import Size, shown
from maquette.photos.read import check_size
from maquette.types import InstanceMask, JsonObject

OTHER_FORMATS = {  # that are not read, by keys that only they have
    "GeoJSON": {"type", "features"},
    "an annotation of Supervisely": {"size", "objects"},
    "an export of Labelbox": {"data_row", "projects"},
    "an export of SuperAnnotate": {"metadata", "instances"},
    "a data set of Datumaro": {"items", "categories"},
}
MAX_ID_AS_LABEL = 999  # ids beyond are database keys, not labels


Corner = tuple[int, int]  # of a pixel, or a way between two: x, y


class _Side(NamedTuple):
    """A side of a pixel, walked with the pixel to the right; all are (x, y)."""

    start: Corner  # corner of the pixel
    along: Corner
    outward: Corner


_SIDES = (  # walked right, down, left, up
    _Side((0, 0), (1, 0), (0, -1)),
    _Side((1, 0), (0, 1), (1, 0)),
    _Side((1, 1), (-1, 0), (0, 1)),
    _Side((0, 1), (0, -1), (-1, 0)),
)


def masks_from_coco(
    document: Any,
    name: str,
    image_name: str | None,
    warnings: list[str],
) -> Iterator[InstanceMask]:
    """Yield the masks of one image, each in the size that the document gives. What is no mask is
    left out and named in ``warnings``, as is a crowd, which is read as one object.

    ``document`` is a COCO dictionary, or a list of annotations with run lengths as segmenters write
    them. The image is the only one, or the one whose file name has the stem of ``image_name``.
    Labels are the annotations' ids when these are small, else 1, 2, ... Raises InputError.
    """
    image, annotations, categories = _select(document, name, image_name)
    size = _image_size(image, name)
    left_out = 0
    for k, (label, annotation) in enumerate(zip(_labels_of(annotations), annotations)):
        called = f"annotation {annotation.get('id', k)}"
        segmentation = annotation.get("segmentation")
        if segmentation is None or (isinstance(segmentation, list) and not segmentation):
            warnings.append(f"{called} {BOX_ONLY}, and is left out")
            left_out += 1
            continue
        if annotation.get("iscrowd"):
            warnings.append(f"{called} is marked as a crowd; it is read as one object")
        mask = mask_from_segmentation(segmentation, size, f"{name}: {called}", warnings)
        if mask is None:
            warnings.append(f"{called} has fewer than three corners, and is left out")
            left_out += 1
            continue
        yield InstanceMask(label, mask, _category(annotation, categories))
    if annotations and left_out == len(annotations):
        raise InputError(
            f"{name}: none of its {left_out} annotations has a segmentation; "
            "give polygons or run lengths, or make masks of the boxes: maquette masks make --box"
        )


def _category(annotation: JsonObject, categories: dict[Any, str]) -> str:
    key = annotation.get("category_id")
    if not isinstance(key, (int, str)):
        return ""
    texts = {str(known): text for known, text in categories.items()}  # tools mix 1 and "1"
    return categories.get(key, texts.get(str(key), ""))


def _labels_of(annotations: Sequence[JsonObject]) -> Sequence[int]:
    ids = [a.get("id") for a in annotations]
    small = [i for i in ids if isinstance(i, int) and 0 < i <= MAX_ID_AS_LABEL]
    return small if len(set(small)) == len(ids) else range(1, len(ids) + 1)


def mask_from_segmentation(
    segmentation: Any,
    size: Size | None,
    where: str,
    warnings: list[str],
) -> np.ndarray | None:
    """Decode polygons, run lengths or a bool array to (H, W) bool; ``size`` is (H, W) of the image
    if known. None for polygons of fewer than three corners. Raises InputError.
    """
    if isinstance(segmentation, np.ndarray) or hasattr(segmentation, "detach"):
        return binary_plane(segmentation, where)
    if isinstance(segmentation, Mapping):
        given = segmentation.get("size")
        own = tuple(given) if isinstance(given, (list, tuple)) else ()
        if len(own) != 2 or not all(map(_is_side, own)):
            raise InputError(f"{where}: the run lengths have size {own}; expected [height, width]")
        if size is not None and own != size:
            raise InputError(
                f"{where}: the run lengths are for {shown(own)} pixels, "
                f"the image has {shown(size)}; export it again"
            )
        check_size((own[1], own[0]), where)
        return decode_rle(segmentation.get("counts", ""), own, where)
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
        raise InputError(
            f"{where}: has no segmentation; "
            "expected polygons or run lengths (a box alone is not a mask)"
        )
    if size is None:
        raise InputError(
            f"{where}: is a polygon, but the size of the image is not given; "
            "add an entry with width and height to 'images'"
        )
    alone = all(map(_is_number, segmentation)) or all(map(_is_point, segmentation))
    pieces = [segmentation] if alone else segmentation  # one polygon without the list around it
    polygons = [_corners(piece, where) for piece in pieces]
    whole = [polygon for polygon in polygons if len(polygon) >= 3]
    if whole and len(whole) < len(polygons):
        warnings.append(
            f"{where}: {len(polygons) - len(whole)} pieces of fewer than three corners are left out"
        )
    return rasterize_polygons(whole, size, where) if whole else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _is_point(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _corners(polygon: Any, where: str) -> np.ndarray:
    """[x0, y0, x1, y1, ...] or [[x0, y0], ...] -> corners (N, 2). Raises InputError."""
    try:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{where}: a polygon is not a list of numbers x0, y0, x1, y1, ...; export it again"
        ) from error
    if not np.isfinite(corners).all():
        raise InputError(f"{where}: a polygon has coordinates that are not finite; export it again")
    return corners


def rasterize_polygons(
    polygons: Sequence[Sequence[float] | np.ndarray], size: Size, where: str = "polygon"
) -> np.ndarray:
    """Union of polygons [x0, y0, x1, y1, ...] -> mask (H, W) bool of the pixels whose centres lie
    inside. Raises InputError.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        x, y = _corners(polygon, where).T - 0.5
        mask[pixels_in_polygon(y, x, size)] = True
    return mask


def polygons_from_mask(mask: np.ndarray) -> list[list[float]] | None:
    """Outlines of a mask (H, W) bool along the pixels' edges, or None when it has holes, which COCO
    polygons cannot express.

    Rasterising them gives the mask back exactly.
    """
    loops = list(_outlines(mask))
    if any(cv2.contourArea(loop, oriented=True) < 0 for loop in loops):
        return None
    return [loop.ravel().tolist() for loop in loops]


def coco_document(
    masks: Iterable[InstanceMask],
    size: Size,
    file_name: str,
    *,
    polygons: bool,
) -> JsonObject:
    """Describe masks of an image of ``size`` (H, W) as a COCO dictionary; masks with holes are run
    lengths in either case.
    """
    masks = list(masks)
    names = sorted({m.name for m in masks})
    category = {text: k + 1 for k, text in enumerate(names)}
    annotations = []
    for m in masks:
        x0, y0, x1, y1 = pixel_box(m.mask)
        shape = (polygons_from_mask(m.mask) if polygons else None) or encode_rle(m.mask)
        entry: JsonObject = {
            "id": m.label,
            "image_id": 1,
            "category_id": category[m.name],
        }
        entry |= {"segmentation": shape, "area": int(m.mask.sum())}
        entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
        annotations.append(entry)
    image = {
        "id": 1,
        "file_name": file_name,
        "width": size[1],
        "height": size[0],
    }
    categories = [{"id": k, "name": text} for text, k in category.items()]
    return {
        "images": [image],
        "annotations": annotations,
        "categories": categories,
    }


def _select(
    document: Any, name: str, image_name: str | None
) -> tuple[JsonObject, list[JsonObject], dict[Any, str]]:
    if isinstance(document, list):
        document = {"annotations": document}
    if not isinstance(document, dict) or not isinstance(document.get("annotations"), list):
        other = _format_of(document)
        known = f"looks like {other}" if other else "is JSON but has no 'annotations'"
        raise InputError(f"{name}: {known}; give COCO instance annotations")
    annotations = document["annotations"]
    images = document.get("images") or ([document["image"]] if "image" in document else [])
    if not all(isinstance(entry, dict) for entry in [*annotations, *images]):
        raise InputError(
            f"{name}: its annotations or images are not objects; give COCO instance annotations"
        )
    listed = [c for c in document.get("categories") or [] if isinstance(c, dict)]
    numbered = [c for c in listed if isinstance(c.get("id"), (int, str))]
    categories = {c["id"]: str(c.get("name", "")) for c in numbered}
    if not images:
        named = {str(a.get("image_id")) for a in annotations}
        if len(named) > 1:
            raise InputError(
                f"{name}: has annotations of {len(named)} images but no list of images; "
                "keep those of one image"
            )
        return {}, annotations, categories
    image = images[0] if len(images) == 1 else _image_by_name(images, name, image_name)
    if "image" not in document:
        annotations = _of_image(annotations, image, images, name)
    return image, annotations, categories


def _format_of(document: Any) -> str:
    """The name of a format that is known but not read; "" for others."""
    fits = (name for name, keys in OTHER_FORMATS.items() if keys <= set(document))
    return next(fits, "") if isinstance(document, dict) else ""


def _of_image(
    annotations: list[JsonObject],
    image: JsonObject,
    images: list[JsonObject],
    name: str,
) -> list[JsonObject]:
    """The annotations of an image, whose id may be a number in one place and text in another."""
    key = _key_of(image)
    known = {_as_text(_key_of(other)) for other in images}
    own = [a for a in annotations if a.get("image_id", key) == key]
    alike = [a for a in annotations if _as_text(a.get("image_id", key)) == _as_text(key)]
    if annotations and not any(_as_text(a.get("image_id", key)) in known for a in annotations):
        raise InputError(
            f"{name}: no annotation belongs to the image with the id {key!r}; "
            f"the first has image_id {annotations[0].get('image_id')!r}"
        )
    return own or alike


def _as_text(identifier: Any) -> str:
    """An id that tools write as 1, "1" or 1.0."""
    is_whole = isinstance(identifier, float) and identifier.is_integer()
    return str(int(identifier) if is_whole else identifier)


def _key_of(image: JsonObject) -> Any:
    return image.get("id", image.get("image_id"))


def _image_size(image: JsonObject, name: str) -> Size | None:
    height = image.get("height")
    width = image.get("width")
    if height is width is None:
        return None
    if not (_is_side(height) and _is_side(width)):
        raise InputError(
            f"{name}: its image has height {height!r} and width {width!r}; "
            "expected positive whole numbers"
        )
    check_size((width, height), name)
    return height, width


def _is_side(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0


def _image_by_name(images: list[JsonObject], name: str, image_name: str | None) -> JsonObject:
    if image_name is None:
        raise InputError(
            f"{name}: has {len(images)} images; "
            "give the photo too, it is looked up by its file name"
        )
    wanted = Path(image_name)
    paths = [Path(str(image.get("file_name", ""))) for image in images]
    exact = [image for image, path in zip(images, paths) if path.name == wanted.name]
    alike = [image for image, path in zip(images, paths) if path.stem == wanted.stem]
    before = [image for image in images if _name_before(image) == wanted.name]
    found = exact or alike or before
    if len(found) != 1:
        share = f"{len(found)} of its {len(images)} images"
        raise InputError(f"{name}: {share} have the photo's name {wanted.name}; rename it")
    return found[0]


def _name_before(image: JsonObject) -> Any:
    """What a picture was called before Roboflow gave it another name."""
    extra = image.get("extra")
    return extra.get("name") if isinstance(extra, dict) else None


def _outlines(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield closed loops (N, 2) of corners (x, y) along the pixels' edges, the object to the right:
    holes run the other way round.
    """
    edges = _directed_edges(mask)
    while edges:
        first = point = next(iter(edges))
        heading = (edges[first][0] + 3) % 4
        loop: list[Corner] = []
        while not loop or point != first:
            choices = edges[point]
            # Where two pixels touch at a corner only, turning right keeps their loops apart.
            turns = ((heading + 1) % 4, heading, (heading + 3) % 4)
            direction = next(turn for turn in turns if turn in choices)
            choices.remove(direction)
            if not choices:
                del edges[point]
            if direction != heading:
                loop.append(point)
            heading = direction
            dx, dy = _SIDES[direction].along
            point = (point[0] + dx, point[1] + dy)
        yield np.array(loop, np.float32)


def _directed_edges(mask: np.ndarray) -> dict[Corner, list[int]]:
    """Map each corner (x, y) to the directions, 0 right, 1 down, 2 left, 3 up, in which an edge
    with the object to its right leaves it.
    """
    height, width = mask.shape
    padded = np.pad(mask, 1)
    edges: dict[Corner, list[int]] = {}
    for direction, side in enumerate(_SIDES):
        dx, dy = side.outward
        neighbour = padded[1 + dy :, 1 + dx :][:height, :width]
        x0, y0 = side.start
        for y, x in np.argwhere(mask & ~neighbour).tolist():
            edges.setdefault((x + x0, y + y0), []).append(direction)
    return edges
