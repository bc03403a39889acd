"""CVAT for images 1.1: XML with polygons, ellipses and masks, whose run lengths go row by row
within their own box.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from maquette.errors import InputError, contained
from maquette.masks.annotations.drawn import (
    BOX_ONLY,
    Drawing,
    Size,
    ellipse_mask,
    finite_numbers,
    of_photo,
    pasted,
    picture_size,
    polygon_mask,
)
from maquette.photos.read import check_size

DRAWN = ("polygon", "mask", "ellipse", "box", "polyline", "points", "cuboid", "skeleton")


def cvat_drawings(
    path: Path,
    photo: Size | None,
    photo_name: str | None,
    warnings: list[str],
) -> Iterator[Drawing]:
    """Every shape with an area of the photo's picture; of others a warning is added.

    Raises InputError.
    """
    name = str(path)
    root = _tree(path)
    if root.find("track") is not None:
        raise InputError(
            f"{name}: is CVAT for video (tracks); export the task as CVAT for images 1.1"
        )
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        what = "Pascal VOC, whose boxes are no masks" if root.tag == "annotation" else "XML"
        raise InputError(f"{name}: is {what}, not CVAT for images 1.1; export the task as that")
    files = {k: image.get("name", "") for k, image in enumerate(images)}
    image = images[of_photo(files, photo_name, name)]
    size = picture_size(_whole(image, "height"), _whole(image, "width"), photo, name)
    shapes = [shape for shape in image if shape.tag in DRAWN]
    for k, shape in enumerate(shapes):
        label = shape.get("label", "")
        where = f"{name}: {shape.tag} {k + 1} ({label})"
        mask = _mask(shape, size, where)
        if mask is None:
            reason = BOX_ONLY if shape.tag == "box" else "has no area"
            warnings.append(f"{shape.tag} {k + 1} ({label}) {reason}, and is left out")
            continue
        group = shape.get("group_id")
        yield Drawing(label, mask, None if group == "0" else group)  # which is none


def _tree(path: Path) -> ElementTree.Element:
    """The root of an XML file; one that defines entities, which may never end, is refused."""
    with contained(f"{path}: not valid XML", "export it again"):
        content = path.read_bytes()
        plain = content.replace(b"\0", b"")  # of UTF-16
        if b"<!ENTITY" in plain or b"<!DOCTYPE" in plain:
            raise InputError(
                f"{path}: defines entities of its own, which are never read; remove them"
            )
        return ElementTree.fromstring(content)


def _whole(element: ElementTree.Element, name: str) -> int | None:
    text = element.get(name)
    return int(text) if text is not None and text.isdecimal() else None


def _attributes(element: ElementTree.Element, names: str, where: str) -> np.ndarray:
    return finite_numbers([element.get(name, "nothing") for name in names.split()], where)


def _mask(shape: ElementTree.Element, size: Size, where: str) -> np.ndarray | None:
    if shape.tag == "polygon":
        corners = [corner.split(",") for corner in shape.get("points", "").split(";")]
        return polygon_mask(corners, size, where)
    if shape.tag == "ellipse":
        x, y, across, along = _attributes(shape, "cx cy rx ry", where)
        turn = math.radians(float(shape.get("rotation") or 0))
        return ellipse_mask((x, y), (across, along), size, where, turn)
    if shape.tag == "mask":
        left, top, width, height = _attributes(shape, "left top width height", where)
        return pasted(_decoded(shape, int(height), int(width), where), left, top, size, where)
    return None


def _decoded(
    shape: ElementTree.Element,
    height: int,
    width: int,
    where: str,
) -> np.ndarray:
    """Run lengths that begin with background, row by row, -> (height, width) bool."""
    check_size((width, height), where)
    runs = finite_numbers(shape.get("rle", "").split(","), where).astype(np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise InputError(
            f"{where}: its run lengths add up to {runs.sum()} pixels, its box has "
            f"{width} x {height}; export it again"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
