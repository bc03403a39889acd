"""What is ours: which data folder and which database this program may work in. Everything is only
read here.

First of all that a start does, so that a folder of somebody else's files, or another program's
database, is refused before a byte of it has changed. The header of a database is that of SQLite
(https://www.sqlite.org/fileformat.html).
"""

from __future__ import annotations

import os
from pathlib import Path

from maquette.errors import InputError, OutputError

DATABASE = "maquette.sqlite3"
APPLICATION_ID = 0x6D617175  # "maqu"
VERSION = 2  # of the tables, their newest revision; a higher one is a newer program's
# Databases of 0.1.0 have no application id, but this table; SQLite keeps its words as they were.
_FIRST_SIGN = b"CREATE TABLE histories (owner TEXT PRIMARY KEY, head INTEGER, last INTEGER)"
_MAGIC = b"SQLite format 3\0"
_LONGEST_PAGE = 65536  # bytes
_CHOOSE = "choose another --data"


def check_folder(root: Path) -> None:
    """Refuse a data folder that holds something but no database of ours. It need not exist.

    Raises InputError, or OutputError when it cannot be read.
    """
    database = root / DATABASE
    try:
        beside = {path.name for path in root.iterdir()} - {DATABASE} if root.exists() else set()
        size = database.stat().st_size if database.exists() else None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"{root}: is no folder that can be used ({reason}); {_CHOOSE}") from error
    if not beside or size:
        return
    if size is None:
        raise InputError(
            f"{root}: holds files but no {DATABASE}, so it is not a data folder of maquette app; "
            "choose an empty or new folder with --data, or put a copy of that file back"
        )
    raise InputError(
        f"{database}: is empty (0 bytes), so what lies beside it is not known; "
        f"put a copy of the file back, or {_CHOOSE}"
    )


def check_database(path: Path) -> bool:
    """Tell whether a database is there (False: it can be created); refuse any that is not ours.

    Raises InputError, or OutputError when it is damaged or cannot be read.
    """
    if not os.path.lexists(path):
        return False
    foreign = InputError(f"{path}: is not a database of maquette app, or a broken one; {_CHOOSE}")
    if not path.is_file():
        raise foreign
    try:
        head, log = _first_page(path), _write_ahead_log(path)
        size = path.stat().st_size
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}); {_CHOOSE}") from error
    if size == 0:
        return False
    if not head.startswith(_MAGIC) or not _is_ours(head, log):
        raise foreign
    version = _number(head, 60)
    if version > VERSION:
        raise InputError(
            f"{path}: was written by a newer maquette (version {version} of the file); "
            "use that one or another --data"
        )
    whole = _number(head, 28) * _page_bytes(head)
    if size < whole and not log:  # with a log the rest may still be in there
        raise OutputError(
            f"{path}: is truncated ({size} of {whole} bytes); put a copy of it back, or {_CHOOSE}"
        )
    return True


def _first_page(path: Path) -> bytes:
    """The first page, which has the header and the list of tables."""
    with open(path, "rb") as file:
        head = file.read(_LONGEST_PAGE)
    return head[: _page_bytes(head)]


def _write_ahead_log(path: Path) -> bytes:
    """What was written last and, after a crash, is not in the database itself."""
    log = Path(f"{os.path.realpath(path)}-wal")
    return log.read_bytes() if log.is_file() else b""


def _is_ours(head: bytes, log: bytes) -> bool:
    return _number(head, 68) == APPLICATION_ID or _FIRST_SIGN in head or _FIRST_SIGN in log


def _page_bytes(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    return _LONGEST_PAGE if size == 1 else size


def _number(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 4], "big")
