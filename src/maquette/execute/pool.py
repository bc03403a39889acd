"""The same small task many times: here, in processes that start fresh and keep to a number of
threads, or on a cluster. Order of the tasks never matters.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from maquette.errors import InputError
from maquette.execute.cluster import Cluster, connected
from maquette.execute.processes import Arguments, Ended, Outcome, Outcomes, Task, spawned
from maquette.execute.share import ALL, Share
from maquette.options.execution import ExecutionOptions
from maquette.types import StrPath


class Pool(Protocol):
    """Whoever does tasks."""

    def outcomes(self, task: Task, arguments: Iterable[Arguments]) -> Outcomes:
        """Call ``task(*a)`` for all arguments; yields their numbers and what was returned, in the
        order in which they get done. ``Ended`` stands for a task whose process ended; what a task
        raises is raised here.
        """
        ...


@dataclass(frozen=True)
class Here:
    """In this process, one task after the other."""

    def outcomes(self, task: Task, arguments: Iterable[Arguments]) -> Outcomes:
        """See ``Pool``."""
        return ((number, task(*each)) for number, each in enumerate(arguments))


@dataclass(frozen=True)
class Engine:
    """Where the tasks of a command are done, and which of them are this machine's."""

    jobs: int = 1  # processes, or workers of a cluster; 0 = in this process
    threads: int = 1  # of each
    share: Share = ALL
    merge: bool = False  # do nothing, but put together what the shares made, if that is everything
    cluster: Cluster | None = None  # None = this machine

    def __post_init__(self) -> None:
        if self.jobs < 0 or self.threads < 1:
            raise InputError(
                "jobs must be at least 0 and threads at least 1, "
                f"got {self.jobs} and {self.threads}"
            )

    @classmethod
    def of(
        cls,
        options: ExecutionOptions,
        jobs: int,
        threads: int = 1,
    ) -> Engine:
        """From the options of a command. InputError when they contradict each other."""
        share = Share.read(options.shard)
        if options.merge and not share.is_all:
            raise InputError("--merge puts all shards together; leave --shard out")
        cluster = None
        if options.engine == "ray":
            cluster = Cluster(options.address, options.num_gpus)
        return cls(jobs, threads, share, options.merge, cluster)

    def at_most(self, tasks: int) -> Engine:
        """With no more processes than there are tasks."""
        return replace(self, jobs=min(self.jobs, max(tasks, 1)))


HERE = Engine(jobs=0)


@contextlib.contextmanager
def processes(
    engine: Engine, shared: Sequence[StrPath] = (), prepare: Task | None = None
) -> Iterator[Pool]:
    """Whoever does the tasks of a command, for as long as it takes.

    shared: folders that all machines must see. prepare: what a new process does first with the
    number of its threads (default: ``keep_to``). InputError when the engine is a cluster that
    cannot be reached, has another version of this package, or does not see them.
    """
    prepare = prepare or keep_to
    if engine.cluster is not None:
        with connected(engine.cluster, engine.jobs, engine.threads, shared, prepare) as pool:
            yield pool
    elif engine.jobs == 0:
        yield Here()
    else:
        with spawned(engine.jobs, prepare, (engine.threads,)) as workers:
            yield workers


def in_processes(
    pool: Pool,
    task: Callable[..., Any],
    arguments: Sequence[Arguments],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Any]:
    """Call ``task(*a)`` for all arguments; what they return, in their order. ``Ended`` stands for a
    task whose process ended; the first error stops all.
    """
    progress(0, len(arguments))
    results: list[Any] = [None] * len(arguments)
    for done, (number, result) in enumerate(pool.outcomes(task, arguments), 1):
        results[number] = result
        progress(done, len(arguments))
    return results


def in_order(outcomes: Iterable[Outcome]) -> Outcomes:
    """The same outcomes by their numbers, each as soon as those before it are there."""
    waiting: dict[int, Any] = {}
    following = 0
    for number, outcome in outcomes:
        waiting[number] = outcome
        while following in waiting:
            yield following, waiting.pop(following)
            following += 1


def lost(arguments: Sequence[Arguments], results: Sequence[Any]) -> Iterator[tuple[Arguments, str]]:
    """The arguments of tasks whose process ended, and why it did."""
    for each, result in zip(arguments, results, strict=True):
        if isinstance(result, Ended):
            yield each, result.reason


def keep_opencv_to(threads: int) -> None:
    """The same where torch and numba are not needed, which take seconds to import."""
    import cv2

    cv2.setNumThreads(threads)
    os.environ.update(IGL_NUM_THREADS=f"{threads}", OMP_NUM_THREADS=f"{threads}")


def keep_to(threads: int) -> None:
    """Limit the threads of the numerical libraries in a new process."""
    import cv2
    import numba
    import torch

    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # in a new process: all there are
    torch.set_num_threads(threads)
