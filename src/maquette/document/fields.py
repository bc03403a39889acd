"""Checked access to decoded JSON: every complaint names the file, the field and what belongs there.
Knows nothing of scenes.

Why not pydantic or msgspec: pydantic is a dependency of the app only and takes longer to import
than ``load`` may; either would need its errors translated into ours (file, place, what was found,
what to do), and what most of the checks are about (numbers of a size that arrays hold, files below
the document) would still be written here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maquette.containers import MemoryBudget, read_json
from maquette.errors import InputError
from maquette.types import JsonObject, check_unicode

LARGEST = 2**64 - 1  # of whole numbers, such as seeds
SHOWN = 60  # characters of a wrong value that a message repeats
REMEDY = "give a sound scene document (scene.json) or its folder"


@dataclass(frozen=True)
class Fields:
    """A JSON object that stands at ``where`` in ``file``."""

    file: Path
    data: JsonObject
    where: str = ""

    @classmethod
    def read(cls, path: Path, budget: MemoryBudget | None = None) -> Fields:
        """The JSON object in a file; InputError when there is none, or when it is truncated."""
        data = read_json(path, REMEDY, budget or MemoryBudget())
        if not isinstance(data, dict):
            kind = type(data).__name__
            raise InputError(f"{path}: holds a {kind} instead of an object; {REMEDY}")
        return cls(path, data)

    def wrong(self, key: str, expected: str) -> InputError:
        """Return the error that says what was found under ``key`` and what was expected."""
        found = _shown(self.data[key]) if key in self.data else "missing"
        return InputError(
            f"{self.file}: {self.where}{key} is {found}; expected {expected}; "
            "save the scene again or restore the file"
        )

    def has(self, key: str) -> bool:
        """Tell whether there is something under a key that may be missing or null."""
        return self.data.get(key) is not None

    def _of_kind(
        self,
        key: str,
        kind: type,
        expected: str,
    ) -> Any:
        value = self.data.get(key)
        if not isinstance(value, kind):
            raise self.wrong(key, expected)
        return value

    def text(self, key: str) -> str:
        """Return a string that can be written as UTF-8, which half of a surrogate pair cannot."""
        value = self._of_kind(key, str, "a string")
        check_unicode(value, f"{self.file}: {self.where}{key}")
        return value

    def whole(
        self,
        key: str,
        least: int = 0,
        most: int = LARGEST,
    ) -> int:
        """Return an integer that is at least ``least`` and at most ``most``."""
        value = self.data.get(key)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"an integer of at least {least} and at most {most}")
        return value

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, "a finite number")
        if not abs(value) < math.inf:
            raise self.wrong(key, "a finite number")
        try:
            return float(value)
        except OverflowError as error:  # a whole number of hundreds of digits
            raise self.wrong(key, "a number that a float can hold") from error

    def matrix(
        self,
        key: str,
        rows: int,
        columns: int,
    ) -> np.ndarray:
        """Return a (rows, columns) float64 array of finite numbers, written as nested lists."""
        expected = f"a {rows}x{columns} matrix of finite numbers"
        try:
            matrix = np.array(self.data.get(key), dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.wrong(key, expected) from error
        if matrix.shape != (rows, columns) or not np.isfinite(matrix).all():
            raise self.wrong(key, expected)
        return matrix

    def vector(self, key: str, length: int) -> np.ndarray:
        """Return a (length,) float64 array of finite numbers, written as a list."""
        value = self.data.get(key)
        return Fields(self.file, {key: [value]}, self.where).matrix(key, 1, length)[0]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        items = self._items(key, "a list of strings")
        return tuple(items.text(name) for name in items.data)

    def object(self, key: str) -> Fields:
        """Return a JSON object."""
        return Fields(self.file, self._of_kind(key, dict, "an object"), f"{self.where}{key}.")

    def objects(self, key: str) -> tuple[Fields, ...]:
        """Return a list of JSON objects."""
        items = self._items(key, "a list of objects")
        return tuple(items.object(name) for name in items.data)

    def _items(self, key: str, expected: str) -> Fields:
        """The items of a list as fields named ``key[0]``, ``key[1]``, ..."""
        items = enumerate(self._of_kind(key, list, expected))
        return Fields(self.file, {f"{key}[{k}]": item for k, item in items}, self.where)

    def path(self, key: str) -> Path:
        """Return an existing file, named relative to the document; names that lead out of its
        folder are refused.
        """
        name = self.text(key)
        leads_out = name.startswith("/") or ".." in PurePosixPath(name).parts
        if not name or leads_out or set(name) & set("\\:\0"):
            raise self.wrong(key, "a relative path below the document's folder")
        path = self.file.parent / name
        try:
            there = path.is_file()
        except OSError as error:  # the name is too long
            raise self.wrong(key, f"the name of a file ({error.strerror})") from error
        if not there:
            raise InputError(
                f"{path}: missing; {self.file} refers to it ({self.where}{key}); "
                "keep the document and its files together"
            )
        return path


def _shown(value: Any) -> str:
    """A value for a message: the beginning of its JSON, and of what has parts how many."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number of {value.bit_length()} bits"
    return json.dumps(value)[:SHOWN]
