"""Locks for what several processes change: a lock of this process, and one on a file of the shared
folder for the others.
"""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import BinaryIO

from maquette.app.folders import KINDS
from maquette.app.studio import LOCKS

FOLDER = "locks"


class SharedLock:
    """May be entered again by the thread that has it. Ends with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        self._depth = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> None:
        self._thread.acquire()
        try:
            if self._file is None:
                file = open(self._path, "ab")  # closed when it is left
                fcntl.flock(file, fcntl.LOCK_EX)
                self._file = file
            self._depth += 1
        except OSError:
            self._thread.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._file is not None:
            self._file.close()
            self._file = None
        self._thread.release()


def shared_locks(root: Path) -> dict[str, tuple[SharedLock, ...]]:
    """As many as a studio has, for all who work in a data folder."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)

    def of(kind: str) -> tuple[SharedLock, ...]:
        return tuple(SharedLock(folder / f"{kind}-{number}") for number in range(LOCKS))

    return {kind: of(kind) for kind in KINDS}
