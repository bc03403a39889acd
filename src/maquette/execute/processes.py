"""Processes that work for this one, and end with it.

A terminal sends Ctrl-C to all processes of a command; if each dealt
with it by itself, all would print their tracebacks. So it is the first process's business: it stops
waiting, ends the others, and says one line (cli). A first process that is killed has no chance to
do so; the others notice by themselves.

``python -m maquette.execute.processes PID MODULE ARGUMENT...`` runs a module that ends with process
PID, its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing
import os
import pickle
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from maquette.errors import MaquetteError, reason_of

KILLED = 9  # SIGKILL, which not every system names
GRACE = 0.5  # seconds in which a process may leave tidily when it is told to
PATIENCE = 20  # times that it is told before it is killed
FALSE_STARTS = 3  # processes in a row that may end before they are prepared
# Processes are spawned, not forked: their memory is what their tasks need, and threads of this
# process cannot be torn.
START = multiprocessing.get_context("spawn")

Task = Callable[..., Any]
Arguments = tuple[Any, ...]  # of one call of a task
Outcome = tuple[int, Any]  # the number of a call, and what it returned
Outcomes = Iterator[Outcome]


@dataclass(frozen=True)
class Ended:
    """Instead of what a task returns: its process ended before it did, whatever ended it."""

    reason: str  # part of a line


class RemoteTraceback(Exception):
    """Where a task raised in its process; the cause of the exception that is raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True, eq=False)
class _PoolProcess:
    """A process, and this end of the connection to it."""

    process: BaseProcess
    connection: Connection

    @classmethod
    def start(cls, prepare: Task | None, arguments: Arguments) -> _PoolProcess:
        """Start one; its first message says that it is prepared."""
        here, there = START.Pipe()
        process = START.Process(target=_work, args=(there, prepare, arguments))
        process.start()
        there.close()
        return cls(process, here)

    def tell(self, message: bytes) -> None:
        """Send something. If nobody is there any more, the next ``answer`` says so."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def answer(self) -> bytes | Ended:
        """Wait for the next message."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            self.process.join()
            return Ended(_way_of_ending(self.process.exitcode or 0))

    def stop(self) -> None:
        """End it and the task that it is at."""
        for _ in range(PATIENCE):
            self.process.terminate()
            self.process.join(GRACE)
            if not self.process.is_alive():
                break
        self.process.kill()
        self.leave()

    def leave(self) -> None:
        """Wait for its end."""
        self.process.join()
        self.connection.close()


@dataclass(frozen=True, eq=False)
class _Assignment:
    """A task that a process is at."""

    number: int
    packed: bytes
    worker: _PoolProcess


