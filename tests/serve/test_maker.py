"""A worker of a cluster: killed in the middle of a job, another takes that over."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from maquette.app import jobs
from maquette.errors import MaquetteError
from maquette.serve.maker import Maker
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared
from tests.app.live import add_jobs, fake_worker
from tests.app.test_restart import _children
from tests.serve.test_claims import end_leases

WORKER = """
import asyncio, json, sys
from pathlib import Path
from maquette.serve.maker import Maker
from maquette.serve.settings import ServeSettings
asyncio.run(Maker(ServeSettings(Path(sys.argv[1])), json.loads(sys.argv[2])).work())
"""


def until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_job_of_a_killed_worker_is_done_by_another(tmp_path):
    settings = ServeSettings(tmp_path / "data")
    studio = open_shared(settings)
    (name,) = add_jobs(studio, 1)
    studio.store.update("jobs", name, options={"steps": 100})  # for ever
    command = fake_worker(tmp_path / "template")
    killed = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(settings.data), json.dumps(command)]
    )
    until(lambda: jobs.get(studio, name)["state"] == "running")
    children = _children(killed.pid)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for child in children:  # the real one ends by itself
        os.kill(child, signal.SIGKILL)
    studio.store.update("jobs", name, options={"steps": 1})
    end_leases(studio)
    maker = Maker(settings, command)
    maker._work()
    maker.stop()
    job = jobs.get(studio, name)
    assert job["state"] == "done" and studio.store.ids("scenes") == [job["scene"]]
    worker = studio.store.only("SELECT capabilities FROM workers ORDER BY seen DESC")
    assert worker["capabilities"]["devices"] == ["cpu"]
    studio.close()


def test_a_worker_that_cannot_start_is_an_error(tmp_path):
    with pytest.raises(MaquetteError, match="does not start"):
        Maker(ServeSettings(tmp_path / "data"), [sys.executable, "-c", "raise SystemExit(1)"])


def test_one_call_makes_all_that_ask_for_the_same(tmp_path):
    settings = ServeSettings(tmp_path / "data", max_batch=3, workers=1)
    studio = open_shared(settings)
    names = add_jobs(studio, 4)
    for seed, name in enumerate(names):
        studio.store.update("jobs", name, options={"method": "iscene", "seed": seed})
    maker = Maker(settings, fake_worker(tmp_path / "template"))
    maker._work()
    assert [jobs.get(studio, name)["state"] for name in names] == [*["done"] * 3, "queued"]
    maker._work()
    maker._work()  # one that is called for nothing
    assert len(studio.store.ids("scenes")) == 4
    maker.stop()
    studio.close()
