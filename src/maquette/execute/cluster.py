"""Tasks on the machines of a Ray cluster (extra ``ray``): the same tasks with the same results as
in processes of one machine, so that a command changes by one option.

Workers are actors: each prepares once, then does one task after the other. What a task returns is
small (its results lie in a folder that all machines share, or at a URL), and what it raises travels
as a row, so nothing ends the others. A worker that is lost with its machine is replaced, and its
task is done again; tasks write their files under final names when they are complete, so doing one
twice does no harm.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import socket
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette import __version__
from maquette.errors import InputError, MaquetteError, contained, reason_of
from maquette.execute.processes import Arguments, Ended, Outcomes, Task, answer_to, unpacked
from maquette.execute.store import path_at
from maquette.types import StrPath

TRIES = 3  # of a task whose workers are lost, and of a worker that cannot be started
PATIENCE = 15.0  # seconds in which a cluster's address must answer
GREETING = b"...\x04"  # length and kind of the settings with which HTTP/2 begins (RFC 9113, 3.4)
LOOK_AROUND = 30.0  # seconds without news, after which machines may be gone
OTHER_VERSION = "Version mismatch"  # how Ray begins to say so
LOCAL = "local"  # address of a cluster that is started on this machine for the command


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what each of its workers needs."""

    address: str = "auto"
    gpus: float = 0.0  # of each worker; a share of one may be enough


@dataclass(frozen=True)
class _Unit:
    """A task that is done, or to be done, somewhere."""

    number: int
    packed: bytes
    tries: int = 0


class Doer:
    """What runs on a worker."""

    def __init__(self, prepare: Task, threads: int) -> None:
        prepare(threads)

    def ready(self) -> None:
        """Answers as soon as it is prepared."""

    def do(self, packed: bytes) -> bytes:
        """Do a task; what it returns or raises, packed."""
        return answer_to(packed)


class ClusterWorkers:
    """Workers of a cluster, each started when it is first needed; see ``pool.Pool``.

    A task is given to a worker that has answered, never to one that is starting: a machine that is
    gone may be the only place where that could start.
    """

    def __init__(
        self,
        ray: Any,
        jobs: int,
        needs: dict[str, Any],
        prepare: Task,
    ) -> None:
        self._ray = ray
        self._jobs = jobs
        self._needs = needs
        doer = ray.remote(Doer).options(max_restarts=0, **needs)
        self._start = lambda: doer.remote(prepare, needs["num_cpus"])
        self._starting: dict[Any, Any] = {}  # answer -> worker
        self._idle: list[Any] = []
        self._under_way: dict[Any, tuple[_Unit, Any]] = {}  # answer -> task and worker
        self._false_starts = 0  # in a row

    def outcomes(self, task: Task, arguments: Iterable[Arguments]) -> Outcomes:
        """See ``pool.Pool``."""
        packed = (pickle.dumps((task, each)) for each in arguments)
        todo = deque(_Unit(number, each) for number, each in enumerate(packed))
        while self._idle:  # some may have been lost since their last task
            self._call(self._idle.pop())
        try:
            while todo or self._under_way:
                self._begin(todo)
                for answer in self._answers():
                    if answer in self._starting:
                        self._started(answer)
                    else:
                        yield from self._heard(answer, todo)
        finally:
            while self._under_way:
                _, (_, worker) = self._under_way.popitem()
                self._ray.kill(worker)

    def _call(self, worker: Any) -> None:
        self._starting[worker.ready.remote()] = worker

    def _begin(self, todo: deque[_Unit]) -> None:
        """Give tasks to idle workers, and start workers for those that are left."""
        while todo and self._idle:
            unit = todo.popleft()
            worker = self._idle[-1]
            with self._room():
                answer = worker.do.remote(unit.packed)
            self._under_way[answer] = (unit, self._idle.pop())
        wanted = min(len(todo), self._jobs - len(self._under_way))
        for _ in range(wanted - len(self._starting)):
            self._call(self._start())

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """MaquetteError when what goes to a worker, or comes from one, finds no room."""
        known = self._ray.exceptions
        try:
            yield
        except (known.ObjectStoreFullError, known.OutOfDiskError) as error:
            raise MaquetteError(
                f"the cluster's object store is full ({reason_of(error)}); give it more "
                "(`ray start --object-store-memory`), and room on the disk that it spills to"
            ) from error

    def _answers(self) -> list[Any]:
        """Who has answered, if anybody. InputError when no machine is left for a worker."""
        asked = [*self._under_way, *self._starting]
        answers, _ = self._ray.wait(asked, num_returns=1, timeout=LOOK_AROUND)
        if not answers and not self._under_way:
            _fitting(self._ray.cluster_resources(), **self._needs)
        return answers

    def _started(self, answer: Any) -> None:
        """A worker is prepared, or lost. MaquetteError when that happens again and again."""
        worker = self._starting.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._false_starts += 1
            if self._false_starts >= TRIES * self._jobs:
                raise MaquetteError(
                    f"no worker can be started ({reason_of(error)}); look at the machines of the "
                    "cluster"
                ) from error
            return
        self._false_starts = 0
        self._idle.append(worker)

    def _heard(self, answer: Any, todo: deque[_Unit]) -> Outcomes:
        """The outcome of a unit; nothing when it is to be done again."""
        unit, worker = self._under_way[answer]
        try:
            with self._room():
                told = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            del self._under_way[answer]
            if unit.tries + 1 < TRIES:
                todo.appendleft(_Unit(unit.number, unit.packed, unit.tries + 1))
            else:
                lost = f"its worker was lost {TRIES} times ({reason_of(error)})"
                yield unit.number, Ended(lost)
            return
        del self._under_way[answer]
        self._idle.append(worker)
        yield unit.number, unpacked(told)

    def close(self) -> None:
        """Let the workers go."""
        for worker in (*self._idle, *self._starting.values()):
            self._ray.kill(worker)
        self._idle.clear()
        self._starting.clear()


