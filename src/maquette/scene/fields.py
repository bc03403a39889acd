"""Checked access to decoded JSON: every complaint names the file, the field and what belongs there.
Knows nothing of scenes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maquette.errors import InputError


@dataclass(frozen=True)
class Fields:
    """A JSON object that stands at ``where`` in ``file``."""

    file: Path
    data: Mapping[str, Any]
    where: str = ""

    def wrong(self, key: str, expected: str) -> InputError:
        """Return the error that says what was found under ``key`` and what was expected."""
        found = json.dumps(self.data[key]) if key in self.data else "missing"
        return InputError(
            f"{self.file}: {self.where}{key} is {found[:60]}; expected {expected}; save the scene again or restore the file"
        )

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def whole(self, key: str, least: int = 0) -> int:
        """Return an integer that is at least ``least``."""
        value = self.data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"an integer of at least {least}")
        return value

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.data.get(key)
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise self.wrong(key, "a finite number")
        return float(value)

    def matrix(self, key: str, rows: int, columns: int) -> np.ndarray:
        """Return a (rows, columns) float64 array of finite numbers, written as nested lists."""
        try:
            matrix = np.array(self.data.get(key), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self.wrong(key, f"a {rows}x{columns} matrix") from error
        if matrix.shape != (rows, columns) or not np.isfinite(matrix).all():
            raise self.wrong(key, f"a {rows}x{columns} matrix of finite numbers")
        return matrix

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(value)

    def object(self, key: str) -> Fields:
        """Return a JSON object."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return dataclasses.replace(self, data=value, where=f"{self.where}{key}.")

    def objects(self, key: str) -> tuple[Fields, ...]:
        """Return a list of JSON objects."""
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "a list of objects")
        return tuple(
            dataclasses.replace(self, data=item, where=f"{self.where}{key}[{i}].")
            for i, item in enumerate(value)
        )

    def path(self, key: str) -> Path:
        """Return an existing file, named relative to the document; names that lead out of its
        folder are refused.
        """
        name = self.text(key)
        parts = PurePosixPath(name).parts
        if (
            not name
            or name.startswith("/")
            or ".." in parts
            or "\\" in name
            or ":" in name
            or "\0" in name
        ):
            raise self.wrong(key, "a relative path below the document's folder")
        path = self.file.parent / name
        if not path.is_file():
            raise InputError(
                f"{path}: missing; {self.file} refers to it ({self.where}{key}); keep the document and its files together"
            )
        return path


def read_json(path: Path) -> Fields:
    """Return the JSON object in a file; InputError when there is none, or when it is truncated."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; give a scene document (scene.json) or its folder"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the name and its permissions"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON, or truncated ({error}); save the scene again or restore the file"
        ) from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: holds a {type(data).__name__} instead of an object; give a scene document (scene.json)"
        )
    return Fields(path, data)
