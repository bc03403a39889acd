"""Where files lie: one folder per photo, job and scene, named by ids that this program draws. No
name of a client is ever a path.

A folder is filled before its row is written and its row is deleted before it is; ``sweep`` removes
what a crash left between the two.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maquette.app.problems import not_found
from maquette.output import TEMPORARY_PREFIX, writable_folder

KINDS = ("photos", "jobs", "scenes")
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Folders:
    """The data folder of a server."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> Folders:
        """Create the data folder. Raises OutputError."""
        for kind in KINDS:
            writable_folder(root / kind)
        return cls(root)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "maquette.sqlite3"

    def of(self, kind: str, identifier: str) -> Path:
        """The folder of a photo, job or scene; Problem 404 for what is not one of our ids."""
        if kind not in KINDS or not _ID.fullmatch(identifier):
            raise not_found(kind.removesuffix("s"))
        return self.root / kind / identifier

    def make(self, kind: str, identifier: str) -> Path:
        """Create the folder of something new."""
        folder = self.of(kind, identifier)
        folder.mkdir()
        return folder

    def remove(self, kind: str, identifier: str) -> None:
        """Delete a folder with everything in it."""
        shutil.rmtree(self.of(kind, identifier), ignore_errors=True)

    def sweep(self, kind: str, known: Iterable[str]) -> int:
        """Delete folders without a row and half-written files; returns how many."""
        known = set(known)
        removed = 0
        for folder in (self.root / kind).iterdir():
            if folder.name not in known:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
                removed += 1
            else:
                removed += clear_temporary(folder)
        return removed


def clear_temporary(folder: Path) -> int:
    """Delete what an interrupted write left in a folder; returns how many."""
    leftovers = list(folder.rglob(f"{TEMPORARY_PREFIX}*"))
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(
            missing_ok=True
        )
    return len(leftovers)


def new_id() -> str:
    """Draw an id that nobody can guess."""
    return secrets.token_hex(8)
