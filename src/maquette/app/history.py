"""Versions of a thing that can be edited: undo and redo that survive a restart. A version is a JSON
document and is never changed.

Numbers only grow, so that an address with a version always shows the same. An edit after an undo
drops what could have been redone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from maquette.app.problems import Problem, conflict, not_found
from maquette.app.store import now
from maquette.app.studio import Studio
from maquette.types import JsonObject


@dataclass(frozen=True)
class Version:
    """The state of something, and the way back and forth."""

    number: int
    document: JsonObject
    changed: tuple[int, ...]  # labels
    undo: str | None  # the kind of edit that would be undone; None = nothing
    redo: str | None

    def summary(self) -> JsonObject:
        """What clients are told of the way back and forth."""
        can = {"can_undo": self.undo is not None, "can_redo": self.redo is not None}
        return {
            "version": self.number,
            **can,
            "undo": self.undo,
            "redo": self.redo,
        }


@dataclass(frozen=True)
class History:
    """The versions of one photo's masks, or of one scene."""

    studio: Studio
    kind: str  # of ``folders.KINDS``
    owner: str

    def start(self, document: JsonObject, edit: str = "start") -> None:
        """Begin with the first version."""
        self.studio.store.insert(
            "histories",
            owner=self.owner,
            head=1,
            last=1,
        )
        self._insert(1, edit, (), document)

    def current(self, number: int | None = None) -> Version:
        """The newest state, or a version by its number. Problem 404 when there is none."""
        here = "FROM versions WHERE owner = :owner AND number"
        with self.studio.store.transaction(looks=True):
            wanted = self._head() if number is None else number
            one = partial(self.studio.store.one, owner=self.owner, number=wanted)
            row = one(f"SELECT edit, changed AS changed_labels, document {here} = :number")
            if row is None:
                raise not_found(f"version ({wanted})")
            before = one(f"SELECT 1 {here} < :number LIMIT 1")
            after = one(f"SELECT edit {here} > :number ORDER BY number LIMIT 1")
        return Version(
            number=wanted,
            document=row["document"],
            changed=tuple(row["changed_labels"]),
            undo=row["edit"] if before else None,
            redo=after["edit"] if after else None,
        )

    def newest(self, base: int) -> Version:
        """The newest version, which has to be ``base``. Problem 409 otherwise."""
        self._expect(base)
        return self.current()

    def append(
        self,
        base: int,
        edit: str,
        document: JsonObject,
        changed: Sequence[int],
    ) -> bool:
        """Add a version after ``base``, the newest; as many stay as the limits say. Returns whether
        any were dropped. Problem 409 for an old base.
        """
        run = partial(self.studio.store.run, owner=self.owner)
        deleted = "DELETE FROM versions WHERE owner = :owner AND number"
        kept = "SELECT number FROM versions WHERE owner = :owner ORDER BY number DESC LIMIT :most"
        with self.studio.store.transaction():
            self._expect(base)
            dropped = run(f"{deleted} > :base", base=base)
            run("UPDATE histories SET last = last + 1, head = last + 1 WHERE owner = :owner")
            self._insert(self._head(), edit, changed, document)
            dropped += run(f"{deleted} NOT IN ({kept})", most=self.studio.settings.limits.versions)
        return dropped > 0

    def step(self, base: int, back: bool) -> None:
        """Go one version back or forth. Problem 409 for an old base, or when there is nothing to
        undo or redo.
        """
        store = self.studio.store
        nearest = "max(number)" if back else "min(number)"
        side = "<" if back else ">"
        with store.transaction():
            self._expect(base)
            found = store.only(
                f"SELECT {nearest} AS number FROM versions "
                f"WHERE owner = :owner AND number {side} :base",
                owner=self.owner,
                base=base,
            )
            if found["number"] is None:
                raise conflict(f"there is nothing to {'undo' if back else 'redo'}")
            moved = "UPDATE histories SET head = :number WHERE owner = :owner"
            store.run(moved, owner=self.owner, **found)

    def stepped(
        self,
        base: int,
        back: bool,
        state: Callable[[], JsonObject],
    ) -> JsonObject:
        """Undo or redo, and tell of it; returns the new state. Problem 409 as of ``step``."""
        with self.editing(state):
            self.step(base, back)
            self.changed()
        return state()

    def documents(self) -> list[JsonObject]:
        """The documents of all versions, to find out which files are still needed."""
        statement = "SELECT document FROM versions WHERE owner = :owner"
        rows = self.studio.store.all(statement, owner=self.owner)
        return [row["document"] for row in rows]

    @contextlib.contextmanager
    def editing(self, state: Callable[[], JsonObject]) -> Iterator[None]:
        """Edit alone; a conflict is answered with the newest state."""
        try:
            with self.studio.alone(self.kind, self.owner):
                self.studio.row(self.kind, self.owner)
                yield
        except Problem as problem:
            if problem.code == "conflict":
                problem.details.setdefault("current", state())
            raise

    def changed(self) -> None:
        """Note that the thing was changed just now, and tell of it."""
        self.studio.store.update(self.kind, self.owner, changed=now())
        self.tell()

    def tell(self) -> None:
        """Publish the newest version."""
        news = {"id": self.owner, "version": self._head()}
        self.studio.news.publish(self.kind.removesuffix("s"), news)

    def _head(self) -> int:
        statement = "SELECT head FROM histories WHERE owner = :owner"
        found = self.studio.store.one(statement, owner=self.owner)
        if found is None:
            raise not_found(self.kind.removesuffix("s"))
        return found["head"]

    def _expect(self, base: int) -> None:
        head = self._head()
        if head != base:
            raise conflict(
                f"this was made for version {base}, but the newest is {head}; "
                "look at it and repeat the edit"
            )

    def _insert(
        self,
        number: int,
        edit: str,
        changed: Sequence[int],
        document: JsonObject,
    ) -> None:
        self.studio.store.insert(
            "versions",
            owner=self.owner,
            number=number,
            edit=edit,
            changed=[int(label) for label in changed],
            document=document,
            created=now(),
        )
