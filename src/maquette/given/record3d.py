"""Record3D's archives (.r3d, of iPhones and iPads): the depth of one frame and its camera.

In the flow: a ZIP with ``metadata`` (JSON: K column by column and w, h of the pictures, dw, dh of
the depth) and ``rgbd/N.depth`` (LZFSE, float32 metres) -> StoredDepth. The frame is the one whose
number the photo's file has. LZFSE is read by pyliblzfse (extra ``record3d``).
"""

from __future__ import annotations

import fnmatch
import json
import zipfile
from pathlib import Path, PurePath

import numpy as np

from maquette.containers import MemoryBudget
from maquette.errors import InputError, MissingExtraError, contained
from maquette.given.stored import StoredDepth
from maquette.types import JsonObject

REMEDY = "export it again from Record3D as .r3d"
INSTALL = "pip install 'maquette[record3d]'"
FRAMES = "rgbd/"
DEPTH = ".depth"


def read_record3d(path: Path, photo: str, budget: MemoryBudget) -> StoredDepth:
    """The depth of the frame ``photo`` (such as 12.jpg; any name when there is one frame alone).
    Raises InputError.
    """
    with contained(f"{path}: not a sound Record3D archive", REMEDY), zipfile.ZipFile(path) as file:
        depths = fnmatch.filter(file.namelist(), f"{FRAMES}*{DEPTH}")
        numbers = sorted(PurePath(name).stem for name in depths)
        frame = _frame(numbers, PurePath(photo).stem, path)
        entries = [file.getinfo("metadata"), file.getinfo(f"{FRAMES}{frame}{DEPTH}")]
        budget.take(sum(entry.file_size for entry in entries), path)
        told, packed = (file.read(entry) for entry in entries)
        metadata = json.loads(told)
        height, width = _sides(metadata)
        budget.take(4 * height * width, path)
        values = np.frombuffer(_unpacked(packed, path), "<f4")
        if values.size != height * width:
            raise InputError(
                f"{path}: frame {frame} has {values.size} depths, expected {width} x {height}; "
                f"{REMEDY}"
            )
        intrinsics = _intrinsics(metadata, height, width)
    depth = values.reshape(height, width).astype(np.float64)
    return StoredDepth(depth, False, 32, f"{path}: frame {frame}", intrinsics)


def _frame(numbers: list[str], wanted: str, path: Path) -> str:
    if wanted in numbers:
        return wanted
    if len(numbers) == 1:
        return numbers[0]
    raise InputError(
        f"{path}: holds {len(numbers)} frames and none is {wanted!r}; take the photo out of its "
        "folder rgbd and keep its name, such as 0.jpg"
    )


def _sides(metadata: JsonObject) -> tuple[int, int]:
    """Height and width of the depth."""
    height = int(metadata.get("dh") or metadata["h"])
    width = int(metadata.get("dw") or metadata["w"])
    if not (0 < height < 1 << 14 and 0 < width < 1 << 14):
        raise InputError(f"its depth is {width} x {height}; {REMEDY}")
    return height, width


def _intrinsics(metadata: JsonObject, height: int, width: int) -> np.ndarray:
    """(3, 3) K of the pictures at the depth's size; centres of the first pixels at 0."""
    matrix = np.array(metadata["K"], np.float64).reshape(3, 3).T
    scale = np.array([width / metadata["w"], height / metadata["h"]])
    matrix[:2, :2] *= scale[:, None]
    matrix[:2, 2] = (matrix[:2, 2] + 0.5) * scale - 0.5
    return matrix


def _unpacked(packed: bytes, path: Path) -> bytes:
    try:
        import liblzfse
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading Record3D's depth needs pyliblzfse: {INSTALL}"
        ) from error
    return liblzfse.decompress(packed)
