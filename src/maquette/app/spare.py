"""Room that is kept for the day on which the disk is full: a file that is given up so that
something else can be deleted, and made again as soon as there is room.

Deleting needs room itself, for the database notes it. Nothing new is taken while the file is not
there, so that what is left of the disk is left for deleting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from maquette.app.problems import disk_full, is_full
from maquette.errors import OutputError

SPARE_BYTES = 2 << 20
LEAST_BYTES = 256 << 10  # for deleting something after a start
_PIECE = 64 << 10
_SIGN = b"made by maquette app: room for a full disk\n"

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Spare:
    """The file, and who may use its room."""

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require(self) -> None:
        """Make sure that the room is kept before anything new is taken. Problem 507."""
        if self.make() < SPARE_BYTES:
            raise disk_full()

    def make(self) -> int:
        """Keep as much of the room as there is; returns how many bytes are kept. OutputError when
        somebody else's file is in the way.
        """
        with self._lock:
            size = self._size()
            if size >= SPARE_BYTES:
                return size
            try:
                with open(self.path, "ab" if size else "wb", buffering=0) as file:
                    size += file.write(b"" if size else _SIGN)
                    while size < SPARE_BYTES:
                        size += file.write(os.urandom(_PIECE))  # no file system can compress that
                    os.fsync(file.fileno())
            except OSError:  # the disk is full; what was written stays kept
                pass
            return size

    def lend(self, change: Callable[[], Result]) -> Result:
        """Make a change that frees room, or that must not be lost; on a full disk it gets the room
        that was kept. ``change`` is tried twice then, so it must do all or nothing.
        """
        try:
            return change()
        except (OSError, SQLAlchemyError) as error:
            if not is_full(error):
                raise
            with self._lock:
                if self._size():
                    self.path.unlink()
        return change()

    def _size(self) -> int:
        if not os.path.lexists(self.path):
            return 0
        with open(self.path, "rb") as file:
            head = file.read(len(_SIGN))
        if not _SIGN.startswith(head):
            raise OutputError(f"{self.path}: is not of maquette app; move it away")
        return self.path.stat().st_size if head == _SIGN else 0
