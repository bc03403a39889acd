"""Workers: several at once, back after every death, and the app says so while none can start."""

import sys
import threading
import time
from pathlib import Path

import pytest

from maquette.app.crew import worker_command
from maquette.app.problems import Problem
from maquette.app.settings import ServerSettings
from tests.app.live import start


def test_several_workers_work_at_the_same_time(tmp_path):
    with start(tmp_path, workers=2) as live:
        photo = live.photo()
        blocker = live.job(photo, wait=False, steps=100)
        assert live.job(photo)["state"] == "done"
        assert sorted(w["state"] for w in live.get("/api/health").json["workers"]) in (
            ["busy", "ready"],
            ["busy", "busy"],
        )
        assert live.post(f"/api/jobs/{blocker['id']}/cancel").status == 200


def test_a_worker_that_dies_idle_is_replaced(tmp_path):
    with start(tmp_path) as live:
        photo = live.photo()
        live.get("/api/config")
        live.app.state.crew.members[0]._process.kill()
        assert live.job(photo)["state"] == "done"


def test_without_a_worker_jobs_wait_and_the_rest_works(tmp_path):
    with start(tmp_path, worker=[sys.executable, "-c", "raise SystemExit(1)"]) as live:
        live.photo()
        assert live.get("/api/health").json["workers"] == [{"state": "starting"}]
        with pytest.raises(Problem, match="worker does not start") as caught:
            live.app.state.crew.capabilities(patience=0.05)
        assert caught.value.status == 503


def test_nobody_who_waits_for_the_first_worker_keeps_a_server_from_stopping(tmp_path):
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    live = start(tmp_path, worker=sleeper)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(live.get("/api/config")))
    asking.start()
    time.sleep(0.3)
    begin = time.monotonic()
    live.stop()
    asking.join(10)
    assert time.monotonic() - begin < 20
    assert not asking.is_alive()


def test_weights_are_passed_on_as_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    command = worker_command(ServerSettings(tmp_path, weights=(Path("w"),)))
    assert command[-1] == f"--weights={(tmp_path / 'w').resolve()}"
