"""A studio that several processes have together: one database, one folder, leases instead of one
owner.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

from maquette.app.databases import Database, postgresql, sqlite
from maquette.app.finders import GRABCUT, Finders
from maquette.app.folders import KINDS, Folders
from maquette.app.ownership import DATABASE
from maquette.app.spare import Spare
from maquette.app.store import Store
from maquette.app.studio import Studio
from maquette.errors import InputError, OutputError
from maquette.output import write_files
from maquette.serve.locks import shared_locks
from maquette.serve.news import SharedNews
from maquette.serve.settings import LEASE, ServeSettings
from maquette.types import JsonObject

HOME = "maquette.database"  # names the database to which a data folder belongs


def open_shared(
    settings: ServeSettings,
    finders: Finders = GRABCUT,
    lease: float = LEASE,
) -> Studio:
    """Open the database and the data folder beside others. Raises InputError when they are not
    ours, do not belong together or do not answer, OutputError when they cannot be written.
    """
    folders, database = _opened(settings)
    store = Store(database)
    progress: dict[str, JsonObject] = {}
    try:
        folders.prepare()
        locks = shared_locks(folders.root)
    except OSError as error:
        store.close()
        raise OutputError(f"{folders.root}: cannot be written ({error.strerror})") from error
    return Studio(
        settings,
        folders,
        store,
        threading.BoundedSemaphore(settings.heavy),
        finders,
        lease,
        news=SharedNews(store, progress),
        progress=progress,
        locks=locks,
    )


def _opened(settings: ServeSettings) -> tuple[Folders, Database]:
    root = settings.data
    if settings.database is None:
        folders = Folders.at(root)
        return folders, sqlite(folders.database, shared=True)
    database = postgresql(settings.database)
    try:
        require_home(Store(database), root)
    except InputError:
        database.engine.dispose()
        raise
    return Folders(root, Spare(root / f"{DATABASE}-spare")), database


def require_home(store: Store, root: Path) -> None:
    """Refuse a folder that is not the one of this database; a new database takes a new folder.
    Raises InputError.
    """
    sign = root / HOME
    there = sign.read_text(encoding="ascii") if sign.is_file() else None
    with store.transaction():
        known = store.one("SELECT id FROM homes")
        if known is not None and known["id"] == there:
            return
        if known is not None:
            raise InputError(
                f"{root}: is not the folder of this database, or not shared with the machine that "
                "made it; give the --data of before"
            )
        if root.exists() and {path.name for path in root.iterdir()} - {HOME}:
            raise InputError(
                f"{root}: holds files, but the database is new; choose an empty or new folder with "
                "--data, or the --database of before"
            )
        drawn = secrets.token_hex(16)
        root.mkdir(parents=True, exist_ok=True)
        write_files({sign: drawn.encode()})
        store.insert("homes", id=drawn)


def tidy_up(studio: Studio) -> None:
    """Put aside what crashes have left, unless others are at work."""
    seen = f"SELECT id FROM workers WHERE seen > {studio.store.database.clock} - :lease"
    if not studio.store.all(seen, lease=studio.lease):
        # of `maquette app`, which keeps jobs without leases, and was killed
        studio.store.run("UPDATE jobs SET lease = 0 WHERE state = 'running' AND lease IS NULL")
        studio.folders.recover({kind: studio.store.ids(kind) for kind in KINDS})