@contextlib.contextmanager
def connected(
    cluster: Cluster,
    jobs: int,
    threads: int,
    shared: Sequence[StrPath],
    prepare: Task,
) -> Iterator[ClusterWorkers]:
    """At most ``jobs`` workers (0 = as many as fit) of ``threads`` processors each, which first
    call ``prepare(threads)``.

    shared: folders that all machines must see. InputError when there is no Ray, no cluster, one
    with another version of this package, one too small, or one without the folders.
    """
    ray = _ray()
    own = not ray.is_initialized()
    try:
        if own:
            _connect(ray, cluster.address)
        _require_version(ray)
        for folder in shared:
            _require_shared(ray, path_at(folder))
        fitting = _fitting(ray.cluster_resources(), threads, cluster.gpus)
        needs = {"num_cpus": threads, "num_gpus": cluster.gpus}
        workers = ClusterWorkers(ray, min(jobs or fitting, fitting), needs, prepare)
        try:
            yield workers
        finally:
            workers.close()
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InputError("--engine ray needs Ray; pip install 'maquette[ray]'") from None


def _connect(ray: Any, address: str) -> None:
    """Join a cluster, or start one. InputError when nobody answers."""
    what = f"--address {address}: no Ray cluster can be reached there"
    remedy = f"start one with `ray start --head`, or say --address {LOCAL} for this machine alone"
    if address == LOCAL:
        what = "no Ray cluster can be started on this machine"
        remedy = (
            "repeat it when the machine is less busy, or look into /tmp/ray/session_latest/logs"
        )
    try:
        with contained(what, remedy):  # Ray raises nearly everything, plain Exceptions too
            _join(ray, address)
    except SystemExit as error:
        raise InputError(f"{what} (no answer); {remedy}") from error


def _join(ray: Any, address: str) -> None:
    host, _, port = address.partition(":")
    if port.isdigit():  # Ray itself tries for minutes, and ends the process then
        with socket.create_connection((host, int(port)), PATIENCE) as head:
            head.settimeout(PATIENCE)
            if head.recv(len(GREETING))[3:] != GREETING[3:]:
                raise ConnectionError("what answers there is no head of a cluster")
    try:
        ray.init(
            address,  # Ray, too, says local for a cluster of its own
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=False,
        )
    except RuntimeError as error:
        if OTHER_VERSION not in str(error):
            raise
        said = " ".join(line.strip() for line in str(error).splitlines())
        raise InputError(
            f"--address {address}: {said}; install the same versions of Ray and Python on all "
            "machines"
        ) from error


def _on_each_node(ray: Any, task: Task, *arguments: Any) -> list[tuple[str, Any]]:
    """The address of every machine that is there, and what a task returns on it."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    pinned = strategies.NodeAffinitySchedulingStrategy
    remote = ray.remote(task)
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            there = pinned(node_id=node["NodeID"], soft=False)
            called = remote.options(num_cpus=0, scheduling_strategy=there)
            asked.append((node["NodeManagerAddress"], called.remote(*arguments)))
    answers = []
    for address, answer in asked:
        try:
            answers.append((address, ray.get(answer)))
        except ray.exceptions.TaskUnschedulableError:
            continue  # it has gone meanwhile
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise MaquetteError(f"{address}: it cannot do maquette's tasks ({reason})") from error
    return answers


def _version_here() -> str:
    return importlib.import_module("maquette").__version__


def _require_version(ray: Any) -> None:
    for address, version in _on_each_node(ray, _version_here):
        if version != __version__:
            raise InputError(
                f"{address} has maquette {version}, this machine {__version__}; install the same "
                "version on all of them"
            )


def _require_shared(ray: Any, folder: Path) -> None:
    """InputError unless every machine sees what this one writes into a folder, and the other way
    round.
    """
    folder = folder.absolute()
    probe = folder / f".shared-{uuid.uuid4().hex}"
    probe.touch()
    try:
        marks = _on_each_node(ray, _marked, probe)
        blind = [address for address, mark in marks if not (mark and (folder / mark).exists())]
    finally:
        for mark in folder.glob(f"{probe.name}*"):
            mark.unlink(missing_ok=True)
    if blind:
        raise InputError(
            f"{folder} is not the same folder on {', '.join(blind)}; choose one that all machines "
            "of the cluster share, and may write to"
        )


def _marked(probe: Path) -> str | None:
    """On a machine: the name of a file that it writes beside another machine's; None when it does
    not see that one, or cannot write.
    """
    mark = probe.with_name(f"{probe.name}-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        if probe.exists():
            mark.touch()
            return mark.name
    return None


def _fitting(resources: dict[str, float], num_cpus: int, num_gpus: float) -> int:
    """How many workers a cluster can hold at a time. InputError when none."""
    there = int(resources.get("CPU", 0) // num_cpus)
    if num_gpus > 0:
        there = min(there, int(resources.get("GPU", 0) / num_gpus))
    if there < 1:
        raise InputError(
            f"the cluster has {resources.get('CPU', 0):g} processors and "
            f"{resources.get('GPU', 0):g} graphics cards, which is less than one worker needs "
            f"({num_cpus} and {num_gpus:g})"
        )
    return there
