"""Processes that work for this one, and end with it.

Just after output in the flow. A terminal sends Ctrl-C to all processes of a command; if each dealt
with it by itself, all would print their tracebacks. So it is the first process's business: it stops
waiting, ends the others, and says one line (cli). A first process that is killed has no chance to
do so; the others notice by themselves.

``python -m maquette.processes PID MODULE ARGUMENT...`` runs a module that ends with process PID,
its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
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


def end_with_parent(parent: int | None = None) -> None:
    """End this process within a few seconds when its parent has ended, however that ended. Call it
    first thing in a process that works for another; tasks need do nothing.

    It gets SIGTERM, and is ended if it still runs two seconds later. ``parent`` is the parent's id,
    for whoever knows it: that may have ended already. On Windows only children of multiprocessing
    are ended.
    """
    started_by = os.getppid() if parent is None else parent
    watch = threading.Thread(target=_end_after, args=(started_by,), name="parent", daemon=True)
    watch.start()


def _end_after(started_by: int) -> None:
    spawner = multiprocessing.parent_process()
    if spawner is not None:
        spawner.join()
    while spawner is None and os.getppid() == started_by:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2.0)
    os._exit(1)


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent()
    if initializer is not None:
        initializer(*initargs)


def _leave(number: int, frame: FrameType | None) -> None:
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)  # once is enough
    sys.exit(1)  # tidily: temporary files are removed on the way out


if __name__ == "__main__":
    del sys.argv[0]
    end_with_parent(int(sys.argv.pop(0)))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
