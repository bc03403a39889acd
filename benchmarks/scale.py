"""What does it cost to spread work over processes and over Ray, and what ends the growth?  ``python
benchmarks/scale.py [--units 8] [--seconds 2] [--json FILE]``

Measured here: the overhead of a unit under both executors (units that sleep, so that other load on
the machine does not count; the executors take turns), the memory of a worker, and what a unit costs
everybody who serves all workers: the driver, the object store, the file system, the database.
Simulated with these times, for 1 to 4,096 workers: a queue before each of them, first come, first
served. The last column of the table names who is busiest; whoever is busy all the time ends the
growth. Ray is left out when it is not installed."""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import json
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from maquette.execute.cluster import LOCAL, Cluster
from maquette.execute.pool import Engine, Pool, keep_opencv_to, processes
from maquette.output import atomic_write

WORKERS = (1, 16, 256, 4096)
ROUNDS = 4  # units of each simulated worker
FIELDS = 64**3 * (2 + 3)  # bytes that `data import` returns of an asset: distance and colour
SMALL = 200  # bytes that all others return: a row
SHARED = ("driver", "object store", "file system", "database")


@dataclass(frozen=True)
class Kind:
    """A command's unit of work: how often it needs whom."""

    name: str
    seconds: float  # of one unit on one worker
    files: int  # written, each flushed to the disk
    returned: int  # bytes through the object store
    commits: int = 0  # of a database


@dataclass(frozen=True)
class Simulated:
    """What became of a number of workers."""

    workers: int
    efficiency: float  # share of the time in which a worker does what it is there for
    busy: dict[str, float]  # share of the time, of everybody who serves all

    @property
    def busiest(self) -> str:
        """Who is the first to be busy all the time."""
        return max(self.busy, key=self.busy.__getitem__)


# ---- measured


def sleep(seconds: float) -> float:
    """A unit of work that costs no processor; the memory of its worker in MB."""
    time.sleep(seconds)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def give_back(size: int) -> bytes:
    """A unit that returns so many bytes."""
    return bytes(size)


def took(pool: Pool, task, arguments: list[tuple]) -> tuple[float, list]:
    """Seconds, and what the units returned."""
    start = time.perf_counter()
    results = [result for _, result in pool.outcomes(task, arguments)]
    return time.perf_counter() - start, results


@contextmanager
def executors(jobs: int, ray: bool) -> Iterator[dict[str, Pool]]:
    """Workers that are started already, by the name of who started them."""
    with processes(Engine(jobs), prepare=keep_opencv_to) as here:
        pools = {"processes": here}
        if not ray:
            yield pools
            return
        engine = Engine(jobs, cluster=Cluster(LOCAL))
        with processes(engine, prepare=keep_opencv_to) as there:
            yield pools | {"ray": there}


