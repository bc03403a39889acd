"""Locks for what several processes change, on files of the shared folder: each excludes the other
threads of its process as well, may be entered again by the thread that has it, and ends with its
process.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from maquette.app.folders import KINDS
from maquette.app.studio import LOCKS

FOLDER = "locks"


def shared_locks(root: Path) -> dict[str, tuple[FileLock, ...]]:
    """As many as a studio has, for all who work in a data folder."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)

    def of(kind: str) -> tuple[FileLock, ...]:
        return tuple(FileLock(folder / f"{kind}-{number}") for number in range(LOCKS))

    return {kind: of(kind) for kind in KINDS}
