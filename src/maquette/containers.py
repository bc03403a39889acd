"""Files that somebody else may have written: JSON, archives of arrays, pictures -> plain values.

Just after types in the flow; whoever opens such a file does it here. Whatever is wrong with one is
an InputError that names it, nothing is ever unpickled, and what a file declares to hold is compared
with a MemoryBudget before any memory is taken.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import Image

from maquette.errors import InputError, contained
from maquette.types import Arrays, StrPath

MEMORY = 4 << 30  # bytes that one document or upload may unpack to, unless the caller says more
JSON_GROWTH = 10  # times that JSON text grows as Python objects, roughly
_ARRAY = ".npy"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class MemoryBudget:
    """The bytes that all files of one document or upload may take together, unpacked."""

    def __init__(self, limit: int = MEMORY) -> None:
        self.limit = limit
        self.left = limit

    def take(self, count: int, name: StrPath) -> None:
        """Take ``count`` bytes for the file ``name``; InputError when so many are not left."""
        if count < 0:
            raise InputError(f"{name}: declares a size below zero; save or export it again")
        if count > self.left:
            wanted, limit, left = (_megabytes(size) for size in (count, self.limit, self.left))
            raise InputError(
                f"{name}: would take {wanted}, but of the {limit} that a document may take {left} "
                "are left; make it smaller, or allow more (the argument budget of maquette.load)"
            )
        self.left -= count


def check_file(path: Path, remedy: str, budget: MemoryBudget) -> None:
    """Refuse what is no regular file, and one that is larger than what is left of the budget.
    InputError, which tells the remedy.
    """
    with contained(f"{path}: cannot be read", remedy):
        if not path.exists():
            raise InputError(f"{path}: no such file; {remedy}")
        if not path.is_file():
            raise InputError(f"{path}: cannot be read (it is no regular file); {remedy}")
        size = path.stat().st_size
        if size > budget.left:
            budget.take(size, path)


def checked_file(source: StrPath, what: str) -> Path:
    """Return the path of an existing, non-empty file; InputError says ``what`` was expected."""
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give {what}")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: is not a regular file; give {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")
    return path


def read_bytes(path: Path, remedy: str, budget: MemoryBudget) -> bytes:
    """The content of a file after ``check_file``; it does not take from the budget, for what it
    unpacks to will.
    """
    check_file(path, remedy, budget)
    with contained(f"{path}: cannot be read", remedy):
        return path.read_bytes()


def read_json(path: Path, remedy: str, budget: MemoryBudget) -> Any:
    """What a JSON file holds. InputError, which tells the remedy, when it is missing or bad."""
    content = read_bytes(path, remedy, budget)
    budget.take(JSON_GROWTH * len(content), path)
    with contained(f"{path}: not JSON, or truncated", remedy):
        return json.loads(decoded(content))


def decoded(content: bytes) -> str:
    """The text in a file: UTF-8, or UTF-16 with the mark that Windows programs put before it.
    UnicodeError when it is neither.
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig")


def read_npz(source: Path | BinaryIO, name: StrPath, budget: MemoryBudget) -> Arrays:
    """The arrays of an .npz archive by name. InputError for anything but sound arrays of plain
    numbers or text, and when they exceed the budget.
    """
    with (
        contained(f"{name}: not a sound .npz archive of arrays", "save it again"),
        zipfile.ZipFile(source) as archive,
    ):
        budget.take(sum(entry.file_size for entry in archive.infolist()), name)
        return {
            entry.filename.removesuffix(_ARRAY): _member(archive, entry, name)
            for entry in archive.infolist()
        }


def read_npy(path: Path, budget: MemoryBudget) -> np.ndarray:
    """The array of an .npy file, mapped from the disk and read when touched. Raises InputError as
    ``read_npz`` does.
    """
    with contained(f"{path}: not a sound .npy file", "save it again with numpy.save"):
        size = path.stat().st_size
        budget.take(size, path)
        with open(path, "rb") as file:
            _check_header(file, size, f"{path}")
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_picture(content: bytes, name: StrPath, budget: MemoryBudget) -> Image.Image:
    """A decoded picture, in the mode of its file. InputError for a broken one, and for one whose
    pixels exceed the budget.
    """
    with (
        contained(f"{name}: not an image that can be read", "restore it or save it again"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of odd metadata and of sizes, which the budget decides
        image = Image.open(io.BytesIO(content))
        budget.take(pixel_bytes(image), name)
        image.load()
        return image


def pixel_bytes(image: Image.Image) -> int:
    """The memory that an opened picture takes when it is decoded: four bytes per pixel."""
    return 4 * image.width * image.height


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: StrPath) -> np.ndarray:
    place = f"{name}: {entry.filename!r}"
    if not entry.filename.endswith(_ARRAY):
        raise InputError(f"{place} is no array; leave it out of the archive")
    with archive.open(entry) as member:
        _check_header(member, entry.file_size, place)
    with archive.open(entry) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_header(file: IO[bytes], size: int, place: str) -> None:
    """Compare what an .npy header declares with the size of the file."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise InputError(f"{place} has the .npy version {version}; expected 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise InputError(f"{place} holds Python objects, which are never read; save plain numbers")
    declared = math.prod(shape) * dtype.itemsize
    present = size - file.tell()
    if not 0 <= declared <= present:
        raise InputError(f"{place} declares {declared} bytes but has {present}; save it again")


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MB"
