"""Processes that work for this one: they compute, and they end with it, quietly and tidily, when it
is interrupted.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from maquette.errors import MaquetteError
from maquette.execute.processes import Ended, spawned

PROGRAM = textwrap.dedent("""
    import os, pathlib, sys, time
    from maquette.output import atomic_write
    from maquette.execute.processes import spawned

    def task(folder):
        with atomic_write(pathlib.Path(folder) / "result") as temporary:
            temporary.write_text("half")
            pathlib.Path(folder, f"begun-{os.getpid()}").touch()
            time.sleep(60)

    if __name__ == "__main__":
        with spawned(2) as pool:
            for _ in pool.outcomes(task, [(sys.argv[1],)] * 5):
                pass
""")


@pytest.fixture(autouse=True)
def as_users_start_them(monkeypatch):
    """Not as the other tests do."""
    monkeypatch.setattr("maquette.execute.processes.START", multiprocessing.get_context("spawn"))


def results(pool, task, arguments):
    """What became of each, in the order of the arguments."""
    found = dict(pool.outcomes(task, arguments))
    return [found[number] for number in range(len(arguments))]


def test_they_compute_what_this_process_would():
    with spawned(2, os.putenv, ("NOTHING", "0")) as pool:
        assert results(pool, divmod, [(7, 2), (8, 3), (9, 4)]) == [(3, 1), (2, 2), (2, 1)]
        assert results(pool, divmod, []) == []


def test_an_error_does_not_wait_for_what_is_under_way():
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError) as caught, spawned(2) as pool:
        list(pool.outcomes(sleep_or_divide, [(60.0,), (0.0,)]))
    assert time.monotonic() - start < 30
    assert "sleep_or_divide" in str(caught.value.__cause__)


def sleep_or_divide(seconds):
    time.sleep(seconds)
    return 1 / seconds


def test_leaving_early_does_not_wait_for_what_is_under_way():
    start = time.monotonic()
    with spawned(2) as pool:
        next(pool.outcomes(time.sleep, [(0.01,), (60.0,)]))
    assert time.monotonic() - start < 30


class Stubborn(Exception):
    """Of a kind that cannot travel."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def be_stubborn():
    raise Stubborn("one", "two")


def test_what_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="Stubborn: one and two"), spawned(1) as pool:
        list(pool.outcomes(be_stubborn, [()]))


def end(way):
    """End this process in one of the ways in which it can end."""
    if way == "exit":
        os._exit(3)
    if way == "crash":
        ctypes.string_at(0)
    if way != "none":
        os.kill(os.getpid(), signal.Signals[way])
        time.sleep(5)
    return os.getpid()


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_task_whose_process_ends_is_named_and_the_others_are_done(jobs):
    ways = ["none", "SIGKILL", "none", "exit", "crash", "SIGTERM", "none"]
    with spawned(jobs) as pool:
        found = results(pool, end, [(way,) for way in ways])
        again = results(pool, end, [("none",)])
    reasons = [each.reason for each in found if isinstance(each, Ended)]
    assert [isinstance(each, int) for each in found] == [way == "none" for way in ways]
    assert "memory" in reasons[0] and "SIGSEGV" in reasons[2]
    assert reasons[1].endswith("code 3") and reasons[3].endswith("code 1")
    assert isinstance(again[0], int) and again[0] != os.getpid()


def test_processes_that_cannot_be_prepared_are_an_error_not_a_loss():
    says = r"no process can be started .*code 4"
    with pytest.raises(MaquetteError, match=says), spawned(2, os._exit, (4,)) as pool:
        list(pool.outcomes(divmod, [(7, 2)]))


ENDLESS = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1], f"begun-{os.getpid()}").touch()
while True:
    sum(range(1000))
"""
STARTER = """
import os, subprocess, sys
guarded = [sys.executable, "-m", "maquette.execute.processes", str(os.getpid())]
subprocess.run([*guarded, "endless", sys.argv[1]])
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize(("program", "children"), [(PROGRAM, 2), (STARTER, 1)])
def test_they_end_when_their_parent_was_killed(tmp_path, program, children):
    """Pools in the middle of a task, and modules that never listen."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "endless.py").write_text(ENDLESS)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(out)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("begun-*"))) < children:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = [int(path.name.partition("-")[2]) for path in out.glob("begun-*")]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_a_parent_that_has_ended_before_is_noticed(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    late = subprocess.run(
        [
            sys.executable,
            "-m",
            "maquette.execute.processes",
            str(gone.pid),
            "endless",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": paths},
        timeout=60,
    )
    assert late.returncode == -signal.SIGTERM


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_the_whole_group_is_interrupted_and_only_the_parent_speaks(tmp_path):
    """As a terminal does it. What was being written is gone, nobody waits, and no worker prints a
    traceback.
    """
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "out")]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("begun-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith(
        "KeyboardInterrupt"
    )  # this program has no command line around it
    assert all(path.name.startswith("begun-") for path in (tmp_path / "out").iterdir())
