"""Versions of a thing that can be edited: undo and redo that survive a restart. A version is a JSON
document and is never changed.

Numbers only grow, so that an address with a version always shows the same. An edit after an undo
drops what could have been redone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maquette.app.problems import conflict, not_found
from maquette.app.store import Store, now


@dataclass(frozen=True)
class Version:
    """The state of something, and the way back and forth."""

    number: int
    document: dict[str, Any]
    changed: tuple[int, ...]  # labels
    undo: str | None  # the kind of edit that would be undone; None = nothing
    redo: str | None


def start(
    store: Store,
    owner: str,
    document: dict[str, Any],
    edit: str = "start",
    changed: Sequence[int] = (),
) -> None:
    """Begin a history with its first version."""
    store.insert("histories", owner=owner, head=1, last=1)
    _insert(store, owner, 1, edit, changed, document)


def current(store: Store, owner: str, number: int | None = None) -> Version:
    """Return the newest state, or a version by its number. Problem 404 when there is none."""
    with store.transaction():
        history = store.one("SELECT head FROM histories WHERE owner = ?", owner)
        if history is None:
            raise not_found("thing")
        wanted = history["head"] if number is None else number
        row = store.one(
            "SELECT edit, changed AS changed_labels, document FROM versions WHERE owner = ? AND "
            "number = ?",
            owner,
            wanted,
        )
        if row is None:
            raise not_found(f"version ({wanted})")
        before = store.one("SELECT 1 FROM versions WHERE owner = ? AND number < ?", owner, wanted)
        after = store.one(
            "SELECT edit FROM versions WHERE owner = ? AND number > ? ORDER BY number",
            owner,
            wanted,
        )
    return Version(
        wanted,
        row["document"],
        tuple(row["changed_labels"]),
        row["edit"] if before else None,
        after["edit"] if after else None,
    )


def append(
    store: Store,
    owner: str,
    base: int,
    edit: str,
    document: dict[str, Any],
    changed: Sequence[int],
    keep: int,
) -> bool:
    """Add a version after ``base``, the newest; ``keep`` versions stay. Returns whether any were
    dropped. Problem 409 for an old base.
    """
    with store.transaction():
        _expect(store, owner, base)
        dropped = store.run("DELETE FROM versions WHERE owner = ? AND number > ?", owner, base)
        store.run("UPDATE histories SET last = last + 1, head = last + 1 WHERE owner = ?", owner)
        number = store.one("SELECT head FROM histories WHERE owner = ?", owner)["head"]
        _insert(store, owner, number, edit, changed, document)
        oldest = (
            "SELECT number FROM versions WHERE owner = ? ORDER BY number DESC LIMIT -1 OFFSET ?"
        )
        dropped += store.run(
            f"DELETE FROM versions WHERE owner = ? AND number IN ({oldest})", owner, owner, keep
        )
    return dropped > 0


def step(store: Store, owner: str, base: int, back: bool) -> None:
    """Go one version back or forth. Problem 409 for an old base, or when there is nothing to undo
    or redo.
    """
    with store.transaction():
        _expect(store, owner, base)
        condition, order = ("<", "DESC") if back else (">", "ASC")
        row = store.one(
            f"SELECT number FROM versions WHERE owner = ? AND number {condition} ? ORDER BY "
            f"number {order}",
            owner,
            base,
        )
        if row is None:
            raise conflict(f"there is nothing to {'undo' if back else 'redo'}")
        store.run("UPDATE histories SET head = ? WHERE owner = ?", row["number"], owner)


def documents(store: Store, owner: str) -> list[dict[str, Any]]:
    """Return the documents of all versions, to find out which files are still needed."""
    return [
        row["document"] for row in store.all("SELECT document FROM versions WHERE owner = ?", owner)
    ]


def forget(store: Store, owner: str) -> None:
    """Delete a history."""
    with store.transaction():
        store.run("DELETE FROM versions WHERE owner = ?", owner)
        store.run("DELETE FROM histories WHERE owner = ?", owner)


def _expect(store: Store, owner: str, base: int) -> None:
    history = store.one("SELECT head FROM histories WHERE owner = ?", owner)
    if history is None:
        raise not_found("thing")
    if history["head"] != base:
        raise conflict(
            f"this was made for version {base}, but the newest is {history['head']}; look at it "
            "and repeat the edit"
        )


def _insert(
    store: Store,
    owner: str,
    number: int,
    edit: str,
    changed: Sequence[int],
    document: dict[str, Any],
) -> None:
    labels = json.dumps([int(label) for label in changed])
    store.insert(
        "versions",
        owner=owner,
        number=number,
        edit=edit,
        changed=labels,
        document=document,
        created=now(),
    )
