"""From one database to another: SQLite in a data folder to PostgreSQL, for several machines, and
back. The files of photos and scenes stay where they are, in the data folder.

A data folder belongs to one database at a time. Everything is copied in one transaction; only then
the folder is signed over to the new database.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData, Table, func, select, text
from sqlalchemy.exc import DBAPIError

from maquette.app.databases import REVISIONS, Database, postgresql, sqlite
from maquette.app.ownership import DATABASE
from maquette.app.store import Store
from maquette.errors import InputError, OutputError
from maquette.output import write_files
from maquette.serve.settings import LEASE
from maquette.serve.shared import HOME, require_home

SQLITE = "sqlite"  # names the file in the data folder
LEFT = f"{DATABASE}-moved"  # what that file is called when it is not used any more
ROWS = 500  # that are copied at once


def move(data: Path, source: str, target: str) -> int:
    """Move everything that a data folder's database holds to an empty one; returns how many rows.
    One is ``sqlite``, the other the address of a PostgreSQL database. InputError when that cannot
    be, or servers work with it; OutputError when it cannot be written.
    """
    if (source == SQLITE) == (target == SQLITE):
        raise InputError(
            f"from {source} to {target}: expected {SQLITE}, which is the file in the data folder, "
            "and one postgresql://USER@HOST/NAME"
        )
    file = data / DATABASE
    if file.exists() == (target == SQLITE):
        there = "there is already" if target == SQLITE else "there is no"
        raise InputError(f"{data}: {there} {DATABASE}; check --data")
    try:
        return _to_sqlite(data, source) if target == SQLITE else _to_postgresql(data, target)
    except DBAPIError as error:
        raise OutputError(f"{target}: cannot be written ({error.orig})") from error


def _to_postgresql(data: Path, address: str) -> int:
    drawn = secrets.token_hex(16)
    with ExitStack() as undo:
        write_files({data / HOME: drawn.encode()})
        undo.callback((data / HOME).unlink)
        with _open(sqlite(data / DATABASE)) as source, _open(postgresql(address)) as target:
            count = copy_all(source, target, [drawn])
        undo.pop_all()
    os.replace(data / DATABASE, data / LEFT)
    return count


def _to_sqlite(data: Path, address: str) -> int:
    file = data / DATABASE
    with _open(postgresql(address)) as source, ExitStack() as undo:
        require_home(Store(source), data)
        undo.callback(file.unlink, missing_ok=True)
        with _open(sqlite(file)) as target:
            count = copy_all(source, target, [])
        (data / HOME).unlink()
        undo.pop_all()
    return count


@contextmanager
def _open(database: Database) -> Iterator[Database]:
    """A database that is let go at the end."""
    try:
        yield database
    finally:
        database.engine.dispose()


def copy_all(source: Database, target: Database, homes: list[str]) -> int:
    """Copy the rows of all tables in one transaction; returns how many. ``homes``: the ids of the
    data folder that belongs to the target. InputError when the target holds something, or servers
    work with the source.
    """
    known = MetaData()
    with source.engine.begin() as old, target.engine.begin() as new:
        old.execute(text(source.look))
        new.execute(text(target.begin))
        recent = f"SELECT count(*) FROM workers WHERE seen > {source.clock} - {LEASE}"
        if old.execute(text(recent)).scalar_one():
            raise InputError("servers work with this database; stop them first")
        known.reflect(old)
        tables = [table for table in known.sorted_tables if table.name != REVISIONS]
        for table in tables:
            if new.execute(select(func.count()).select_from(table)).scalar_one():
                raise InputError(f"the new database is not empty ({table.name}); give another one")
        count = sum(_copied(table, old, new) for table in tables if table.name != "homes")
        for home in homes:
            new.execute(known.tables["homes"].insert(), {"id": home})
    return count


def _copied(table: Table, old: Connection, new: Connection) -> int:
    """Copy the rows of a table; numbers that are drawn go on after the largest."""
    count = 0
    for rows in old.execute(select(table)).mappings().partitions(ROWS):
        new.execute(table.insert(), [dict(row) for row in rows])
        count += len(rows)
    if count and "ordinal" in table.columns and new.dialect.name == "postgresql":
        largest = f"(SELECT max(ordinal) FROM {table.name})"
        counter = f"pg_get_serial_sequence('{table.name}', 'ordinal')"
        new.execute(text(f"SELECT setval({counter}, {largest})"))
    return count
