"""The same small task many times, in processes that start fresh and keep to a number of threads.
Order of the tasks never matters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from maquette.errors import MaquetteError
from maquette.processes import spawned


@contextlib.contextmanager
def processes(jobs: int, threads: int) -> Iterator[ProcessPoolExecutor | None]:
    """``jobs`` processes of some threads each; None for 0 jobs, which means: here, one after the
    other.
    """
    if jobs == 0:
        yield None
        return
    with spawned(jobs, _keep_to, (threads,)) as pool:
        yield pool


def in_processes(
    pool: ProcessPoolExecutor | None,
    task: Callable[..., None],
    arguments: Sequence[tuple[Any, ...]],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Call ``task(*a)`` for all arguments. The first error stops all."""
    progress(0, len(arguments))
    if pool is None:
        for k, each in enumerate(arguments):
            task(*each)
            progress(k + 1, len(arguments))
        return
    futures = [pool.submit(task, *each) for each in arguments]
    try:
        for k, future in enumerate(as_completed(futures)):
            future.result()
            progress(k + 1, len(arguments))
    except BrokenProcessPool as error:
        raise MaquetteError(
            "a process was ended from outside, most likely for memory; "
            "repeat the command with fewer --jobs"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _keep_to(threads: int) -> None:
    """Limit the threads of the numerical libraries in a new process."""
    import cv2
    import numba
    import torch

    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # in a new process: all there are
    torch.set_num_threads(threads)
