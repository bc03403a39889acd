"""Label Studio JSON: polygons, ellipses and brush strokes, in per cent of the picture's sides.

A brush stroke is a bit stream: the number of values (32 bits), the size of a value less one (5
bits), four sizes of run lengths less one (4 bits each), and then runs: one bit that says whether a
value is repeated, two that choose the size of the length, the length less one, and one value for a
repeated run or as many as its length. The values are the picture's pixels, red, green, blue and
opacity one after the other, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.masks.annotations.drawn import (
    Drawing,
    Size,
    ellipse_mask,
    finite_numbers,
    left_out,
    of_photo,
    picture_size,
    polygon_mask,
    records,
)
from maquette.types import JsonObject

CHANNELS = 4  # of a brush stroke; the last is the opacity
PER_CENT = 100.0


def is_label_studio(document: Any) -> bool:
    """Whether a JSON document is an export of Label Studio: a list of tasks, of which some may wait
    for their regions, or a task alone.
    """
    if isinstance(document, dict):
        return "data" in document and bool(_results(document))
    tasks = document if isinstance(document, list) else []
    return all(isinstance(task, dict) for task in tasks) and any(map(_results, tasks))


def label_studio_drawings(
    document: list[JsonObject] | JsonObject,
    photo: Size | None,
    photo_name: str | None,
    name: str,
    warnings: list[str],
) -> Iterator[Drawing]:
    """Every region with an area of the photo's task; of others a warning is added. InputError."""
    tasks = [document] if isinstance(document, dict) else document
    files = {k: _picture_of(task) for k, task in enumerate(tasks)}
    task = tasks[of_photo(files, photo_name, name)]
    for k, region in enumerate(records(_results(task), name)):
        value = region.get("value", region)
        kind = region.get("type") or _kind(value)
        if not isinstance(value, dict) or not kind.endswith("labels"):
            continue
        label = " ".join(map(str, value.get(kind) or []))
        where = f"{name}: region {k + 1} ({label})"
        height = region.get("original_height")
        size = picture_size(height, region.get("original_width"), photo, where)
        mask = _mask(kind, value, size, where)
        if mask is None:
            warnings.append(left_out(f"region {k + 1} ({label})", kind, "rectanglelabels"))
            continue
        yield Drawing(label, mask)


def _results(task: JsonObject) -> list[Any]:
    """The regions of a task, as the full and as the short export hold them."""
    for key in ("annotations", "completions", "predictions"):
        for annotation in task.get(key) or []:
            if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
                continue
            if isinstance(annotation.get("result"), list):
                return annotation["result"]
    for values in task.values():
        if isinstance(values, list) and values and all(map(_is_region, values)):
            return values
    return []


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and bool(_kind(value))


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    return next((key for key in value if key.endswith("labels") and key != "labels"), "")


def _picture_of(task: JsonObject) -> str:
    data = task.get("data", task)
    texts = [value for value in data.values() if isinstance(value, str)] if data else []
    return texts[0] if texts else ""


def _mask(
    kind: str,
    value: JsonObject,
    size: Size,
    where: str,
) -> np.ndarray | None:
    height, width = size
    if kind == "polygonlabels":
        corners = finite_numbers(value.get("points") or [], where).reshape(-1, 2)
        return polygon_mask(corners * (width, height) / PER_CENT, size, where)
    if kind == "ellipselabels":
        x, y, across, along = finite_numbers(
            [value.get(k) for k in ("x", "y", "radiusX", "radiusY")], where
        )
        centre = (x * width / PER_CENT, y * height / PER_CENT)
        radii = (across * width / PER_CENT, along * height / PER_CENT)
        turn = math.radians(float(finite_numbers([value.get("rotation") or 0], where)[0]))
        return ellipse_mask(centre, radii, size, where, turn)
    if kind == "brushlabels":
        return _brushed(value.get("rle"), size, where)
    return None


def _brushed(content: Any, size: Size, where: str) -> np.ndarray:
    """The pixels (H, W) bool that a brush stroke covers. Raises InputError."""
    expected = size[0] * size[1] * CHANNELS
    numbers_ok = isinstance(content, list) and all(map(_is_byte, content))
    if not numbers_ok:
        raise InputError(f"{where}: its brush stroke is no list of bytes; export it again")
    bits = _Bits(bytes(content), where)
    count = bits.take(32)
    if count != expected:
        picture = f"a picture of {size[1]} x {size[0]} pixels"
        raise InputError(
            f"{where}: its brush stroke has {count} values; expected {expected} for {picture}"
        )
    word = bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(expected, np.uint8)
    filled = 0
    while filled < expected:
        repeated = bits.take(1)
        run = min(bits.take(lengths[bits.take(2)]) + 1, expected - filled)
        if repeated:
            values[filled : filled + run] = bits.take(word) & 255
        else:
            values[filled : filled + run] = [bits.take(word) & 255 for _ in range(run)]
        filled += run
    return values.reshape(size[0], size[1], CHANNELS)[..., -1] > 0


class _Bits:
    """Numbers of any width out of bytes, highest bit first."""

    def __init__(self, content: bytes, where: str) -> None:
        self.bits = np.unpackbits(np.frombuffer(content, np.uint8))
        self.at = 0
        self.where = where

    def take(self, width: int) -> int:
        """The next number of ``width`` bits. Raises InputError at the end."""
        end = self.at + width
        if end > len(self.bits):
            raise InputError(f"{self.where}: its brush stroke is truncated; export it again")
        number = int("".join(map(str, self.bits[self.at : end])), 2)
        self.at = end
        return number


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 256
