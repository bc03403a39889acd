"""What ends in the middle: a machine, a worker, the command itself. Repeated or not, the same bytes
come out, nothing twice and nothing lost. A Ray cluster of three machines on this one.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from maquette.cli import main
from maquette.data.catalogue import Catalogue
from maquette.data.library import build_library
from maquette.data.shards import ShardConfig, build_shards, shard_name
from maquette.data.views import ViewConfig
from maquette.errors import InputError
from maquette.execute import cluster as executor
from maquette.execute.cluster import Cluster, connected
from maquette.execute.pool import Engine, keep_opencv_to, processes
from tests.data.toys import Toys
from tests.tiny import write_photo
from tests.train.worlds import solids

pytestmark = [pytest.mark.tools, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets open
CONFIG = ShardConfig(scenes=8, views=1, seed=3, per_shard=1, view=ViewConfig(size=32))
STORE = {"object_store_memory": 80 * 2**20}
PATIENCE = 240.0  # seconds


@pytest.fixture(scope="module")
def cluster():
    """Three machines of one processor each. A machine that does other things starts them slowly."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Machines

    head = {"num_cpus": 1, "include_dashboard": False, **STORE}
    machines = Machines(initialize_head=True, head_node_args=head)
    for _ in range(2):
        machines.add_node(num_cpus=1, **STORE)
    yield machines
    machines.shutdown()


def contents(folder):
    """All files of a folder by name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def wait_for(ready):
    deadline = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)
    return found


def test_another_version_on_the_cluster(cluster, monkeypatch):
    import ray

    def refused(says):
        with pytest.raises(InputError, match=says), connected(*asked):
            pass

    asked = (Cluster(cluster.address), 1, 1, [], keep_opencv_to)
    monkeypatch.setattr(executor, "__version__", "9.9")
    refused(r"has maquette \d.*, this machine 9\.9; install the same version")
    monkeypatch.setattr(ray, "__version__", "0.1")
    refused(r"Version mismatch.*Ray: 0\.1.*install the same versions of Ray and Python")


def test_a_folder_that_is_another_one_on_a_machine(cluster, tmp_path):
    """A machine that starts in a namespace of its own, with an empty folder in the place."""
    command = f"mount -t tmpfs none {tmp_path} && exec ray start --address {cluster.address}"
    command += " --num-cpus 1 --object-store-memory 80000000 --block"
    alone = ["unshare", "-m", "sh", "-c", command]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    other = subprocess.Popen(
        alone,
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        nodes = len(cluster.list_all_nodes())
        wait_for(lambda: len(alive(cluster)) > nodes or other.poll())
        if other.returncode is not None:
            pytest.skip("this machine lets nobody mount anything")
        engine = Engine(1, cluster=Cluster(cluster.address))
        refused = pytest.raises(InputError, match=r"is not the same folder on .*; choose one that")
        with refused, processes(engine, [tmp_path], keep_opencv_to):
            pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(other.pid, signal.SIGTERM)
        other.wait()
    wait_for(lambda: len(alive(cluster)) == nodes)
    assert list(tmp_path.iterdir()) == []  # no probe stays


def alive(cluster):
    """The machines that the cluster knows to be there."""
    return [node for node in cluster.global_state.node_table() if node["Alive"]]


@dataclass(frozen=True, eq=False)
class Halting(Toys):
    """Assets of which the first that a machine besides the first one asks for never comes; which
    machine that was is written into a file.
    """

    file: str
    first: str

    def asset(self, index: int):
        import ray

        here = ray.get_runtime_context().get_node_id()
        if here != self.first:
            with contextlib.suppress(FileExistsError), open(self.file, "x") as file:
                file.write(here)
                file.flush()
                time.sleep(10 * PATIENCE)
        return super().asset(index)


def test_a_machine_that_ends_in_the_middle_of_a_shard(cluster, tmp_path):
    catalogue = Catalogue.of(Toys.many())
    build_shards(catalogue, tmp_path / "local", CONFIG)
    halted = tmp_path / "halted"
    shared = tmp_path / "shared"
    slow = Halting(catalogue.library.assets, str(halted), cluster.head_node.node_id)
    engine = Engine(3, cluster=Cluster(cluster.address))

    def end_the_machine():
        wait_for(lambda: halted.exists() and halted.read_text())
        (node,) = [n for n in cluster.worker_nodes if n.node_id == halted.read_text()]
        cluster.remove_node(node, allow_graceful=False)

    ending = threading.Thread(target=end_the_machine)
    ending.start()
    halting = Catalogue(slow, *list(vars(catalogue).values())[1:5])
    assert build_shards(halting, shared, CONFIG, engine=engine) == CONFIG.scenes
    ending.join()
    assert len(cluster.worker_nodes) == 1
    assert contents(shared) == contents(tmp_path / "local")
    cluster.add_node(num_cpus=1, **STORE)


DEADLY = """
import dataclasses, os, pathlib, signal

def deadly(*given):
    mark = pathlib.Path(__file__).with_name("killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield from make_boxes(*given)

DEADLY = dataclasses.replace(BOXES, name="deadly", make=deadly)
"""


def test_a_worker_that_is_killed_in_the_middle_of_a_photo(cluster, tmp_path, tiny_weights):
    method = tmp_path / "deadly.py"
    boxes = Path(__file__).parents[2] / "examples" / "07_your_own_method.py"
    method.write_text(boxes.read_text() + DEADLY)
    for name in ("a", "b"):
        write_photo(tmp_path / "in", f"{name}.png", objects=1)
    photos = str(tmp_path / "in")
    common = ["generate", photos, "--masks", photos, "--weights", str(tiny_weights), "--quiet"]
    common += ["--method", f"{method}:DEADLY", "--jobs", "1", "-o"]
    ray = ["--engine", "ray", "--address", cluster.address]
    assert main([*common, str(tmp_path / "ray"), *ray]) == 0
    assert (tmp_path / "killed").exists()
    assert main([*common, str(tmp_path / "local")]) == 0
    made, wanted = (contents(tmp_path / where) for where in ("ray", "local"))
    assert made.keys() == wanted.keys() >= {"a/scene.glb", "b/scene.glb"}
    timed = ("scene.json", "preview.png")  # say how many seconds it took
    assert all(made[name] == wanted[name] for name in made if not name.endswith(timed))


def test_a_command_that_is_killed_and_repeated(cluster, tmp_path):
    library = build_library(solids(), tmp_path / "library", fields=False).folder
    build = ["data", "build", "--library", str(library), "--scenes", "12", "--views", "1"]
    build += ["--size", "32", "--per-shard", "1", "--out"]
    assert main([*build, str(tmp_path / "local"), "--jobs", "1"]) == 0
    out = tmp_path / "ray"
    command = [*build, str(out), "--engine", "ray", "--address", cluster.address, "--jobs", "0"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "maquette", *command], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: list(out.glob("scenes-*.tar")))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("scenes-*.tar")}
    assert 0 < len(before) < 12
    assert main(command) == 0
    assert contents(out) == contents(tmp_path / "local")
    untouched = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(untouched) == len(before)  # nothing was made twice
    assert shard_name(11) in contents(out)
