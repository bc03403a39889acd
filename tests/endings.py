"""Ends an action at each of its steps that change the disk, in a process of its own: killed as by
``kill -9``, interrupted as by Ctrl-C, or refused by a full disk. For laws of the form "whenever it
ends, ...".
"""

import contextlib
import errno
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

UNREACHED = 0  # the action has fewer steps
SURVIVED = 1  # it went on to its end
RAISED = 2  # what was expected
BROKEN = 3  # something else was raised
KILLED = 9
_FREES = ("os.remove", "os.rmdir")
_TAKES = ("open", "os.mkdir", "os.link", "os.symlink", "os.rename", "fsync")


def kill(event: str, arguments: tuple) -> None:
    """End at once, with half a file where one was about to be written."""
    if event == "open" and arguments[2] & os.O_CREAT:
        with contextlib.suppress(OSError), open(arguments[0], "wb") as file:
            file.write(b"half")
    os._exit(KILLED)


def interrupt(event: str, arguments: tuple) -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


def fill_disk(event: str, arguments: tuple) -> None:
    """No space left; deleting is still possible."""
    if event not in _FREES:
        raise OSError(errno.ENOSPC, "No space left on device")


def endings(
    prepare: Callable[[], object],
    action: Callable[[], object],
    end: Callable[[str, tuple], None],
    expected: type[BaseException] = KeyboardInterrupt,
) -> Iterator[int]:
    """Prepare, and end the action at its 1st, 2nd, ... step, until it has none left; yields how
    each of them went: KILLED, RAISED (``expected``) or SURVIVED.
    """
    for step in itertools.count(1):
        prepare()
        code = _in_a_child(lambda step=step: _end_at(step, end), action, expected)
        assert code != BROKEN, f"at step {step} something else was raised than {expected.__name__}"
        if code == UNREACHED:
            return
        yield code


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones, too."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _in_a_child(arm: Callable[[], list], action: Callable[[], object], expected: type) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which the child does not need
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = BROKEN
    try:
        reached = arm()
        action()
        code = SURVIVED if reached else UNREACHED
    except expected:
        code = RAISED
    finally:
        os._exit(code)


def _end_at(step: int, end: Callable[[str, tuple], None]) -> list[str]:
    """Let ``end`` loose at one of the steps to come; the list that is returned gets its name."""
    reached: list[str] = []
    left = step
    flush = os.fsync

    def on_event(event: str, arguments: tuple) -> None:
        nonlocal left
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if reached or reads or event not in _FREES + _TAKES:
            return
        left -= 1
        if left == 0:
            reached.append(event)
            end(event, arguments)

    def fsync(number: int) -> None:
        on_event("fsync", ())
        flush(number)

    os.fsync = fsync
    sys.addaudithook(on_event)
    return reached
