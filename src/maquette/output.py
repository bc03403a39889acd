"""Writing results so that nothing half-written ever stands under its final name.

Just after errors and types in the flow; everything that writes a file goes through here. A file is
written under a hidden temporary name in its own folder, flushed to the disk, and renamed, which is
atomic on one file system. The temporary name says which process of which machine it belongs to, so
that a later run can tell the leftovers of a killed one (``clear_leftovers``) from work in progress.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from maquette.errors import OutputError, reason_of
from maquette.types import StrPath

TEMPORARY_PREFIX = ".maquette-"
FOREIGN_AGE = 86400.0  # seconds after which a temporary of another machine counts as abandoned
RESULT_SUFFIX = ".result"  # of folders in which batch prepares a result; it settles them itself
# ``.maquette-<machine>-<process>-<random>.<suffix>``, or ``~<name>`` for a folder moved out of the
# way; up to version 0.1.0 without machine and process.
_TEMPORARY = re.compile(
    r"\.maquette-(?:(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,9})-)?[0-9a-f]{12}"
    r"(?:~(?P<moved>.+)|\..*)?",
    re.DOTALL,
)
_FULL = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room, or write elsewhere")
_IN_THE_WAY = dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a folder is needed here; name another")
_NOWHERE = {errno.ENOENT: "there is no such folder and none can be made there; name another"}
_REMEDIES = _FULL | _IN_THE_WAY | _NOWHERE


def sha256_of(content: bytes) -> str:
    """Hexadecimal, of 64 digits."""
    return hashlib.sha256(content).hexdigest()


def refuse_overwrite(path: StrPath, overwrite: bool) -> Path:
    """Return the path if it is free or may be replaced; OutputError otherwise."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path}: already exists and would be overwritten; "
            "choose another name or pass --overwrite (overwrite=True)"
        )
    return path


def writable_folder(path: StrPath) -> Path:
    """Create the folder when missing and prove it writable, before work worth minutes begins;
    OutputError otherwise. What killed runs have left in it is removed.
    """
    path = Path(path)
    with as_output_error(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = temporary_path(path / "probe")
        probe.touch()
        probe.unlink()
    clear_leftovers(path)
    return path


@contextlib.contextmanager
def atomic_write(path: StrPath) -> Iterator[Path]:
    """Yield a temporary path (same folder, same suffix) to write to; it takes the final name when
    the body has succeeded.

    Missing parent folders are created. Any exception, Ctrl-C included, removes the temporary file
    and leaves what stood at ``path`` before. An OSError of the body (disk full, no permission)
    becomes an OutputError that names ``path``; so read inputs before.
    """
    path = Path(os.path.realpath(path))  # a link keeps pointing to the file that is replaced
    temporary = temporary_path(path)
    try:
        with _replacing(path, Path.is_file, "file"):
            # fails now, not after the body's work, when the folder is not writable
            temporary.touch(exist_ok=False)
            yield temporary
            flush_to_disk(temporary)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together. All are complete on the disk before any takes its name, and
    the first one, which refers to the others, takes its name last. Raises OutputError.
    """
    with contextlib.ExitStack() as open_files:  # leaves in the reverse order
        for path, content in contents.items():
            open_files.enter_context(atomic_write(path)).write_bytes(content)


@contextlib.contextmanager
def atomic_folder(path: StrPath) -> Iterator[Path]:
    """Yield a temporary folder to fill; it takes the final name when the body has succeeded,
    replacing a folder that stood there.

    A folder cannot be replaced in one step. When the process is killed between the two that it
    takes, ``clear_leftovers`` brings the old folder back.
    """
    path = Path(os.path.realpath(path))
    temporary = temporary_path(path)
    moved = path.with_name(f"{temporary_path(path.parent / 'moved').name}~{path.name}")
    try:
        with _replacing(path, Path.is_dir, "folder"):
            clear_leftovers(path.parent)
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    flush_to_disk(file)
            if path.exists():
                os.replace(path, moved)
            os.replace(temporary, path)
    finally:
        for leftover in (temporary, moved):
            _give_up(leftover)


@contextlib.contextmanager
def _replacing(path: Path, is_right: Callable[[Path], bool], kind: str) -> Iterator[None]:
    """What replacing a file and a folder have in common."""
    with as_output_error(path):
        if path.exists() and not is_right(path):
            raise OutputError(f"{path}: is no {kind}; give the name of a {kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    flush_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """A hidden name of this process's own beside ``path``, with its suffix; nothing is created."""
    own = f"{_machine()}-{os.getpid()}-{secrets.token_hex(6)}"
    return path.parent / f"{TEMPORARY_PREFIX}{own}{path.suffix}"


def clear_leftovers(folder: StrPath) -> int:
    """Delete the temporary files and folders that killed runs have left directly in ``folder``;
    returns how many. Never fails: what cannot be deleted stays.

    Several processes and machines may write into one folder, so only what is ``abandoned`` goes. A
    folder that ``atomic_folder`` had moved out of the way comes back if nothing stands in its
    place. Names that are not ``temporary_path``'s are never touched; neither are those that end
    with RESULT_SUFFIX.
    """
    leftovers = [path for path in abandoned(Path(folder)) if path.suffix != RESULT_SUFFIX]
    for path in leftovers:
        _give_up(path)
    return len(leftovers)


def abandoned(folder: Path) -> list[Path]:
    """The temporary files and folders directly in ``folder`` whose process has ended. Of a process
    on another machine (or in another container) nothing is known: FOREIGN_AGE decides there.
    """
    return [path for path in sorted(folder.glob(f"{TEMPORARY_PREFIX}*")) if _is_abandoned(path)]


def _is_abandoned(path: Path) -> bool:
    name = _TEMPORARY.fullmatch(path.name)
    if name is None:
        return False
    if name["machine"] == _machine() and os.name == "posix":
        return not _lives(int(name["process"]))
    try:
        return time.time() - path.lstat().st_mtime > FOREIGN_AGE
    except OSError:  # gone meanwhile
        return False


def flush_to_disk(path: Path) -> None:
    """Make sure that a file's content survives a power failure."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Make sure that renames in a folder survive a power failure, where the system can do that."""
    with contextlib.suppress(OSError):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextlib.contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints in the body into an OutputError that names ``path``
    and not the temporary.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or reason_of(error)
        remedy = _REMEDIES.get(error.errno or 0, "check the folder's permissions")
        raise OutputError(f"{path}: cannot be written ({reason}); {remedy}") from error


def _machine() -> str:
    """Eight hex digits for where a process number means something: the machine, and on Linux the
    container on it.
    """
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return sha256_of(f"{platform.node()} {container}".encode())[:8]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # it may be somebody else's
    return True


def _give_up(path: Path) -> None:
    """Delete a temporary file or folder, or bring the folder back that it is."""
    name = _TEMPORARY.fullmatch(path.name)
    moved = name["moved"] if name else None
    with contextlib.suppress(OSError):
        if moved and path.exists() and not os.path.lexists(path.with_name(moved)):
            os.replace(path, path.with_name(moved))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
