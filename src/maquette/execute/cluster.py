"""Tasks on the machines of a Ray cluster (extra ``ray``): the same tasks with the same results as
in processes of one machine, so that a command changes by one option.

Workers are actors: each prepares once, then does one task after the other. What a task returns is
small (its results lie in a folder that all machines share), and what it raises travels as a row, so
nothing ends the others. A worker that is lost with its machine is replaced, and its task is done
again; tasks write their files under final names when they are complete, so doing one twice does no
harm.
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
from maquette.errors import InputError, MaquetteError
from maquette.execute.processes import Ended, Task, answer_to, unpacked

TRIES = 3  # of a task whose workers are lost
PATIENCE = 5.0  # seconds in which a cluster's address must answer
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

    def do(self, packed: bytes) -> bytes:
        """Do a task; what it returns or raises, packed."""
        return answer_to(packed)


class ClusterWorkers:
    """Workers of a cluster, each started when it is first needed; see ``pool.Pool``."""

    def __init__(
        self,
        ray: Any,
        jobs: int,
        needs: dict[str, Any],
        prepare: Task,
    ) -> None:
        self._ray = ray
        self._jobs = jobs
        doer = ray.remote(Doer).options(max_restarts=0, **needs)
        self._start = lambda: doer.remote(prepare, needs["num_cpus"])
        self._idle: list[Any] = []

    def outcomes(
        self, task: Task, arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """See ``pool.Pool``."""
        packed = (pickle.dumps((task, each)) for each in arguments)
        todo = deque(_Unit(number, each) for number, each in enumerate(packed))
        under_way: dict[Any, tuple[_Unit, Any]] = {}
        try:
            while todo or under_way:
                while todo and len(under_way) < self._jobs:
                    actor = self._idle.pop() if self._idle else self._start()
                    unit = todo.popleft()
                    under_way[actor.do.remote(unit.packed)] = (unit, actor)
                ready, _ = self._ray.wait(list(under_way), num_returns=1)
                unit, actor = under_way.pop(ready[0])
                yield from self._heard(ready[0], unit, actor, todo)
        finally:
            for _, actor in under_way.values():
                self._ray.kill(actor)

    def _heard(
        self,
        answer: Any,
        unit: _Unit,
        actor: Any,
        todo: deque[_Unit],
    ) -> Iterator[tuple[int, Any]]:
        """The outcome of a unit; nothing when it is to be done again."""
        try:
            told = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            lost = str(error).strip().splitlines()[0]
            if unit.tries + 1 < TRIES:
                todo.appendleft(_Unit(unit.number, unit.packed, unit.tries + 1))
            else:
                yield unit.number, Ended(f"its worker was lost {TRIES} times ({lost})")
            return
        self._idle.append(actor)
        yield unit.number, unpacked(told)

    def close(self) -> None:
        """Let the workers go."""
        while self._idle:
            self._ray.kill(self._idle.pop())


@contextlib.contextmanager
def connected(
    cluster: Cluster,
    jobs: int,
    threads: int,
    shared: Sequence[str | Path],
    prepare: Task,
) -> Iterator[ClusterWorkers]:
    """At most ``jobs`` workers (0 = as many as fit) of ``threads`` processors each, which first
    call ``prepare(threads)``.

    shared: folders that all machines must see. InputError when there is no Ray, no cluster, one
    with another version of this package, one too small, or one without the folders.
    """
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        _connect(ray, cluster.address)
    try:
        _require_version(ray)
        for folder in shared:
            _require_shared(ray, Path(folder))
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
    host, _, port = address.partition(":")
    try:
        if port.isdigit():  # Ray itself tries for a minute, and ends the process then
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(
            address,  # Ray, too, says local for a cluster of its own
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=False,
        )
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        raise InputError(
            f"--address {address}: no Ray cluster can be reached there ({reason}); start one with "
            f"`ray start --head`, or say --address {LOCAL} for this machine alone"
        ) from error


def _on_each_node(ray: Any, task: Task, *arguments: Any) -> dict[str, Any]:
    """What a task returns on every machine, by the machine's address."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    pinned = strategies.NodeAffinitySchedulingStrategy
    remote = ray.remote(task)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = pinned(node_id=node["NodeID"], soft=False)
            called = remote.options(num_cpus=0, scheduling_strategy=there)
            asked[node["NodeManagerAddress"], node["NodeID"]] = called.remote(*arguments)
    answers = {}
    for (address, _), answer in asked.items():
        try:
            answers[address] = ray.get(answer)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise MaquetteError(f"{address}: it cannot do maquette's tasks ({reason})") from error
    return answers


def _version_here() -> str:
    return importlib.import_module("maquette").__version__


def _require_version(ray: Any) -> None:
    for address, version in _on_each_node(ray, _version_here).items():
        if version != __version__:
            raise InputError(
                f"{address} has maquette {version}, this machine {__version__}; install the same "
                "version on all of them"
            )


def _require_shared(ray: Any, folder: Path) -> None:
    """InputError unless every machine sees what this one writes into a folder."""
    folder = folder.absolute()
    probe = folder / f".shared-{uuid.uuid4().hex}"
    probe.touch()
    try:
        seen = _on_each_node(ray, Path.exists, probe)
    finally:
        probe.unlink()
    blind = [address for address, there in seen.items() if not there]
    if blind:
        raise InputError(
            f"{folder} is not the same folder on {', '.join(blind)}; choose one that all machines "
            "of the cluster share"
        )


def _fitting(resources: dict[str, float], threads: int, gpus: float) -> int:
    """How many workers a cluster can hold at a time. InputError when none."""
    there = int(resources.get("CPU", 0) // threads)
    if gpus > 0:
        there = min(there, int(resources.get("GPU", 0) / gpus))
    if there < 1:
        raise InputError(
            f"the cluster has {resources.get('CPU', 0):g} processors and "
            f"{resources.get('GPU', 0):g} graphics cards, which is less than one worker needs "
            f"({threads} and {gpus:g})"
        )
    return there
