"""The database of a server: SQLite in its data folder. Opened here, checked, and brought to the
tables of today (Alembic). ``store`` asks it.

WAL with an exclusive lock: readers never wait for the disk, and a second server on the same folder
is refused.
"""

from __future__ import annotations

import functools
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, QueuePool, create_engine, text
from sqlalchemy.exc import DBAPIError

from maquette.app.ownership import APPLICATION_ID, VERSION, check_database
from maquette.errors import InputError, MaquetteError, OutputError

MIGRATIONS = Path(__file__).parent / "migrations"
FIRST = "1"  # the revision of the first releases, which noted none
REVISIONS = "maquette_version"  # the table that says which revision there is
PATIENCE = 1.0  # seconds that a lock of another program is waited for


@dataclass(frozen=True)
class Database:
    """An open database, and what its kind calls things."""

    engine: Engine
    begin: str  # a transaction in which nobody else writes
    look: str  # a transaction that only reads, and sees one moment
    clock: str  # seconds since 1970
    skip: str  # of a query for a row to be changed: pass over what others are changing


def sqlite(path: Path) -> Database:
    """Open or create a file, alone. Raises InputError when it is not ours or in use, OutputError
    when it is damaged or cannot be written.
    """
    is_new = not check_database(path)
    engine = create_engine(
        "sqlite://",
        creator=functools.partial(_connection, path),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=None,  # threads take turns
    )
    found = Database(
        engine,
        begin="BEGIN IMMEDIATE",
        look="BEGIN",
        clock="((julianday('now') - 2440587.5) * 86400.0)",
        skip="",  # others wait
    )
    try:
        damage = _prepare(found, is_new)
    except DBAPIError as error:
        damage = str(error.orig)
    if damage != "ok":
        engine.dispose()
        raise _unusable(path, damage)
    return found


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=PATIENCE,
        check_same_thread=False,
        isolation_level=None,
    )
    for pragma in ("locking_mode=EXCLUSIVE", "trusted_schema=OFF", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _prepare(found: Database, is_new: bool) -> str:
    """Lock the file and bring its tables up to date; returns what is wrong with it, or ``ok``. A
    new one gets its tables first, so that its header says whose it is before anything else is
    written.
    """
    if is_new:
        _migrate(found, None)
    with found.engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
        damage = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if damage == "ok":
        _migrate(found, FIRST)
    return damage


def _migrate(found: Database, unnoted: str | None) -> None:
    """Run all revisions that a database has not seen. ``unnoted``: the one of a database that notes
    none.
    """
    with found.engine.begin() as connection:
        connection.execute(text(found.begin))
        _upgrade(connection, unnoted)


def _upgrade(connection: Connection, unnoted: str | None) -> None:
    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    context = MigrationContext.configure(connection, opts={"version_table": REVISIONS})
    known = context.get_current_revision() or unnoted
    todo = list(script.iterate_revisions("head", known or "base"))
    for revision in reversed(todo):
        with Operations.context(context):
            revision.module.upgrade()
        context.stamp(script, revision.revision)
    if todo and connection.dialect.name == "sqlite":
        connection.execute(text(f"PRAGMA application_id={APPLICATION_ID}"))
        connection.execute(text(f"PRAGMA user_version={VERSION}"))


def _unusable(path: Path, reason: str) -> MaquetteError:
    if "locked" in reason:
        return InputError(
            f"{path.parent}: another maquette app works in this folder; "
            "stop it or choose another --data"
        )
    return OutputError(
        f"{path}: cannot be used ({reason}); put a copy of it back, or choose another --data"
    )
