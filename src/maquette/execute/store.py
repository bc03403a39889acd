"""Folders and files of this machine, or of an object store at a URL (``s3://``, ``gs://``,
``memory://``, whatever fsspec knows; extra ``cloud``).

In the flow: names that a user typed -> places. A place has the methods of a ``Path``, wherever it
is. A unit of work brings what it needs here, and what it made gets its final name there when it is
complete; whoever is interrupted leaves whole files only.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maquette.errors import InputError, MaquetteError, MissingExtraError, OutputError, contained
from maquette.output import atomic_folder, atomic_write, sha256_of, writable_folder
from maquette.types import StrPath

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_REMEDY = "check the address, your rights and the connection"


def path_at(where: StrPath) -> Path:
    """A local path as it is; a URL as something with the methods of a path. MissingExtraError when
    its library is not installed, InputError when nobody knows such URLs or nobody answers there.
    """
    if not isinstance(where, str):
        return where
    if not _URL.match(where):
        return Path(where)
    parts = urllib.parse.urlsplit(where)
    if parts.scheme.lower() == "file":
        return Path(urllib.request.url2pathname(parts.path))
    found = _opened(where)
    with contained(f"{where}: cannot be reached", _REMEDY):
        found.exists()
    return found


def _opened(where: str) -> Any:
    """A URL that is no file's, with a connection of this process."""
    try:
        found = importlib.import_module("upath").UPath(where)
        found.fs.protocol  # noqa: B018 (the first use of it imports what it needs)
    except ImportError as error:
        raise MissingExtraError(
            f"{where}: reading and writing there needs the extra cloud; install it with: "
            f"pip install 'maquette[cloud]' ({error})"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{where}: {error}; expected a folder, or a URL such as s3://bucket/folder or "
            "gs://bucket/folder"
        ) from error
    return found


def is_far(where: Path) -> bool:
    """Whether a place is not on this machine's file system."""
    return not isinstance(where, Path)


def prepared_folder(folder: StrPath) -> Path:
    """``output.writable_folder`` for every place; OutputError when nothing can be written there."""
    where = path_at(folder)
    if not is_far(where):
        return writable_folder(where)
    probe = where / f".maquette-probe-{sha256_of(str(where).encode())[:12]}"
    with written(probe) as temporary:
        temporary.touch()
    probe.unlink(missing_ok=True)
    return where


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """``output.atomic_write`` for every place: yields a local file to write to, which gets the
    final name there when the body has succeeded. Raises OutputError.
    """
    if not is_far(path):
        with atomic_write(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder:
        yield Path(folder) / path.name
        _send(Path(folder) / path.name, path)


@contextlib.contextmanager
def brought_here(path: Path, beside: Sequence[str] = ()) -> Iterator[Path]:
    """A file or folder in a temporary folder of this machine for as long as the body lasts, with
    the files of those suffixes that lie beside it and below; a local one as it is.

    What the body complains about is called by its own name. InputError when it is not there.
    """
    if not is_far(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder, _named(folder, path.parent):
        here = Path(folder) / path.name
        names = _files(path)
        if not names:
            raise InputError(f"{path}: there is no such file or folder; {_REMEDY}")
        for name in names:
            _fetch(path / name if name else path, here / name)
        others = _files(path.parent) if beside else {}
        for name in others:
            if Path(name).suffix.lower() in beside:
                _fetch(path.parent / name, Path(folder) / name)
        yield here


@contextlib.contextmanager
def scene_here(name: StrPath) -> Iterator[Path]:
    """``brought_here`` for a scene: a document comes with the folder of its files."""
    where = path_at(name)
    if where.suffix.lower() != ".json":
        with brought_here(where) as here:
            yield here
        return
    with brought_here(where.parent) as folder:
        yield folder / where.name


@contextlib.contextmanager
def local_copy(folder: Path, last: str) -> Iterator[Path]:
    """A local copy of a folder to work in. What has changed is sent back at the end, also when the
    body raises: ``last``, the file that makes all others valid, after them, and then what is gone
    there goes. A local folder is worked in as it is.
    """
    if not is_far(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="maquette-") as temporary, _named(temporary, folder):
        here = Path(temporary)
        for name in _files(folder):
            _fetch(folder / name, here / name)
        before = _stamps(here)
        try:
            yield here
        finally:
            after = _stamps(here)
            changed = [name for name in after if before.get(name) != after[name]]
            for name in sorted(changed, key=lambda name: (name == last, name)):
                _send(here / name, folder / name)
            for name in before.keys() - after.keys():
                (folder / name).unlink(missing_ok=True)


def kept_here(name: StrPath) -> Path:
    """A copy of a folder or file that all processes of this machine share and later commands find
    again, in ``~/.cache/maquette/copies``; a local one as it is. InputError when it is not there.
    """
    where = path_at(name)
    if not is_far(where):
        return where
    names = _files(where)
    if not names:
        raise InputError(f"{where}: there is no such file or folder; {_REMEDY}")
    told = f"{where} {sorted(names.items())}"
    key = sha256_of(told.encode())[:16]
    copy = Path.home() / ".cache" / "maquette" / "copies" / key
    if not copy.is_dir():
        with atomic_folder(copy) as temporary:
            for below in names:
                _fetch(where / below if below else where, temporary / (below or where.name))
    return copy / where.name if "" in names else copy


def span(path: Path, start: int, end: int) -> bytes:
    """The bytes of a file from ``start`` to ``end``, and no others. InputError when it cannot be
    read.
    """
    with contained(f"{path}: cannot be read", _REMEDY):
        if is_far(path):
            own = _opened(str(path))  # connections are of one process, and this may be another
            return own.fs.cat_file(own.path, start=start, end=end)
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


def _files(where: Any) -> dict[str, str]:
    """Names of the files below a folder, or "" for a file itself, and what tells each from another
    content.
    """
    with contained(f"{where}: cannot be listed", _REMEDY):
        found = where.fs.find(where.path, detail=True)
    root = where.path.strip("/")
    files = {}
    for key, about in found.items():
        name = key.strip("/")[len(root) :].lstrip("/")
        if ".." in Path(name).parts:
            raise InputError(f"{where}: holds a file named {name}; rename it")
        marks = [about.get(mark) for mark in ("size", "ETag", "etag", "mtime", "created")]
        files[name] = str(marks)
    return files


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells the files below a local folder from changed ones."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.relative_to(folder).as_posix(): path.stat() for path in files}
    return {name: (about.st_mtime_ns, about.st_size) for name, about in found.items()}


def _fetch(there: Any, here: Path) -> None:
    here.parent.mkdir(parents=True, exist_ok=True)
    with contained(f"{there}: cannot be fetched", _REMEDY):
        there.fs.get_file(there.path, str(here))


def _send(here: Path, there: Any) -> None:
    with contained(f"{there}: cannot be written", _REMEDY, OutputError):
        there.fs.put_file(str(here), there.path)


@contextlib.contextmanager
def _named(temporary: str, place: Path) -> Iterator[None]:
    """Complaints about files of a temporary folder, in the names that the user knows."""
    try:
        yield
    except MaquetteError as error:
        told = str(error).replace(temporary, str(place))
        raise type(error)(told) from error
