"""Several tasks in step: one runs at a time, and where all of them wait for a call of the same
kind, these calls are answered together.

A task runs in a thread of its own, so it is written as if it were alone; but it has the turn until
it asks for something or ends. So tasks need not bear threads, and who is answered together depends
on what they ask for only, never on time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from maquette.errors import MaquetteError, present

Task = Callable[[], Any]
DROPPED = "it was given up while others went on"
# what networks raise when there is no room, or what they were given is bad
FAILURES = (RuntimeError, MemoryError, ValueError)


@dataclass(frozen=True, eq=False)
class Call:
    """What a task asks for; calls of one kind can be answered together."""

    kind: Hashable
    arguments: Any


# all calls of one kind -> their answers, in the same order
Answer = Callable[[Sequence[Call]], Sequence[Any]]


@dataclass(eq=False)
class _Walker:
    """A task, and where it is."""

    task: Task
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    call: Call | None = None  # that is not answered yet
    answer: Any = None
    error: Exception | None = None  # instead of an answer
    following: list[_Walker] = field(default_factory=list)  # whose calls it is to answer
    dropped: BaseException | None = None
    is_over: bool = False


class Lockstep:
    """Tasks that walk in step; ``answer`` answers calls of one kind."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._here = threading.local()  # the walker of this thread
        self._back = threading.Semaphore(0)  # the turn comes back to ``run``
        self._walkers: list[_Walker] = []
        self._away: _Walker | None = None  # who has the turn
        self._kind: Hashable = None  # of the calls that were answered last

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """What the tasks return. What one raises ends that one only, and is raised when all are
        done; KeyboardInterrupt ends all of them.
        """
        self._walkers = [_Walker(task) for task in tasks]
        with ThreadPoolExecutor(len(tasks)) as threads:
            results = [threads.submit(self._walk, walker) for walker in self._walkers]
            try:
                while walking := [walker for walker in self._walkers if not walker.is_over]:
                    self._step(walking)
            finally:
                self._end_all()
        return [result.result() for result in results]

    def ask(self, call: Call) -> Any:
        """Called by a task: the answer to a call; raises what answering it raised."""
        walker: _Walker = self._here.walker
        walker.call = call
        self._back.release()
        walker.turn.acquire()
        if walker.dropped is not None:
            raise walker.dropped
        if walker.call is not None:
            self._lead(walker)
        error = walker.error
        walker.error = None
        if error is not None:
            raise error
        return walker.answer

    def drop(self, number: int) -> None:
        """Let a task end where it asks for something next, with a MaquetteError."""
        self._walkers[number].dropped = MaquetteError(DROPPED)

    def _walk(self, walker: _Walker) -> Any:
        """A task from its beginning to its end, in a thread of its own."""
        self._here.walker = walker
        walker.turn.acquire()
        try:
            if walker.dropped is not None:
                raise walker.dropped
            return walker.task()
        finally:
            walker.is_over = True
            self._back.release()

    def _step(self, walking: Sequence[_Walker]) -> None:
        """Let all go on until they ask for something, and have the calls of one kind answered."""
        for walker in walking:
            if walker.call is None:
                self._give_turn(walker)
        kinds: dict[Hashable, list[_Walker]] = {}
        for walker in walking:
            if not walker.is_over:
                kinds.setdefault(present(walker.call, "call").kind, []).append(walker)
        if not kinds:
            return
        # who asks for the same again goes on until all others have caught up
        if self._kind not in kinds:
            self._kind = max(kinds, key=lambda kind: len(kinds[kind]))
        together = kinds[self._kind]
        together[0].following = together
        self._give_turn(together[0])

    def _give_turn(self, walker: _Walker) -> None:
        self._away = walker
        walker.turn.release()
        self._back.acquire()
        self._away = None

    def _lead(self, leader: _Walker) -> None:
        """Answer the calls of all who follow, the leader among them, in its thread: settings of a
        thread, such as precision, are alike in all of them.
        """
        followers = [walker for walker in leader.following if walker.dropped is None]
        calls = [present(walker.call, "call") for walker in followers]
        for walker, answer in zip(followers, self._answers(calls), strict=True):
            is_error = isinstance(answer, Exception)
            walker.answer = None if is_error else answer
            walker.error = answer if is_error else None
        for walker in leader.following:
            walker.call = None

    def _answers(self, calls: Sequence[Call]) -> list[Any]:
        """An answer or an error for each. Calls that cannot be answered together, for want of
        memory or because one of them is bad, are answered in halves.
        """
        try:
            return list(self._answer(calls))
        except FAILURES as error:
            if len(calls) == 1:
                return [error]
        half = len(calls) // 2
        return self._answers(calls[:half]) + self._answers(calls[half:])

    def _end_all(self) -> None:
        """After an interrupt: let everybody who still walks leave."""
        if self._away is not None:  # it still has the turn
            self._back.acquire()
        for walker in self._walkers:
            walker.dropped = KeyboardInterrupt()
            while not walker.is_over:
                self._give_turn(walker)
