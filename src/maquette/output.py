"""Writing results so that nothing half-written ever stands under its final name.

Just after errors and types in the flow; everything that writes a file goes through here. A file is
written under a hidden temporary name in its own folder, flushed to the disk, and renamed, which is
atomic on one file system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from maquette.errors import OutputError

TEMPORARY_PREFIX = ".maquette-"


def refuse_overwrite(path: str | Path, overwrite: bool) -> Path:
    """Return the path if it is free or may be replaced; OutputError otherwise."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path}: already exists and would be overwritten; choose another name or pass --overwrite (overwrite=True)"
        )
    return path


def writable_folder(path: str | Path) -> Path:
    """Create the folder when missing and prove it writable, before work worth minutes begins;
    OutputError otherwise.
    """
    path = Path(path)
    with _as_output_error(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = _temporary_name(path / "probe")
        probe.touch()
        probe.unlink()
    return path


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path (same folder, same suffix) to write to; it takes the final name when
    the body has succeeded.

    Missing parent folders are created. Any exception, Ctrl-C included, removes the temporary file
    and leaves what stood at ``path`` before. An OSError of the body (disk full, no permission)
    becomes an OutputError that names ``path``; so read inputs before.
    """
    path = Path(os.path.realpath(path))  # a link keeps pointing to the file that is replaced
    temporary = _temporary_name(path)
    try:
        with _as_output_error(path):
            if path.exists() and not path.is_file():
                raise OutputError(
                    f"{path}: is {'a folder' if path.is_dir() else 'not a regular file'}; give the name of a file"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch(
                exist_ok=False
            )  # fails now, not after the body's work, when the folder is not writable
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to fill; it takes the final name when the body has succeeded,
    replacing a folder that stood there.
    """
    path = Path(os.path.realpath(path))
    temporary = _temporary_name(path)
    replaced = _temporary_name(path)
    try:
        with _as_output_error(path):
            if path.exists() and not path.is_dir():
                raise OutputError(f"{path}: is a file; give the name of a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush_to_disk(file)
            if path.exists():
                os.replace(path, replaced)
            os.replace(temporary, path)
    finally:
        if replaced.exists() and not path.exists():  # interrupted between the two renames
            os.replace(replaced, path)
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    return path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}{path.suffix}"


def _flush_to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path}: cannot be written ({reason}); check the folder's permissions and the free space"
        ) from error
