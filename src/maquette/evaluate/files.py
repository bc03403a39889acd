"""Files around a run: what others made is read, or named in one line that says why it cannot be.

First module of the evaluation. Photos, scenes, predictions and data sets come from outside, so one
damaged file costs one scene and never the run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maquette.containers import MemoryBudget, read_json
from maquette.errors import InputError, contained
from maquette.output import atomic_write, sha256_of
from maquette.types import JsonObject

Record = JsonObject  # a JSON object


def damage_named(place: Path | str) -> contextlib.AbstractContextManager[None]:
    """Whatever the body stumbles over while it reads ``place`` becomes an InputError that names
    it.
    """
    return contained(f"{place}: cannot be read", "repair it, get it again, or leave it out")


def read_record(path: Path, remedy: str) -> Any:
    """Return what a JSON file holds. InputError, which tells the remedy, when it is missing or
    damaged.
    """
    return read_json(path, remedy, MemoryBudget())


def read_object(path: Path, remedy: str) -> Record:
    """Return the JSON object in a file; {} when there is no file. InputError as ``read_record``,
    and for any other JSON.
    """
    content = read_record(path, remedy) if path.exists() else {}
    if not isinstance(content, dict):
        found = type(content).__name__
        raise InputError(f"{path}: holds a {found} instead of a JSON object; {remedy}")
    return content


def write_record(path: Path, content: Any) -> None:
    """Write JSON; the file appears when it is complete. OutputError when it cannot be written."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def fingerprint(files: Iterable[Path]) -> str:
    """Return 12 hexadecimal digits that change with the names and sizes of the files."""
    listed = sorted((file.name, file.stat().st_size) for file in files)
    return sha256_of(repr(listed).encode())[:12]
