"""The same small task many times, in processes that start fresh and keep to a number of threads.
Order of the tasks never matters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from maquette.processes import Ended, Workers, spawned


@contextlib.contextmanager
def processes(jobs: int, threads: int) -> Iterator[Workers | None]:
    """``jobs`` processes of some threads each; None for 0 jobs, which means: here, one after the
    other.
    """
    if jobs == 0:
        yield None
        return
    with spawned(jobs, _keep_to, (threads,)) as pool:
        yield pool


def in_processes(
    pool: Workers | None,
    task: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Any]:
    """Call ``task(*a)`` for all arguments; what they return, in their order. ``Ended`` stands for a
    task whose process ended; the first error stops all.
    """
    progress(0, len(arguments))
    here = ((number, task(*each)) for number, each in enumerate(arguments))
    results: list[Any] = [None] * len(arguments)
    outcomes = here if pool is None else pool.outcomes(task, arguments)
    for done, (number, result) in enumerate(outcomes, 1):
        results[number] = result
        progress(done, len(arguments))
    return results


def lost(
    arguments: Sequence[tuple[Any, ...]], results: Sequence[Any]
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The arguments of tasks whose process ended, and why it did."""
    for each, result in zip(arguments, results, strict=True):
        if isinstance(result, Ended):
            yield each, result.reason


def _keep_to(threads: int) -> None:
    """Limit the threads of the numerical libraries in a new process."""
    import cv2
    import numba
    import torch

    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # in a new process: all there are
    torch.set_num_threads(threads)
