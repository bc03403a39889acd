"""Where files lie: one folder per photo, job and scene, named by ids that this program draws. No
name of a client is ever a path.

Each of our folders holds a marker that says which it is. A folder is filled before its row is
written and its row is deleted before it is, so a crash leaves at most a marked folder without a
row; the next start moves it to the trash. What has no marker is somebody else's and stays.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from maquette.app.ownership import DATABASE, check_folder
from maquette.app.problems import not_found
from maquette.app.spare import LEAST_BYTES, Spare
from maquette.errors import OutputError

KINDS = ("photos", "jobs", "scenes")
WORK = "work"  # what is being received or made; nothing in it has a row
TRASH = "trash"
MARKER = ".maquette"
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Folders:
    """The data folder of a server."""

    root: Path
    spare: Spare

    @classmethod
    def at(cls, root: Path) -> Folders:
        """Create the data folder. One with files but no database is refused and left as it is.
        Raises InputError, OutputError.
        """
        check_folder(root)
        _create(root)
        return cls(root, Spare(root / f"{DATABASE}-spare"))

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / DATABASE

    def of(self, kind: str, identifier: str) -> Path:
        """The folder of a photo, job or scene; Problem 404 for what is not one of our ids."""
        if kind not in (*KINDS, WORK) or not _ID.fullmatch(identifier):
            raise not_found(kind.removesuffix("s"))
        return self.root / kind / identifier

    @contextlib.contextmanager
    def new(self, kind: str) -> Iterator[Path]:
        """The marked folder of something new, named by its id; gone again when the body fails.
        Problem 507 on a full disk.
        """
        self.spare.require()
        folder = self.of(kind, secrets.token_hex(8))
        folder.mkdir()
        done = False
        try:
            _mark(folder)
            yield folder
            done = True
        except DBAPIError as error:  # the database went away; whether it had noted the folder
            done = error.connection_invalidated  # will be seen at the next start
            raise
        finally:
            if not done:
                self.remove(kind, folder.name)

    @contextlib.contextmanager
    def workbench(self) -> Iterator[Path]:
        """A folder to receive or make files in, deleted afterwards."""
        with self.new(WORK) as folder:
            bench = folder / "files"  # beside the marker, which is not for clients
            bench.mkdir()
            try:
                yield bench
            finally:
                self.remove(WORK, folder.name)

    def remove(self, kind: str, identifier: str) -> None:
        """Delete a folder with everything in it."""
        shutil.rmtree(self.of(kind, identifier), ignore_errors=True)

    def prepare(self) -> None:
        """Keep room, and create what is missing. OutputError."""
        if self.spare.make() < LEAST_BYTES:
            raise OutputError(
                f"{self.root}: the disk is full; make room (a few MB) and start the app again"
            )
        for kind in (*KINDS, WORK):
            _create(self.root / kind)

    def recover(self, known: Mapping[str, Iterable[str]]) -> int:
        """Keep room, create what is missing, mark the folders of known ids, and move to the trash
        what a crash has left; returns how much. ``known``: the ids that have rows. OutputError.
        """
        self.prepare()
        moved = 0
        for kind in (*KINDS, WORK):
            ids = set(known.get(kind, ()))
            for identifier in ids:
                _adopt(self.of(kind, identifier))
            for name in _names(self.root / kind):
                if name not in ids and _is_marked(self.root / kind / name):
                    moved += self._throw_away(kind, name)
        return moved

    def _throw_away(self, kind: str, identifier: str) -> bool:
        stamp = datetime.now(timezone.utc).strftime("%Y-%m-%d_%H-%M-%S")
        target = self.root / TRASH / f"{stamp}-{kind}-{identifier}"
        try:
            target.parent.mkdir(exist_ok=True)
            os.rename(self.of(kind, identifier), target)
        except OSError:  # a full disk, or a trash that is no folder: it waits for the next start
            return False
        return True


def is_named_by_content(file: Path) -> bool:
    """Whether a file's name is as this program gives it: what else lies beside is not ours."""
    return _ID.fullmatch(file.stem) is not None


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be created ({error.strerror}); choose another --data"
        ) from error


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be read ({error.strerror}); choose another --data"
        ) from error


def _mark(folder: Path) -> None:
    (folder / MARKER).write_text(_sign(folder), encoding="ascii")


def _adopt(folder: Path) -> None:
    """Mark a folder that was made before there were markers."""
    if folder.is_dir() and not (folder / MARKER).exists():
        with contextlib.suppress(OSError):  # a full disk: the next start does it
            _mark(folder)


def _is_marked(folder: Path) -> bool:
    """Whether this program made a folder for the place where it stands."""
    marker = folder / MARKER
    sign = _sign(folder).encode()
    if not _ID.fullmatch(folder.name) or folder.is_symlink() or not marker.is_file():
        return False
    try:
        with open(marker, "rb") as file:
            return file.read(len(sign) + 1) == sign
    except OSError:
        return False


def _sign(folder: Path) -> str:
    return f"made by maquette app: {folder.parent.name}/{folder.name}\n"
