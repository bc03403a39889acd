"""One at a time, whether threads or processes; and what ends lets go."""

import subprocess
import sys
import threading

from maquette.serve.locks import SharedLock, shared_locks

HOLDER = """
import sys, time
from pathlib import Path
from maquette.serve.locks import SharedLock
with SharedLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def takes(lock, seconds):
    """Whether a lock can be entered by another thread in that time."""
    entered = threading.Event()

    def enter():
        with lock:
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(seconds)


def test_it_may_be_entered_again_and_is_free_after_the_last_exit(tmp_path):
    lock = SharedLock(tmp_path / "a")
    other = SharedLock(tmp_path / "a")  # as in another process: a file of its own
    with lock:
        with lock:
            assert not takes(other, 0.1)
        assert not takes(other, 0.1) and not takes(lock, 0.1)
    assert takes(other, 10) and takes(lock, 10)


def test_a_process_that_is_killed_lets_go(tmp_path):
    path = str(tmp_path / "a")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert not takes(SharedLock(tmp_path / "a"), 0.2)
    holder.kill()
    holder.communicate()
    assert takes(SharedLock(tmp_path / "a"), 10)


def test_what_cannot_be_locked_holds_up_nobody(tmp_path):
    lock = SharedLock(tmp_path / "nowhere" / "a")
    for _ in range(2):
        try:
            with lock:
                raise AssertionError("it has no file")
        except FileNotFoundError:
            continue
    (tmp_path / "nowhere").mkdir()
    assert takes(lock, 10)


def test_every_kind_has_its_own(tmp_path):
    locks = shared_locks(tmp_path)
    with locks["photos"][3]:
        assert takes(locks["jobs"][3], 10) and not takes(locks["photos"][3], 0.1)
