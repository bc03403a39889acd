"""Files around a run: what others made is read, or named in one line that says why it cannot be.

First module of the evaluation. Photos, scenes, predictions and data sets come from outside, so one
damaged file costs one scene and never the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from maquette.errors import InputError
from maquette.output import atomic_write

Record = dict[str, Any]  # a JSON object

# A parser of foreign data raises whatever its own code stumbles over, so these are many: what
# Pillow, NumPy, trimesh, json and pickle were seen to raise, with their families.
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.PickleError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
MOST_LETTERS = 200  # of a reason


@contextlib.contextmanager
def damage_named(place: Path | str) -> Iterator[None]:
    """Whatever the body stumbles over while it reads ``place`` becomes an InputError that names
    it.
    """
    try:
        yield
    except FAULTS as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:MOST_LETTERS]
        raise InputError(
            f"{place}: cannot be read ({reason}); repair it, get it again, or leave it out"
        ) from error


def read_record(path: Path, advice: str) -> Any:
    """Return what a JSON file holds. InputError when it is missing or damaged; ``advice`` is what
    to do then.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file; {advice}") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)[:MOST_LETTERS]
        raise InputError(f"{path}: damaged, not JSON ({reason}); {advice}") from error


def read_object(path: Path, advice: str) -> Record:
    """Return the JSON object in a file; {} when there is no file. InputError as ``read_record``,
    and for any other JSON.
    """
    content = read_record(path, advice) if path.exists() else {}
    if not isinstance(content, dict):
        found = type(content).__name__
        raise InputError(f"{path}: holds a {found} instead of a JSON object; {advice}")
    return content


def write_record(path: Path, content: Any) -> None:
    """Write JSON; the file appears when it is complete. OutputError when it cannot be written."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def fingerprint(files: Iterable[Path]) -> str:
    """Return 12 hexadecimal digits that change with the names and sizes of the files."""
    listed = sorted((file.name, file.stat().st_size) for file in files)
    return hashlib.sha256(repr(listed).encode()).hexdigest()[:12]
