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

from maquette.app.ownership import APPLICATION_ID, VERSION, check_database
from maquette.errors import InputError, MaquetteError, OutputError, present

_SCHEMA = """
CREATE TABLE photos (id TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, alpha INTEGER,
    notes TEXT, created TEXT, changed TEXT);
CREATE TABLE jobs (ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, kind TEXT, state TEXT,
    name TEXT, photo TEXT, scene TEXT, label INTEGER, options TEXT, objects TEXT, instances TEXT,
    failures TEXT, warnings TEXT, error TEXT, seconds TEXT,
    created TEXT, started TEXT, finished TEXT);
CREATE INDEX jobs_by_state ON jobs (state, ordinal);
CREATE TABLE scenes (id TEXT PRIMARY KEY, name TEXT, job TEXT, photo TEXT,
    created TEXT, changed TEXT);
CREATE TABLE histories (owner TEXT PRIMARY KEY, head INTEGER, last INTEGER);
CREATE TABLE versions (owner TEXT, number INTEGER, edit TEXT, changed TEXT, document TEXT,
    created TEXT, PRIMARY KEY (owner, number));
"""
_JSON = {
    *("notes", "options", "objects", "instances", "failures", "warnings", "seconds"),
    *("changed_labels", "document"),
}

Row = dict[str, Any]


class Store:
    """The database. All methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        is_new = not check_database(path)
        try:
            self._connection = sqlite3.connect(
                path,
                timeout=1.0,
                check_same_thread=False,
                isolation_level=None,
            )
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._prepare(is_new)
        except sqlite3.Error as error:
            self._connection.close()
            raise _unusable(path, error) from error

    def _prepare(self, is_new: bool) -> None:
        """Lock the file and make sure that it is sound. A new one gets its tables first, so that
        its header says whose it is before anything else is written.
        """
        self._connection.row_factory = sqlite3.Row
        self._ask("PRAGMA locking_mode=EXCLUSIVE")
        self._ask("PRAGMA trusted_schema=OFF")
        if is_new:
            with self.transaction():
                self._create()
        self._ask("PRAGMA journal_mode=WAL")
        self._ask("PRAGMA synchronous=FULL")
        damage = self._ask("PRAGMA quick_check(1)")
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)

    def _create(self) -> None:
        if self._ask("PRAGMA user_version") == VERSION:
            return  # another server was quicker, and has ended again
        self._ask(f"PRAGMA application_id={APPLICATION_ID}")
        self._ask(f"PRAGMA user_version={VERSION}")
        for statement in _SCHEMA.split(";\n"):
            self._connection.execute(statement)

    def _ask(self, statement: str) -> Any:
        """The first value that a statement returns."""
        found = self._connection.execute(statement).fetchone()
        return found[0] if found else None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Store]:
        """All of the body's changes or none of them; nests, and then belongs to the outermost."""
        with self._lock:
            if self._connection.in_transaction:
                yield self
                return
            with self._connection:  # commits or rolls back
                self._connection.execute("BEGIN IMMEDIATE")
                yield self

    def all(self, statement: str, *values: Any) -> list[Row]:
        """Return all rows of a query, with JSON columns decoded."""
        with self._lock:
            return [_decoded(row) for row in self._connection.execute(statement, values)]

    def one(self, statement: str, *values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        rows = self.all(statement, *values)
        return rows[0] if rows else None

    def only(self, statement: str, *values: Any) -> Row:
        """Return the row of a query that always has one, such as a count."""
        return present(self.one(statement, *values), "row")

    def ids(self, table: str) -> list[str]:
        """Return the ids of all photos, jobs or scenes."""
        return [row["id"] for row in self.all(f"SELECT id FROM {table}")]

    def run(self, statement: str, *values: Any) -> int:
        """Execute a statement in a transaction; returns how many rows it changed."""
        with self.transaction():
            return self._connection.execute(statement, values).rowcount

    def insert(self, table: str, **columns: Any) -> None:
        """Add a row; lists and dictionaries become JSON."""
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        values = map(_encoded, columns.values())
        self.run(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values)

    def update(
        self,
        table: str,
        identifier: str,
        **columns: Any,
    ) -> int:
        """Change a row by its id; returns 0 when there is none."""
        names = ", ".join(f"{name} = ?" for name in columns)
        values = map(_encoded, columns.values())
        return self.run(f"UPDATE {table} SET {names} WHERE id = ?", *values, identifier)

    def forget(self, table: str, identifier: str) -> None:
        """Delete a photo, job or scene with its versions; jobs name a deleted scene no longer."""
        with self.transaction():
            self.run(f"DELETE FROM {table} WHERE id = ?", identifier)
            self.run("DELETE FROM versions WHERE owner = ?", identifier)
            self.run("DELETE FROM histories WHERE owner = ?", identifier)
            self.run(
                "UPDATE jobs SET scene = NULL WHERE scene = ? AND kind = 'generate'", identifier
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()


def _unusable(path: Path, error: sqlite3.Error) -> MaquetteError:
    if "locked" in str(error):
        return InputError(
            f"{path.parent}: another maquette app works in this folder; "
            "stop it or choose another --data"
        )
    return OutputError(
        f"{path}: cannot be used ({error}); put a copy of it back, or choose another --data"
    )


def now() -> str:
    """The time for people and for sorting: ISO 8601, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encoded(value: Any) -> Any:
    is_json = isinstance(value, (list, tuple, dict))
    return json.dumps(value, separators=(",", ":")) if is_json else value


def _decoded(row: sqlite3.Row) -> Row:
    found = dict(row)
    for key in _JSON.intersection(found):
        if found[key] is not None:
            found[key] = json.loads(found[key])
    return found
