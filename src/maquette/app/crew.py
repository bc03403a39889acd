"""The workers: a thread each that feeds one worker process, so that a job can be killed at any
moment and the next one begins afresh.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from maquette.app import claims, jobs, scenes
from maquette.app.problems import Problem, problem_of
from maquette.app.settings import ServerSettings
from maquette.app.store import Row
from maquette.app.studio import Studio
from maquette.errors import MaquetteError, present
from maquette.types import JsonObject

LOOK = 0.05  # seconds between two looks for jobs to be made together
LAST_WORDS = ("done", "failed")
RENEWAL = 0.2  # of a lease, until it is renewed
PATIENCE = 1.0  # seconds between two looks at the queue, when nobody calls
FIRST_PAUSE = 1.0  # seconds before a worker that does not start is tried again, ...
LONGEST_PAUSE = 30.0  # ... and after many times
REGENERATION = (
    "model",
    "seed",
    "steps",
    "guidance",
    "fit",
    "texture",
    "triangles",
    "device",
)  # the options of one object

Result = TypeVar("Result")


class Crew:
    """All workers of a server."""

    def __init__(
        self,
        studio: Studio,
        command: Sequence[str] | None = None,
        hands: int | None = None,
    ) -> None:
        self.studio = studio
        self.command = list(command or worker_command(studio.settings))
        count = studio.settings.workers if hands is None else hands
        self.members = [Member(self, number) for number in range(count)]
        self.work = threading.Condition()
        self.stopping = threading.Event()
        self._known = threading.Event()
        self._capabilities: JsonObject = {}
        self._together: JsonObject = {"methods": [], "most": 1}

    def start(self) -> None:
        """Begin."""
        for member in self.members:
            member.start()

    def stop(self) -> None:
        """End all workers at once; what they work on is interrupted, what waits goes on waiting."""
        self.stopping.set()
        self._known.set()  # so that nobody waits for what will not be known
        self.call()
        for member in self.members:
            member.kill()
        for member in self.members:
            member.join(10)

    def call(self) -> None:
        """Say that there is work."""
        with self.work:
            self.work.notify_all()

    def cancel(self, identifier: str) -> bool:
        """Stop a job that waits or runs, at once; returns whether it was open. Problem 404."""
        stopped = claims.stop(self.studio, identifier)
        for member in self.members:
            member.kill(identifier)
        return stopped

    def delete(self, identifier: str) -> None:
        """Delete a job, stopping it first. Problem 404."""
        self.cancel(identifier)
        claims.delete(self.studio, identifier)

    def states(self) -> list[str]:
        """What each worker does."""
        return [member.state for member in self.members]

    def learn(self, hello: JsonObject) -> None:
        """Note what the workers can do."""
        self._capabilities = hello["capabilities"]
        self._together = hello.get("together", self._together)
        self._known.set()

    def largest_batch(self, found: Row) -> int:
        """How many jobs one worker should make together with one that was claimed: as many as its
        method gains by, and no more than its share of those that wait.
        """
        if found["options"].get("method") not in self._together["methods"]:
            return 1
        settings = self.studio.settings
        most = settings.max_batch or self._together["most"]
        share = (jobs.waiting(self.studio) + 1) / max(settings.workers, 1)
        return most if settings.batch_wait else min(most, math.ceil(share))

    def capabilities(self, patience: float = 90.0) -> JsonObject:
        """Methods, models and devices; waits for the first worker. Problem 503."""
        if not self._known.wait(patience):
            raise Problem(
                503, "unavailable", "the worker does not start; look at the server's output"
            )
        if not self._capabilities:
            raise Problem(503, "unavailable", "the server is stopping")
        return self._capabilities


class Member(threading.Thread):
    """One worker process and the thread that talks to it."""

    def __init__(self, crew: Crew, number: int) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self.crew = crew
        self.state = "starting"
        self._process: subprocess.Popen[str] | None = None
        self._current: list[Row] = []  # jobs that are made now
        self._lock = threading.Lock()  # of the two above
        self._sending = threading.Lock()
        self._has_expired = False

    def run(self) -> None:
        """Take jobs until the crew stops."""
        pause = FIRST_PAUSE
        while not self.crew.stopping.is_set():
            try:
                pause = FIRST_PAUSE if self.turn() else min(2 * pause, LONGEST_PAUSE)
            except SQLAlchemyError:  # a full disk; what runs is found interrupted at the next start
                pause = LONGEST_PAUSE
            if pause > FIRST_PAUSE:
                self.crew.stopping.wait(pause)
        self.end()

    def end(self) -> None:
        """End the process, and all that leads to it."""
        self.kill()
        self._end_pipes()

    def turn(self, patience: float = PATIENCE) -> bool:
        """Start a process if there is none, and do a job if there is one, or wait a little for one;
        False when no process could be started.
        """
        if not self._is_running() and not self.begin():
            return False
        with self._lock:
            found = None if self.crew.stopping.is_set() else claims.claim(self.crew.studio)
            self._current = [found] if found else []
        if found:
            self.state = "busy"
            self._find_company(found)
            self._work(self._current)
            self.state = "ready"
        else:
            with self.crew.work:
                self.crew.work.wait(patience)
        return True

    def _find_company(self, found: Row) -> None:
        """Take the jobs that can be made together with one, up to this worker's share of them."""
        crew = self.crew
        most = crew.largest_batch(found)
        end = time.monotonic() + crew.studio.settings.batch_wait
        while len(self._current) < most:
            with self._lock:
                free = most - len(self._current)
                self._current += claims.company(crew.studio, found, free)
            if time.monotonic() >= end:
                break
            crew.stopping.wait(LOOK)

    def kill(self, identifier: str | None = None) -> None:
        """Kill the process, and return when it is dead; if a job is given, only while it works on
        that one. One that is made together with others is dropped instead.
        """
        with self._lock:
            names = [found["id"] for found in self._current]
            is_dropped = identifier in names and len(names) > 1
            is_killed = identifier is None or (identifier in names and not is_dropped)
            if is_killed and self._process is not None:
                self._process.kill()
                self._process.wait()
        if is_dropped:
            self._send({"do": "drop", "folder": self._folder(present(identifier, "job"))})

    def _send(self, order: JsonObject) -> None:
        """Tell the process something; if it has ended, reading from it says how."""
        process = present(self._process, "process of the worker")
        pipe = present(process.stdin, "pipe to the worker")
        with self._sending, contextlib.suppress(BrokenPipeError, ValueError):
            pipe.write(json.dumps(order) + "\n")
            pipe.flush()

    def _folder(self, identifier: str) -> str:
        return str(self.crew.studio.folders.of("jobs", identifier).resolve())

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> bool:
        """Start a process and wait until it has loaded the library; False when it ended instead."""
        self.state = "starting"
        process = subprocess.Popen(
            self.crew.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            # a file beside where the server was started must not be imported
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        with self._lock:
            self._end_pipes()
            self._process = process
        if self.crew.stopping.is_set():
            self.kill()
        hello = _read(process)
        if hello is None or hello["say"] != "hello":
            self.kill()
            return False
        self.crew.learn(hello)
        self.state = "ready"
        return True

    def _work(self, batch: Sequence[Row]) -> None:
        """See jobs through; whatever happens to the process, each is over afterwards, or waits to
        be made alone.
        """
        studio = self.crew.studio
        self._has_expired = False
        watch = threading.Timer(studio.settings.limits.job_seconds, self._expire)
        watch.daemon = True
        watch.start()
        open_jobs = {number: threading.Event() for number in range(len(batch))}
        if studio.lease is not None:
            for found, over in zip(batch, open_jobs.values()):
                threading.Thread(target=self._keep, args=(found, over), daemon=True).start()
        try:
            self._talk(batch, dict(open_jobs))
        finally:
            for over in open_jobs.values():
                over.set()
            watch.cancel()
            with self._lock:
                self._current = []
        for found in batch:
            claims.tidy(studio, found["id"], found["claim"])

    def _keep(self, found: Row, over: threading.Event) -> None:
        """Renew the lease of a job until it is over; stop working on one that was cancelled, or
        that somebody else has taken.
        """
        studio = self.crew.studio
        while not over.wait(RENEWAL * present(studio.lease, "lease")):
            if not self._patiently(lambda: claims.renew(studio, found)):
                self.kill(found["id"])

    def _patiently(self, ask: Callable[[], Result]) -> Result:
        """Ask again as long as a shared database does not answer."""
        while True:
            try:
                return ask()
            except OperationalError:
                if self.crew.studio.lease is None or self.crew.stopping.wait(PATIENCE):
                    raise

    def _expire(self) -> None:
        self._has_expired = True
        self.kill()

    def _talk(self, batch: Sequence[Row], unheard: dict[int, threading.Event]) -> None:
        """Send jobs and follow them to their ends; ``unheard``: what to set when one is over."""
        process = present(self._process, "process of the worker")
        try:
            requests = [self._request(found) for found in batch]
        except MaquetteError as error:  # the scene was deleted; only a job alone has one
            self._give_up(batch[0], "failed", str(problem_of(error)))
            return
        together = {"do": "together", "requests": requests}
        self._send(requests[0] if len(requests) == 1 else together)
        while unheard and (message := _read(process)) is not None:
            number = message.get("number", 0)
            if self._hear(batch[number], message):
                unheard.pop(number).set()
        for number in unheard:
            if len(batch) > 1 and not self.crew.stopping.is_set():
                claims.give_back(self.crew.studio, batch[number])
            else:
                self._give_up(batch[number], *self._end_of(process))

    def _hear(self, found: Row, message: JsonObject) -> bool:
        """Take what the process says of a job; returns whether it says no more of it."""
        studio = self.crew.studio
        say = message["say"]
        try:
            if say == "progress":
                claims.report(studio, found, message)
            elif say == "instance":
                self._patiently(partial(claims.add_instance, studio, found, message))
            elif say == "done":
                if studio.lease is not None:  # files move only while the database answers
                    self._patiently(partial(claims.renew, studio, found))
                claims.complete(studio, found, message)
            else:
                self._give_up(found, "failed", message["message"])
        except (MaquetteError, OSError, SQLAlchemyError) as error:
            self.kill(found["id"])
            # the database went away; the job is taken again after its lease
            if studio.lease is None or not isinstance(error, SQLAlchemyError):
                self._give_up(found, "failed", str(problem_of(error)))  # the disk is full
            return len(self._current) == 1 or say in LAST_WORDS
        return say in LAST_WORDS

    def _give_up(
        self,
        found: Row,
        state: str,
        message: str,
    ) -> None:
        """End a job without a result, if it is not over yet."""
        studio = self.crew.studio
        claims.give_up(studio, found["id"], state, studio.without_paths(message), found["claim"])

    def _end_of(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Why a process has ended in the middle of a job."""
        code = process.wait()
        if self._has_expired:
            seconds = self.crew.studio.settings.limits.job_seconds
            return "failed", f"the job took longer than {seconds:.0f} seconds"
        if code > 0:
            return "failed", "the worker ended with an error; the server's output has the details"
        return "interrupted", "the worker was stopped while the job was running; repeat it"

    def _request(self, found: Row) -> JsonObject:
        studio = self.crew.studio
        options = found["options"]
        request = {
            "do": found["kind"],
            "folder": self._folder(found["id"]),
            "result": str(claims.result_of(studio, found).resolve()),
            "source": found["name"],
            "options": options,
        }
        if found["kind"] == "regenerate":
            root = scenes.document(studio, found["scene"])
            request["scene"] = str(root.file.parent.resolve())
            request["document"] = root.data
            request["label"] = found["label"]
            request["options"] = {key: options[key] for key in REGENERATION if key in options}
        return request

    def _end_pipes(self) -> None:
        if self._process is None:
            return
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(BrokenPipeError):  # what was not sent any more
                pipe.close()


def worker_command(settings: ServerSettings) -> list[str]:
    """How a worker process is started: so that it ends with its server."""
    guarded = [sys.executable, "-m", "maquette.execute.processes", str(os.getpid())]
    weights = [f"--weights={folder.resolve()}" for folder in settings.weights]
    return [*guarded, "maquette.app.worker", *weights]


def _read(process: subprocess.Popen[str]) -> JsonObject | None:
    """The next message of a process; None when it has ended."""
    line = present(process.stdout, "pipe from the worker").readline()
    return json.loads(line) if line.endswith("\n") else None
