"""The database of a server: SQLite in its data folder, or PostgreSQL. Opened here, checked, and
brought to the tables of today (Alembic). ``store`` asks it.

One process has its SQLite file for itself: WAL with an exclusive lock, so readers never wait for
the disk, and a second server on the same folder is refused. Several processes of one machine share
the file, those of several machines share PostgreSQL.
"""

from __future__ import annotations

import functools
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, QueuePool, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from maquette.app.ownership import APPLICATION_ID, VERSION, check_database
from maquette.errors import InputError, MaquetteError, OutputError

MIGRATIONS = Path(__file__).parent / "migrations"
FIRST = "1"  # the revision of the first releases, which noted none
REVISIONS = "maquette_version"  # the table that says which revision there is
PATIENCE = 1.0  # seconds that a lock of another program is waited for
SHARED_PATIENCE = 30_000  # milliseconds that one of our own programs is waited for
CONNECTING = 5  # seconds in which a server must answer
POSTGRESQL = ("postgresql", "postgres")


@dataclass(frozen=True)
class Database:
    """An open database, and what its kind calls things."""

    engine: Engine
    begin: str  # a transaction in which nobody else writes
    look: str  # a transaction that only reads, and sees one moment
    clock: str  # seconds since 1970
    skip: str  # of a query for a row to be changed: pass over what others are changing


def sqlite(path: Path, shared: bool = False) -> Database:
    """Open or create a file; alone, or shared with other processes of this machine. Raises
    InputError when it is not ours or in use, OutputError when it is damaged or cannot be written.
    """
    is_new = not check_database(path)
    engine = create_engine(
        "sqlite://",
        creator=functools.partial(_connection, path, shared),
        poolclass=QueuePool,
        pool_size=8 if shared else 1,
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


def _connection(path: Path, shared: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=PATIENCE,
        check_same_thread=False,
        isolation_level=None,
    )
    own = ["locking_mode=EXCLUSIVE", "trusted_schema=OFF", "synchronous=FULL"]
    others = ["trusted_schema=OFF", "synchronous=FULL", f"busy_timeout={SHARED_PATIENCE}"]
    try:
        for pragma in others if shared else own:
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:  # somebody else has it; what is open here would keep others out
        connection.close()
        raise
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


def postgresql(address: str) -> Database:
    """Connect to a server, and create our tables in a database that has none. InputError when the
    address is wrong, nobody answers, or the database is another program's.
    """
    try:
        url = make_url(address)
    except ArgumentError:
        raise InputError(
            "--database: is no address of a database; expected postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    shown = url.render_as_string()
    if url.get_backend_name() not in POSTGRESQL:
        raise InputError(
            f"--database {shown}: is of an unknown kind; expected postgresql://USER@HOST/NAME, or "
            "leave --database out for SQLite in the data folder"
        )
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECTING, "client_encoding": "utf8"},
        )
    except ImportError:
        raise InputError(
            f"--database {shown}: needs psycopg; pip install 'maquette[postgres]'"
        ) from None
    found = Database(
        engine,
        begin=f"SELECT pg_advisory_xact_lock({APPLICATION_ID})",
        look="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        clock="extract(epoch FROM clock_timestamp())",
        skip="FOR UPDATE SKIP LOCKED",
    )
    try:
        _migrate(found, None)
    except DBAPIError as error:
        engine.dispose()
        reason = str(error.orig).strip().splitlines()[0]
        raise InputError(f"--database {shown}: cannot be used ({reason})") from error
    except InputError as error:
        engine.dispose()
        raise InputError(f"--database {shown}: {error}; give another one") from None
    return found


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
    if known is None and inspect(connection).get_table_names():
        raise InputError("is not a database of maquette, but has tables")
    if known is not None and int(known) > VERSION:
        raise InputError(f"was written by a newer maquette (version {known} of the tables)")
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
