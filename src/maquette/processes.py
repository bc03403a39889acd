"""Processes that work for this one, and end with it.

Just after output in the flow. A terminal sends Ctrl-C to all processes of a command; if each dealt
with it by itself, all would print their tracebacks. So it is the first process's business: it stops
waiting, ends the others, and says one line (cli).
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from types import FrameType
from typing import Any


@contextlib.contextmanager
def spawned(
    jobs: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """``jobs`` processes, started when they are first needed. An exception in the body ends them
    and the tasks they are at.

    They are spawned, not forked: their memory is what their tasks need, and threads of this process
    cannot be torn.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _begin, (initializer, initargs)
    )
    through = False
    try:
        yield pool
        through = True
    finally:
        pool.shutdown(wait=through, cancel_futures=True)
        while not through and (mine := set(multiprocessing.active_children()) - others):
            for process in mine:
                process.terminate()  # ends a task; the next one may wait in the queue already
            for process in mine:
                process.join(0.5)
        pool.shutdown(wait=True)


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if initializer is not None:
        initializer(*initargs)


def _leave(number: int, frame: FrameType | None) -> None:
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)  # once is enough
    sys.exit(1)  # tidily: temporary files are removed on the way out
