"""On a real cluster of this machine: same results, lost workers and nodes, clear refusals."""

import importlib.util
import os
import signal
import time
from pathlib import Path

import pytest

from maquette.errors import InputError
from maquette.execute.cluster import LOCAL, Cluster, connected
from maquette.execute.pool import Engine, keep_opencv_to, processes
from maquette.execute.processes import Ended

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no ray")


def note(folder: str, name: int) -> int:
    (Path(folder) / f"{name}").write_text(str(os.getpid()))
    return name * name


def die_once(folder: str, name: int) -> int:
    """Ends its worker at the first try."""
    try:
        (Path(folder) / f"tried-{name}").touch(exist_ok=False)
    except FileExistsError:
        return note(folder, name)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def die(folder: str, name: int) -> None:
    os._exit(9)


def slow(folder: str, name: int) -> int:
    (Path(folder) / f"begun-{name}").touch()
    time.sleep(1.0)
    return note(folder, name)


def refuse(folder: str, name: int) -> None:
    raise InputError(f"{name} is refused")


def test_without_ray_the_pip_line_is_said(monkeypatch):
    monkeypatch.setattr("importlib.import_module", no_ray)
    refused = pytest.raises(InputError, match=r"pip install 'maquette\[ray\]'")
    with refused, connected(Cluster(), 1, 1, [], keep_opencv_to):
        pass


def no_ray(name):
    raise ImportError(name)


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    yield ray
    ray.shutdown()


@with_ray
@pytest.mark.tools
def test_workers_do_what_processes_do_and_lost_ones_are_replaced(ray, tmp_path):
    engine = Engine(2, cluster=Cluster(LOCAL))
    tasks = [(str(tmp_path), k) for k in range(6)]
    with processes(engine, [tmp_path], keep_opencv_to) as pool:
        assert dict(pool.outcomes(note, tasks)) == {k: k * k for k in range(6)}
        assert len({path.read_text() for path in tmp_path.iterdir()}) <= 2  # workers are kept
        assert dict(pool.outcomes(die_once, tasks)) == {k: k * k for k in range(6)}
        with pytest.raises(InputError, match="3 is refused"):
            list(pool.outcomes(refuse, tasks[3:4]))
        ((_, ended),) = pool.outcomes(die, tasks[:1])
        assert isinstance(ended, Ended) and "lost 3 times" in ended.reason


@with_ray
@pytest.mark.tools
def test_what_cannot_be_is_said(ray, tmp_path):
    refused = pytest.raises(InputError, match="graphics cards, which is less than one worker needs")
    with refused, connected(Cluster(LOCAL, gpus=1), 1, 1, [], keep_opencv_to):
        pass


@pytest.mark.tools
def test_no_cluster_at_an_address():
    pytest.importorskip("ray")
    refused = pytest.raises(InputError, match="no Ray cluster can be reached there")
    with refused, connected(Cluster("127.0.0.1:1"), 1, 1, [], keep_opencv_to):
        pass
