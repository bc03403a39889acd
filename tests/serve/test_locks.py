"""One at a time, whether threads or processes; and what ends lets go."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maquette.serve import locks as module
from maquette.serve.locks import FOLDER, shared_locks

HOLDER = """
import sys, time
from pathlib import Path
from maquette.serve.locks import shared_locks
with shared_locks(Path(sys.argv[1]))["jobs"][0]:
    print("held", flush=True)
    time.sleep(600)
"""


def first(folder):
    """A lock as another process would have it: of a file of its own."""
    return shared_locks(folder)["jobs"][0]


def takes(lock, seconds):
    """Whether a lock can be entered by another thread in that time."""
    entered = threading.Event()

    def enter():
        with lock:
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(seconds)


def test_it_may_be_entered_again_and_is_free_after_the_last_exit(tmp_path):
    lock = first(tmp_path)
    other = first(tmp_path)
    with lock:
        with lock:
            assert not takes(other, 0.1)
        assert not takes(other, 0.1) and not takes(lock, 0.1)
    assert takes(other, 10) and takes(lock, 10)


def test_no_two_threads_are_inside(tmp_path):
    locks = [first(tmp_path), first(tmp_path)]
    inside = []
    most = []

    def work(lock):
        for _ in range(20):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(locks[k % 2],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and set(most) == {1}


def test_a_process_that_is_killed_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert not takes(first(tmp_path), 0.2)
    holder.kill()
    holder.communicate()
    assert takes(first(tmp_path), 10)


def test_what_cannot_be_locked_holds_up_nobody(tmp_path):
    lock = first(tmp_path)
    place = tmp_path / FOLDER / "jobs-0"
    place.mkdir()
    with pytest.raises(OSError), lock:
        pass
    place.rmdir()
    assert takes(lock, 10)


def test_every_kind_has_its_own(tmp_path):
    locks = shared_locks(tmp_path)
    with locks["photos"][3]:
        assert takes(locks["jobs"][3], 10) and not takes(locks["photos"][3], 0.1)


def test_no_module_needs_a_library_that_only_some_systems_have():
    """At import; `pipeline` asks for `resource` where it knows that it is there."""
    such = re.compile("^(import|from) (fcntl|pwd|grp|resource|termios|msvcrt)\\b", re.MULTILINE)
    for path in Path(module.__file__).parents[1].rglob("*.py"):
        assert not such.search(path.read_text(encoding="utf-8")), path