class Workers:
    """Processes that do tasks, each started when it is first needed; ``spawned`` makes them."""

    def __init__(
        self,
        jobs: int,
        prepare: Task | None,
        arguments: Arguments,
    ) -> None:
        self._jobs = jobs
        self._preparation = (prepare, arguments)
        self._idle: list[_PoolProcess] = []
        self._under_way: dict[Any, _Assignment] = {}  # by connection
        self._prepared: set[_PoolProcess] = set()
        self._false_starts = 0

    def outcomes(self, task: Task, arguments: Iterable[Arguments]) -> Outcomes:
        """Call ``task(*a)`` for all arguments; yields their numbers and what was returned, in the
        order in which they get done.

        A task whose process ends (killed, out of memory, crashed in C) is ``Ended``, and the others
        go on. What a task raises is raised here, and ends those that are under way.
        MaquetteError when no process can be started.
        """
        todo = enumerate(arguments)
        try:
            while True:
                for number, each in itertools.islice(todo, self._jobs - len(self._under_way)):
                    self._begin(number, pickle.dumps((task, each)))
                if not self._under_way:
                    return
                for connection in wait(list(self._under_way)):
                    yield from self._heard(self._under_way.pop(connection))
        finally:
            self._stop()

    def _begin(self, number: int, packed: bytes) -> None:
        self._idle = [worker for worker in self._idle if worker.process.is_alive()]
        worker = self._idle.pop() if self._idle else _PoolProcess.start(*self._preparation)
        self._under_way[worker.connection] = _Assignment(number, packed, worker)
        worker.tell(packed)

    def _heard(self, assignment: _Assignment) -> Outcomes:
        """Take a message about an assignment, which may be its outcome."""
        worker = assignment.worker
        answer = worker.answer()
        if worker in self._prepared:
            yield assignment.number, self._outcome(worker, answer)
        elif isinstance(answer, Ended):
            self._start_again(assignment, answer)
        else:
            self._false_starts = 0
            self._prepared.add(worker)
            self._under_way[worker.connection] = assignment

    def _outcome(self, worker: _PoolProcess, answer: bytes | Ended) -> Any:
        if isinstance(answer, Ended):
            worker.leave()
            return answer
        self._idle.append(worker)
        return unpacked(answer)

    def _start_again(self, assignment: _Assignment, ended: Ended) -> None:
        assignment.worker.leave()
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS:
            raise MaquetteError(
                f"no process can be started ({ended.reason}); repeat with fewer jobs, and let a "
                'script begin its work below if __name__ == "__main__"'
            )
        self._begin(assignment.number, assignment.packed)

    def _stop(self) -> None:
        """End the tasks that are under way."""
        while self._under_way:
            _, assignment = self._under_way.popitem()
            assignment.worker.stop()

    def close(self) -> None:
        """End the tasks that are under way, and let the processes leave."""
        self._stop()
        for worker in self._idle:
            worker.tell(b"")
        while self._idle:
            self._idle.pop().leave()


@contextlib.contextmanager
def spawned(jobs: int, prepare: Task | None = None, arguments: Arguments = ()) -> Iterator[Workers]:
    """``jobs`` processes, each of which first calls ``prepare(*arguments)``. An exception in the
    body ends them and the tasks they are at.
    """
    workers = Workers(jobs, prepare, arguments)
    try:
        yield workers
    finally:
        workers.close()


def _way_of_ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    likely = ", most likely for memory" if code == -KILLED else ""
    return f"its process was ended by {signal.Signals(-code).name}{likely}"


def end_with_parent(parent: int | None = None) -> None:
    """End this process within a few seconds when its parent has ended, however that ended. Call it
    first thing in a process that works for another; tasks need do nothing.

    It gets SIGTERM, and is ended if it still runs two seconds later. ``parent`` is the parent's id,
    for whoever knows it: that may have ended already. On Windows only children of multiprocessing
    are ended.
    """
    started_by = os.getppid() if parent is None else parent
    watch = threading.Thread(
        target=_end_after,
        args=(started_by,),
        name="parent",
        daemon=True,
    )
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


def _work(connection: Connection, prepare: Task | None, arguments: Arguments) -> None:
    """In a process of its own: say that it is prepared, and do one task after the other until told
    to leave.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent()
    if prepare is not None:
        prepare(*arguments)
    connection.send_bytes(b"prepared")
    while packed := connection.recv_bytes():
        connection.send_bytes(answer_to(packed))


def answer_to(packed: bytes) -> bytes:
    """Do a packed task and its arguments: nothing and what it returns, or what it raises and where,
    packed.
    """
    try:
        task, arguments = pickle.loads(packed)
        return pickle.dumps((None, task(*arguments)))
    except Exception as error:
        return _packed_error(error, traceback.format_exc())


def unpacked(answer: bytes) -> Any:
    """What a task returned, from ``answer_to``; raises what it raised."""
    error, result = pickle.loads(answer)
    if error is not None:
        raise error from RemoteTraceback(result)
    return result


def _packed_error(error: Exception, place: str) -> bytes:
    with contextlib.suppress(Exception):  # some kinds cannot travel
        packed = pickle.dumps((error, place))
        pickle.loads(packed)
        return packed
    return pickle.dumps((RuntimeError(reason_of(error)), place))


def _leave(number: int, frame: FrameType | None) -> None:
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)  # once is enough
    sys.exit(1)  # tidily: temporary files are removed on the way out


if __name__ == "__main__":
    del sys.argv[0]
    end_with_parent(int(sys.argv.pop(0)))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
