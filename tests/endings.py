"""Ends an action at its steps that change the disk, in a process of its own: killed as by
``kill -9``, interrupted as by Ctrl-C, or refused by a full disk. For laws of the form "whenever it
ends, ...": by default at the ``telling`` steps, with ``pytest -m slow`` at every one.
"""

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

UNREACHED = 0  # the action has fewer steps
SURVIVED = 1  # it went on to its end
RAISED = 2  # what was expected
BROKEN = 3  # something else was raised
KILLED = 9
_FREES = ("os.remove", "os.rmdir")
_NAMES = ("os.link", "os.symlink", "os.rename")
_TAKES = ("open", "os.mkdir", *_NAMES, "fsync")

Choice = Callable[[Sequence[str]], Iterable[int]]  # of steps, which count from 1, by their kinds


def every(kinds: Sequence[str]) -> Iterable[int]:
    """All steps."""
    return range(1, len(kinds) + 1)


def telling(kinds: Sequence[str]) -> Iterable[int]:
    """The last step, those that give a file its name, and the first of each kind after each
    kind.
    """
    pairs = list(zip(["", *kinds], kinds, strict=False))
    for step in every(kinds):
        pair = pairs[step - 1]
        if pair[1] in _NAMES or step in (pairs.index(pair) + 1, len(kinds)):
            yield step


at_steps = pytest.mark.parametrize("steps", [telling, pytest.param(every, marks=pytest.mark.slow)])


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
    steps: Choice,
    expected: type[BaseException] = KeyboardInterrupt,
) -> Iterator[int]:
    """Prepare, and end the action at each of the chosen steps; yields how each of them went:
    KILLED, RAISED (``expected``) or SURVIVED.
    """
    prepare()
    for step in steps(_kinds(action)):
        prepare()
        code = _in_a_child(lambda step=step: _end_at(step, end), action, expected)
        assert code != BROKEN, f"at step {step} something else was raised than {expected.__name__}"
        assert code != UNREACHED, f"the action has no step {step}"
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


def _kinds(action: Callable[[], object]) -> list[str]:
    """The names of an action's steps."""
    read, write = os.pipe()

    def tell() -> list[str]:
        os.close(read)
        _on_steps(lambda kind, arguments: os.write(write, f"{kind}\n".encode()))
        return []

    code = _in_a_child(tell, action, KeyboardInterrupt)
    os.close(write)
    with open(read) as told:
        kinds = told.read().split()
    assert code == UNREACHED and kinds, "the action fails by itself"
    return kinds


def _end_at(step: int, end: Callable[[str, tuple], None]) -> list[str]:
    """Let ``end`` loose at one of the steps to come; the list that is returned gets its name."""
    reached: list[str] = []
    left = step

    def on_step(kind: str, arguments: tuple) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            reached.append(kind)
            end(kind, arguments)

    _on_steps(on_step)
    return reached


def _on_steps(tell: Callable[[str, tuple], None]) -> None:
    """From now on, each step of this process is told before it is taken."""
    flush = os.fsync

    def on_event(event: str, arguments: tuple) -> None:
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in _FREES + _TAKES and not reads:
            tell(event, arguments)

    def fsync(number: int) -> None:
        on_event("fsync", ())
        flush(number)

    os.fsync = fsync
    sys.addaudithook(on_event)