def overheads(pools: dict[str, Pool], jobs: int, units: int, seconds: float) -> dict:
    """Of each executor: the share that units take longer than they sleep, and the memory of a
    worker in MB. Every executor has two turns.
    """
    times: dict[str, list[float]] = {name: [] for name in pools}
    memory = {}
    for pool in pools.values():
        took(pool, sleep, [(0.2,)] * jobs)  # all workers are there now
    for _ in range(2):
        for name, pool in pools.items():
            spent, told = took(pool, sleep, [(seconds,)] * units)
            times[name].append(spent)
            memory[name] = max(told)
    ideal = seconds * -(-units // jobs)
    return {
        name: {"overhead": min(spent) / ideal - 1, "worker_mb": memory[name]}
        for name, spent in times.items()
    }


def service_times(pool: Pool, folder: Path, count: int) -> dict[str, float]:
    """Seconds that one unit takes of everybody who serves all: a task through the driver, a MB
    through the object store, a small file on the disk, a commit of SQLite.
    """
    empty = took(pool, sleep, [(0.0,)] * count)[0] / count
    full = took(pool, give_back, [(FIELDS,)] * count)[0] / count
    return {
        "driver": empty,
        "object store": max(full - empty, 1e-6) / (FIELDS / 2**20),
        "file system": statistics.median(file_times(folder, count)),
        "database": statistics.median(commit_times(folder, count)),
    }


def file_times(folder: Path, count: int) -> Iterator[float]:
    """Seconds of writing and flushing files of 100 kB."""
    content = os.urandom(100_000)
    for k in range(count):
        start = time.perf_counter()
        with atomic_write(folder / f"{k}") as temporary:
            temporary.write_bytes(content)
        yield time.perf_counter() - start


def commit_times(folder: Path, count: int) -> Iterator[float]:
    """Seconds of a commit of one row."""
    with sqlite3.connect(folder / "jobs.db") as connection:
        connection.execute("CREATE TABLE jobs (number INTEGER, state TEXT)")
        for k in range(count):
            start = time.perf_counter()
            connection.execute("INSERT INTO jobs VALUES (?, ?)", (k, "queued"))
            connection.commit()
            yield time.perf_counter() - start
    connection.close()


def scene_seconds() -> float:
    """Of one scene with four views of 192 pixels, on one thread."""
    import numpy as np

    from maquette.data.catalogue import AssetList, Catalogue
    from maquette.data.procedural import procedural_asset
    from maquette.data.shards import ShardConfig, make_scene
    from maquette.data.views import ViewConfig

    keep_opencv_to(1)
    assets = [procedural_asset(np.random.default_rng((0, k))) for k in range(6)]
    catalogue = Catalogue.of(AssetList(tuple(assets)))
    config = ShardConfig(scenes=4, views=4, view=ViewConfig(size=192))
    make_scene(catalogue, config, 0)
    start = time.perf_counter()
    make_scene(catalogue, config, 1)
    return time.perf_counter() - start


# ---- simulated


def asked_of(kind: Kind, services: dict[str, float]) -> dict[str, float]:
    """Seconds that a unit takes of each of those who serve all."""
    return {
        "driver": services["driver"],
        "object store": services["object store"] * kind.returned / 2**20,
        "file system": kind.files * services["file system"],
        "database": kind.commits * services["database"],
    }


def simulate(kind: Kind, services: dict[str, float], workers: int) -> Simulated:
    """Every worker does ROUNDS units: asks the driver, works, writes its files, returns its row,
    notes its end. Whoever serves all serves one at a time.
    """
    asked = asked_of(kind, services)
    steps = (
        ("driver", asked["driver"]),
        (None, kind.seconds),
        *((name, asked[name]) for name in ("file system", "object store", "database")),
    )
    free_at = dict.fromkeys(SHARED, 0.0)
    worked = dict.fromkeys(SHARED, 0.0)
    events = [(0.0, worker, 0) for worker in range(workers)]  # time, worker, steps done
    end = 0.0
    while events:
        now, worker, done = heapq.heappop(events)
        if done == ROUNDS * len(steps):
            end = max(end, now)
            continue
        who, seconds = steps[done % len(steps)]
        begin = now
        if who is not None:
            begin = max(now, free_at[who])
            free_at[who] = begin + seconds
            worked[who] += seconds
        heapq.heappush(events, (begin + seconds, worker, done + 1))
    return Simulated(
        workers,
        ROUNDS * kind.seconds / end,
        {name: spent / end for name, spent in worked.items()},
    )


def most_workers(kind: Kind, services: dict[str, float]) -> dict[str, float]:
    """How many workers keep each of those who serve all busy: time of a unit / its share."""
    asked = asked_of(kind, services)
    return {name: kind.seconds / spent for name, spent in asked.items() if spent > 0}


def kinds(scene: float) -> tuple[Kind, ...]:
    """The units of the commands. Those of `generate` and the service take three seconds, as a photo
    with four objects does on one core; an asset takes half a second.
    """
    return (
        Kind("data build, 64 scenes", 64 * scene, files=2, returned=SMALL),
        Kind("generate", 3.0, files=6, returned=SMALL),
        Kind("data import", 0.5, files=0, returned=FIELDS),
        Kind("jobs of the app", 3.0, files=6, returned=SMALL, commits=4),
    )


def table(kind: Kind, services: dict[str, float]) -> list[str]:
    """The lines of one kind of unit."""
    lines = [f"\n{kind.name} ({kind.seconds:.1f} s a unit)"]
    for workers in WORKERS:
        found = simulate(kind, services, workers)
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.busy.items())
        lines.append(
            f"  {workers:5d} workers: {100 * found.efficiency:5.1f} % at work; busiest: "
            f"{found.busiest} ({shares})"
        )
    limits = most_workers(kind, services)
    first = min(limits, key=limits.__getitem__)
    lines.append(f"  saturates first: {first}, by {limits[first]:.0f} workers")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="workers that are measured")
    parser.add_argument("--units", type=int, default=8, help="of each turn")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a unit sleeps")
    parser.add_argument("--count", type=int, default=50, help="of the smallest units and files")
    parser.add_argument("--json", type=Path, help="write the numbers, too")
    args = parser.parse_args(arguments)
    ray = importlib.util.find_spec("ray") is not None
    if not ray:
        print("no Ray: pip install 'maquette[ray]'", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, executors(args.jobs, ray) as pools:
        measured = overheads(pools, args.jobs, args.units, args.seconds)
        used = pools.get("ray", pools["processes"])
        services = service_times(used, Path(folder), args.count)
    print_measured(measured, services, args.seconds)
    known = kinds(scene_seconds())
    for kind in known:
        print("\n".join(table(kind, services)))
    if args.json:
        runs = {k.name: [asdict(simulate(k, services, w)) for w in WORKERS] for k in known}
        told = {"measured": measured, "services": services, "simulated": runs}
        with atomic_write(args.json) as path:
            path.write_text(json.dumps(told, indent=1))
    return 0


def print_measured(
    measured: dict[str, dict[str, float]],
    services: dict[str, float],
    seconds: float,
) -> None:
    """What executors add to units of so many seconds, and what those who serve all take for one."""
    for name, numbers in measured.items():
        longer = f"{100 * numbers['overhead']:.2f} % longer"
        memory = f"{numbers['worker_mb']:.0f} MB a worker"
        print(f"{name:10s} units of {seconds:g} s take {longer}; {memory}")
    for name, spent in services.items():
        print(f"{name:12s} {1000 * spent:.2f} ms a {'MB' if name == 'object store' else 'unit'}")


if __name__ == "__main__":
    import scale  # by its name, under which Ray's workers find it, too

    sys.exit(scale.main())
