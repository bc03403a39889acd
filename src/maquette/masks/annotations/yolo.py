"""YOLO segmentation: a text file beside the photo, one object a line, class and corners in shares
of the picture's sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maquette.containers import decoded
from maquette.errors import InputError, contained
from maquette.masks.annotations.class_names import class_names
from maquette.masks.annotations.drawn import BOX_ONLY, Drawing, Size, finite_numbers, polygon_mask

LONGEST_NUMBER = 9  # digits of a class
BOX_NUMBERS = 4  # a line of a class and so many numbers is a box of the detection format


def yolo_drawings(path: Path, photo: Size | None, warnings: list[str]) -> Iterator[Drawing]:
    """Every outline; of boxes a warning is added. Raises InputError."""
    if photo is None:
        raise InputError(f"{path}: is in shares of the photo's sides; give the photo, too")
    with contained(f"{path}: not a text file", "export it again"):
        lines = decoded(path.read_bytes()).splitlines()
    names = class_names(path, warnings)
    for k, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        where = f"{path}: line {k}"
        number = _class_number(words[0], where)
        shares = finite_numbers(words[1:], where)
        if len(shares) == BOX_NUMBERS:
            warnings.append(f"line {k} {BOX_ONLY}, and is left out")
            continue
        mask = polygon_mask(_corners(shares, photo, where), photo, where)
        if mask is None:
            warnings.append(f"line {k} has fewer than three corners, and is left out")
            continue
        yield Drawing(names.get(number, ""), mask)


def _class_number(word: str, where: str) -> int:
    """A class, which some tools write as 0.0. Raises InputError."""
    whole = word.partition(".")[0] if word.strip("0123456789") == "." else word
    if not whole.isdecimal() or len(whole) > LONGEST_NUMBER or float(word) != int(whole):
        raise InputError(f"{where}: begins with {word[:40]!r}; expected the number of a class")
    return int(whole)


def _corners(shares: np.ndarray, photo: Size, where: str) -> np.ndarray:
    """Corners (N, 2) in pixels; the confidence that predictions end with is left out."""
    outside = (shares < -0.01) | (shares > 1.01)
    if outside.any():
        raise InputError(
            f"{where}: has the coordinate {shares[outside][0]:g}; expected shares of the photo's "
            "sides, from 0 to 1"
        )
    height, width = photo
    return shares[: len(shares) // 2 * 2].reshape(-1, 2) * (width, height)
