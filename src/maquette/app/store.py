"""One SQLite file that knows what there is; pictures, masks and meshes lie in folders beside it.
Knows nothing of their meaning.

WAL with an exclusive lock: readers never wait for the disk, and a second server on the same folder
is refused. A transaction is the unit of what survives a crash; files are written before the row
that names them, so the worst that is left is a file without a row.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from maquette.errors import InputError, OutputError

VERSION = 1
_SCHEMA = """
CREATE TABLE photos (id TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, alpha INTEGER, notes TEXT, created TEXT, changed TEXT);
CREATE TABLE jobs (ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, kind TEXT, state TEXT, name TEXT, photo TEXT, scene TEXT,
    label INTEGER, options TEXT, objects TEXT, instances TEXT, failures TEXT, warnings TEXT, error TEXT, seconds TEXT,
    created TEXT, started TEXT, finished TEXT);
CREATE INDEX jobs_by_state ON jobs (state, ordinal);
CREATE TABLE scenes (id TEXT PRIMARY KEY, name TEXT, job TEXT, photo TEXT, created TEXT, changed TEXT);
CREATE TABLE histories (owner TEXT PRIMARY KEY, head INTEGER, last INTEGER);
CREATE TABLE versions (owner TEXT, number INTEGER, edit TEXT, changed TEXT, document TEXT, created TEXT, PRIMARY KEY (owner, number));
"""
_JSON = {
    "notes",
    "options",
    "objects",
    "instances",
    "failures",
    "warnings",
    "seconds",
    "changed_labels",
    "document",
}

Row = dict[str, Any]


class Store:
    """The database. All methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._connection = sqlite3.connect(
                path, timeout=1.0, check_same_thread=False, isolation_level=None
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare(path)
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise InputError(
                    f"{path.parent}: another maquette app works in this folder; stop it or choose another --data"
                ) from error
            raise OutputError(
                f"{path}: is not a database that can be used ({error}); restore it or choose another --data"
            ) from error

    def _prepare(self, path: Path) -> None:
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "trusted_schema=OFF",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        with self.transaction():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise InputError(
                    f"{path}: was written by a newer maquette (version {version} of the file); use that one or another --data"
                )
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={VERSION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Store]:
        """All of the body's changes or none of them; nests, and then belongs to the outermost."""
        with self._lock:
            outermost = self._depth == 0
            done = False
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self
                done = True
            finally:
                self._depth -= 1
                if outermost:
                    self._connection.execute("COMMIT" if done else "ROLLBACK")

    def all(self, statement: str, *values: Any) -> list[Row]:
        """Return all rows of a query, with JSON columns decoded."""
        with self._lock:
            return [_decoded(row) for row in self._connection.execute(statement, values)]

    def one(self, statement: str, *values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        rows = self.all(statement, *values)
        return rows[0] if rows else None

    def run(self, statement: str, *values: Any) -> int:
        """Execute a statement in a transaction; returns how many rows it changed."""
        with self.transaction():
            return self._connection.execute(statement, values).rowcount

    def insert(self, table: str, **columns: Any) -> None:
        """Add a row; lists and dictionaries become JSON."""
        names = ", ".join(columns)
        self.run(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})",
            *map(_encoded, columns.values()),
        )

    def update(self, table: str, identifier: str, **columns: Any) -> int:
        """Change a row by its id; returns 0 when there is none."""
        names = ", ".join(f"{name} = ?" for name in columns)
        return self.run(
            f"UPDATE {table} SET {names} WHERE id = ?", *map(_encoded, columns.values()), identifier
        )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()


def now() -> str:
    """The time for people and for sorting: ISO 8601, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encoded(value: Any) -> Any:
    return (
        json.dumps(value, separators=(",", ":"))
        if isinstance(value, (list, tuple, dict))
        else value
    )


def _decoded(row: sqlite3.Row) -> Row:
    return {
        key: json.loads(row[key]) if key in _JSON and row[key] is not None else row[key]
        for key in row.keys()
    }
