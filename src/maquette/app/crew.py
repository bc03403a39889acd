"""The workers: a thread each that feeds one worker process, so that a job can be killed at any
moment and the next one begins afresh.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from maquette.app import claims, scenes
from maquette.app.problems import Problem, problem_of
from maquette.app.settings import ServerSettings
from maquette.app.store import Row
from maquette.app.studio import Studio
from maquette.errors import MaquetteError, present

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

JsonObject = dict[str, Any]
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

    def learn(self, capabilities: JsonObject) -> None:
        """Note what the workers can do."""
        self._capabilities = capabilities
        self._known.set()

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
        self._current: str | None = None
        self._lock = threading.Lock()  # of the two above
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
            self._current = found["id"] if found else None
        if found:
            self.state = "busy"
            self._work(found)
            self.state = "ready"
        else:
            with self.crew.work:
                self.crew.work.wait(patience)
        return True

    def kill(self, identifier: str | None = None) -> None:
        """Kill the process, only while it works on this job if one is given; returns when it is
        dead.
        """
        with self._lock:
            if self._process is not None and identifier in (None, self._current):
                self._process.kill()
                self._process.wait()

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
        self.crew.learn(hello["capabilities"])
        self.state = "ready"
        return True

    def _work(self, found: Row) -> None:
        """See one job through; whatever happens to the process, the job has a final state
        afterwards.
        """
        studio = self.crew.studio
        identifier = found["id"]
        self._has_expired = False
        watch = threading.Timer(studio.settings.limits.job_seconds, self._expire, (identifier,))
        watch.daemon = True
        watch.start()
        over = threading.Event()
        if studio.lease is not None:
            threading.Thread(target=self._keep, args=(found, over), daemon=True).start()
        try:
            ending = self._talk(found)
        except (MaquetteError, OSError, SQLAlchemyError) as error:
            ending = ("failed", str(problem_of(error)))  # the scene was deleted, the disk is full
            if studio.lease is not None and isinstance(error, SQLAlchemyError):
                ending = None  # the database went away; the job is taken again after its lease
            self.kill()
        finally:
            over.set()
            watch.cancel()
            with self._lock:
                self._current = None
        if ending is not None:
            state, message = ending
            said = studio.without_paths(message)
            claims.give_up(studio, identifier, state, said, found["claim"])
        claims.tidy(studio, identifier, found["claim"])

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

    def _expire(self, identifier: str) -> None:
        self._has_expired = True
        self.kill(identifier)

    def _talk(self, found: Row) -> tuple[str, str] | None:
        """Send the job and follow it; returns the state and the message when it does not end in a
        result.
        """
        studio = self.crew.studio
        process = present(self._process, "process of the worker")
        orders = present(process.stdin, "pipe to the worker")
        with contextlib.suppress(BrokenPipeError):  # reading says how it ended
            orders.write(json.dumps(self._request(found)) + "\n")
            orders.flush()
        while (message := _read(process)) is not None:
            if message["say"] == "progress":
                claims.report(studio, found, message)
            elif message["say"] == "instance":
                self._patiently(partial(claims.add_instance, studio, found, message))
            elif message["say"] == "done":
                if studio.lease is not None:  # files move only while the database answers
                    self._patiently(partial(claims.renew, studio, found))
                claims.complete(studio, found, message)
                return None
            else:
                return "failed", message["message"]
        return self._end_of(process)

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
            "folder": str(studio.folders.of("jobs", found["id"]).resolve()),
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
