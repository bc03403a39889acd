"""On a real cluster of this machine: same results, lost workers and nodes, clear refusals."""

import importlib.util
import os
import signal
import socket
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from maquette.errors import InputError, MaquetteError
from maquette.execute import cluster as executor
from maquette.execute.cluster import LOCAL, Cluster, ClusterWorkers, connected
from maquette.execute.pool import Engine, keep_opencv_to, processes
from maquette.execute.processes import Ended, answer_to

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


class Call:
    """What is asked of a worker of FakeRay: ``answer()`` says or raises what comes of it."""

    def __init__(self, answer):
        self.answer = answer


class FakeRay:
    """As much of Ray as ClusterWorkers asks for; workers that start and what they do are given."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

        class ObjectStoreFullError(RayError):
            pass

        class OutOfDiskError(RayError):
            pass

    def __init__(self, begins, does, processors=2):
        self.begins = begins
        self.does = does
        self.processors = processors
        self.killed = 0
        self.asked = []

    def remote(self, kind):
        return self

    def options(self, **needs):
        worker = SimpleNamespace(
            remote=lambda *given: SimpleNamespace(
                ready=SimpleNamespace(remote=lambda: Call(self.begins)),
                do=SimpleNamespace(remote=lambda packed: Call(lambda: self.does(packed))),
            )
        )
        return worker

    def wait(self, calls, num_returns, timeout):
        ready = [call for call in calls if call.answer is not None]
        return ready[:1], ready[1:]

    def get(self, call):
        return call.answer()

    def kill(self, worker):
        self.killed += 1

    def cluster_resources(self):
        return {"CPU": self.processors}


def workers(ray, jobs=2):
    return ClusterWorkers(ray, jobs, {"num_cpus": 1, "num_gpus": 0}, keep_opencv_to)


def failing(kind, message="out of luck"):
    def fail(*given):
        raise kind(message)

    return fail


def test_tasks_whose_workers_are_lost_are_done_again_and_everything_is_done_once():
    losses = iter([True, False, True, False, False, False])

    def does(packed):
        return answer_to(packed) if not next(losses) else failing(FakeRay.exceptions.RayError)()

    ray = FakeRay(lambda: None, does)
    pool = workers(ray)
    assert sorted(pool.outcomes(divmod, [(7, 2), (8, 3), (9, 4), (5, 5)])) == [
        (0, (3, 1)),
        (1, (2, 2)),
        (2, (2, 1)),
        (3, (1, 0)),
    ]
    pool.close()
    assert ray.killed == 2 and next(losses, None) is None


def test_a_full_object_store_ends_the_command_with_what_to_do():
    for kind in (FakeRay.exceptions.ObjectStoreFullError, FakeRay.exceptions.OutOfDiskError):
        says = r"object store is full .*out of luck.*ray start --object-store-memory"
        with pytest.raises(MaquetteError, match=says):
            list(workers(FakeRay(lambda: None, failing(kind))).outcomes(divmod, [(7, 2)]))


def test_no_room_for_what_a_task_is_given_is_said_too():
    ray = FakeRay(lambda: None, answer_to)
    pool = workers(ray)
    kind = FakeRay.exceptions.ObjectStoreFullError
    pool._idle = [SimpleNamespace(do=SimpleNamespace(remote=failing(kind)))]
    pool._call = pool._idle.append  # it answers at once
    with pytest.raises(MaquetteError, match="object store is full"):
        pool._begin(deque([SimpleNamespace(packed=b"")]))


@pytest.mark.parametrize(
    ("raised", "address", "says"),
    [
        (Exception("The current node timed out\nduring startup."), "auto", "node timed out"),
        (Exception("no raylet"), LOCAL, "can be started on this machine .*less busy"),
        (SystemExit(1), "auto", "reached there .no answer.; start one with `ray start"),
        (ConnectionError("none found"), "auto", "none found"),
        (RuntimeError("Version mismatch: a\n b"), "auto", "mismatch: a b; install the same"),
    ],
)
def test_whatever_ray_raises_is_one_line(monkeypatch, raised, address, says):
    left = []
    ray = SimpleNamespace(
        is_initialized=lambda: False, init=raises(raised), shutdown=lambda: left.append(True)
    )
    monkeypatch.setattr(executor, "_ray", lambda: ray)
    refused = pytest.raises(InputError, match=says)
    with refused as caught, connected(Cluster(address), 1, 1, [], keep_opencv_to):
        pass
    assert "\n" not in str(caught.value) and left == [True]


@pytest.mark.parametrize(
    ("greeting", "says"),
    [(b"SSH-2.0", "no head of a cluster"), (b"", "no head of"), (None, "timed out")],
)
def test_what_answers_at_an_address_must_speak_as_a_head_does(monkeypatch, greeting, says):
    """Ray itself would wait for minutes."""
    monkeypatch.setattr(executor, "PATIENCE", 0.3)
    ray = SimpleNamespace(is_initialized=lambda: False, shutdown=lambda: None)  # not even asked
    monkeypatch.setattr(executor, "_ray", lambda: ray)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            if greeting is not None:
                connection.sendall(greeting)
                connection.close()
            held.append(connection)

        held = []
        answering = threading.Thread(target=answer)
        answering.start()
        asked = connected(Cluster(f"127.0.0.1:{server.getsockname()[1]}"), 1, 1, [], keep_opencv_to)
        with pytest.raises(InputError, match=f"can be reached there .*{says}"), asked:
            pass
        answering.join()
        held[0].close()


def raises(error):
    def fail(*words, **named):
        raise error

    return fail


def test_workers_that_never_start_are_an_error():
    ray = FakeRay(failing(FakeRay.exceptions.RayError), answer_to)
    with pytest.raises(MaquetteError, match=r"no worker can be started .*out of luck"):
        list(workers(ray).outcomes(divmod, [(7, 2)]))


def test_when_no_machine_is_left_nobody_waits_for_one():
    ray = FakeRay(None, answer_to, processors=0)  # workers that start and start
    with pytest.raises(InputError, match=r"0 processors .* which is less than one worker needs"):
        list(workers(ray).outcomes(divmod, [(7, 2)]))


@pytest.mark.tools
def test_no_cluster_at_an_address():
    pytest.importorskip("ray")
    refused = pytest.raises(InputError, match="no Ray cluster can be reached there")
    with refused, connected(Cluster("127.0.0.1:1"), 1, 1, [], keep_opencv_to):
        pass


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
