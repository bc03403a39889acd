"""What the parts of a server share: its settings, its store and folders, the news, and turns at
heavy work.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from maquette.app.events import News
from maquette.app.finders import GRABCUT, Finders
from maquette.app.folders import KINDS, Folders
from maquette.app.problems import busy, not_found
from maquette.app.settings import ServerSettings
from maquette.app.store import Row, Store
from maquette.errors import OutputError
from maquette.masks.propose import PhotoMasks
from maquette.types import JsonObject

LOCKS = 32  # of each kind of thing; several things share one

Result = TypeVar("Result")


def _locks() -> dict[str, tuple[threading.RLock, ...]]:
    return {kind: tuple(threading.RLock() for _ in range(LOCKS)) for kind in KINDS}


@dataclass(frozen=True, eq=False)
class Studio:
    """One server's things."""

    settings: ServerSettings
    folders: Folders
    store: Store
    turns: threading.BoundedSemaphore
    finders: Finders = GRABCUT  # who says what a click or a box means
    lease: float | None = None  # seconds that a job is kept without a sign; None: alone here
    news: News = field(default_factory=News)
    progress: dict[str, JsonObject] = field(default_factory=dict)  # of running jobs, by id
    locks: Mapping[str, Sequence[AbstractContextManager[Any]]] = field(default_factory=_locks)
    # the photo that somebody pointed at last, by its id and who looks: a network looks at it once
    looked_at: dict[tuple[str, str], PhotoMasks] = field(default_factory=dict)

    @classmethod
    def open(cls, settings: ServerSettings, finders: Finders = GRABCUT) -> Studio:
        """Open or create the data folder, and tidy up what a crash has left. A folder or database
        that is not ours is refused, and nothing in it changes. Raises OutputError, InputError.
        """
        folders = Folders.at(settings.data)
        store = Store(folders.database)
        try:
            folders.recover({kind: store.ids(kind) for kind in KINDS})
        except OutputError:
            store.close()
            raise
        return cls(settings, folders, store, threading.BoundedSemaphore(settings.heavy), finders)

    def row(self, kind: str, identifier: str) -> Row:
        """The row of a photo, job or scene (``kind`` of ``folders.KINDS``). Problem 404 when there
        is none.
        """
        self.folders.of(kind, identifier)
        found = self.store.one(f"SELECT * FROM {kind} WHERE id = :id", id=identifier)
        if found is None:
            raise not_found(kind.removesuffix("s"))
        return found

    def alone(self, kind: str, identifier: str) -> AbstractContextManager[Any]:
        """A lock for one thing, so that it is not deleted while it is edited.

        The order that excludes deadlocks: a job's before a scene's, both before a turn.
        """
        return self.locks[kind][zlib.crc32(identifier.encode()) % LOCKS]

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn at work that needs much memory or time, so that many requests never add
        up. Problem 503 after a while.
        """
        if not self.turns.acquire(timeout=self.settings.limits.gate_seconds):
            raise busy("too many pictures are being worked on; try again soon", 10, status=503)
        try:
            yield
        finally:
            self.turns.release()

    def delete(self, kind: str, identifier: str) -> None:
        """Delete a photo, job or scene with its folder. Problem 404."""

        def forget() -> None:
            self.store.forget(kind, identifier)
            self.folders.remove(kind, identifier)

        with self.alone(kind, identifier):
            self.row(kind, identifier)
            self.give_room(forget)
        self.news.publish("deleted", {"kind": kind.removesuffix("s"), "id": identifier})

    def give_room(self, change: Callable[[], Result]) -> Result:
        """Make a change that frees room or must not be lost, also on a full disk; see Spare."""
        try:
            return self.folders.spare.lend(change)
        finally:
            self.folders.spare.make()

    def without_paths(self, message: str) -> str:
        """A message for clients, who need not know where this server keeps things."""
        return message.replace(f"{self.settings.data}{os.sep}", "")

    def close(self) -> None:
        """End all event streams and let go of the database."""
        self.news.close()
        self.store.close()
