"""What there is, in a database (``databases``); pictures, masks and meshes lie in folders beside
it. Knows nothing of their meaning.

Statements are SQL that SQLite and PostgreSQL both read. A transaction is the unit of what survives
a crash; files are written before the row that names them, so the worst that is left is a file
without a row.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from maquette.app.databases import Database, sqlite
from maquette.errors import present

_JSON = {
    *("notes", "options", "objects", "instances", "failures", "warnings", "seconds"),
    *("changed_labels", "document", "progress", "capabilities", "data"),
}

Row = dict[str, Any]


class Store:
    """The database. All methods may be called from any thread; values are named in statements
    (``:name``).
    """

    def __init__(self, where: Path | Database) -> None:
        self.database = sqlite(where) if isinstance(where, Path) else where
        self._here = threading.local()  # the connection of this thread's transaction

    @contextlib.contextmanager
    def transaction(self, looks: bool = False) -> Iterator[Store]:
        """All of the body's changes or none of them, while nobody else writes; nests, and then
        belongs to the outermost. ``looks``: the body only reads, and others may write.
        """
        if getattr(self._here, "connection", None) is not None:
            yield self
            return
        with self.database.engine.begin() as connection:  # commits or rolls back
            connection.execute(text(self.database.look if looks else self.database.begin))
            self._here.connection = connection
            try:
                yield self
            finally:
                self._here.connection = None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """The transaction of this thread, or a connection for one statement alone."""
        open_one = getattr(self._here, "connection", None)
        if open_one is not None:
            yield open_one
            return
        with self.database.engine.begin() as connection:
            yield connection

    def all(self, statement: str, **values: Any) -> list[Row]:
        """Return all rows of a query, with JSON columns decoded."""
        with self._connected() as connection:
            rows = connection.execute(text(statement), values).mappings()
            return [_decoded(row) for row in rows]

    def one(self, statement: str, **values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        rows = self.all(statement, **values)
        return rows[0] if rows else None

    def only(self, statement: str, **values: Any) -> Row:
        """Return the row of a query that always has one, such as a count."""
        return present(self.one(statement, **values), "row")

    def ids(self, table: str) -> list[str]:
        """Return the ids of all photos, jobs or scenes."""
        return [row["id"] for row in self.all(f"SELECT id FROM {table}")]

    def run(self, statement: str, **values: Any) -> int:
        """Execute a statement; returns how many rows it changed."""
        with self._connected() as connection:
            return connection.execute(text(statement), values).rowcount

    def insert(self, table: str, **columns: Any) -> None:
        """Add a row; lists and dictionaries become JSON."""
        names = ", ".join(columns)
        marks = ", ".join(f":{name}" for name in columns)
        self.run(f"INSERT INTO {table} ({names}) VALUES ({marks})", **_encoded(columns))

    def update(
        self,
        table: str,
        identifier: str,
        **columns: Any,
    ) -> int:
        """Change a row by its id; returns 0 when there is none."""
        names = ", ".join(f"{name} = :{name}" for name in columns)
        statement = f"UPDATE {table} SET {names} WHERE id = :id"
        return self.run(statement, id=identifier, **_encoded(columns))

    def forget(self, table: str, identifier: str) -> None:
        """Delete a photo, job or scene with its versions; jobs name a deleted scene no longer."""
        with self.transaction():
            for statement in (
                f"DELETE FROM {table} WHERE id = :id",
                "DELETE FROM versions WHERE owner = :id",
                "DELETE FROM histories WHERE owner = :id",
                "UPDATE jobs SET scene = NULL WHERE scene = :id AND kind = 'generate'",
            ):
                self.run(statement, id=identifier)

    def close(self) -> None:
        """Let go of the database."""
        self.database.engine.dispose()


def now() -> str:
    """The time for people and for sorting: ISO 8601, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encoded(columns: Row) -> Row:
    return {name: _json(value) for name, value in columns.items()}


def _json(value: Any) -> Any:
    is_json = isinstance(value, (list, tuple, dict))
    return json.dumps(value, separators=(",", ":")) if is_json else value


def _decoded(row: RowMapping) -> Row:
    found = dict(row)
    for key in _JSON.intersection(found):
        if found[key] is not None:
            found[key] = json.loads(found[key])
    return found
