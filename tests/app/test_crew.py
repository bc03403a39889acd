"""Workers: several at once, back after every death, and the app says so while none can start."""

import dataclasses
import sys
import threading
import time
from pathlib import Path

import pytest

from maquette.app import claims, jobs
from maquette.app.crew import Crew, worker_command
from maquette.app.problems import Problem
from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
from tests.app.live import add_jobs, fake_worker, start


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
        process = live.app.state.crew.members[0]._process
        process.kill()
        process.wait(10)  # a job that comes while it dies is interrupted
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


@pytest.fixture
def crew(tmp_path):
    """One worker, that is not looking for jobs by itself."""
    studio = Studio.open(ServerSettings(tmp_path / "data", max_batch=3))
    crew = Crew(studio, fake_worker(tmp_path / "template"), hands=1)
    yield crew
    crew.stopping.set()
    crew.members[0].end()
    studio.close()


def add(studio, *seeds, **options):
    """Jobs with these seeds."""
    names = add_jobs(studio, len(seeds))
    for name, seed in zip(names, seeds, strict=True):
        asked = {"method": "iscene", "steps": 1, "seed": seed, **options}
        studio.store.update("jobs", name, options=asked)
    return names


def found(studio, names, column="state"):
    return [jobs.get(studio, name)[column] for name in names]


def test_jobs_that_ask_for_the_same_are_made_together(crew):
    studio = crew.studio
    names = add(studio, 1, 2) + add(studio, 3, steps=2) + add(studio, 4, 5)
    (member,) = crew.members
    member.turn(0)
    assert found(studio, names) == ["done", "done", "queued", "done", "queued"]
    member.turn(0)
    member.turn(0)
    sizes = [seconds.get("sample") for seconds in found(studio, names, "seconds")]
    assert sizes == [3.0, 3.0, 0.01, 3.0, 0.01]
    assert len(studio.store.ids("scenes")) == 5


def test_a_job_that_fails_in_company_fails_alone(crew):
    names = add(crew.studio, 1, 98, 2)
    crew.members[0].turn(0)
    assert found(crew.studio, names) == ["done", "failed", "done"]


def test_what_ends_a_process_ends_one_job(crew):
    """All are made again, each alone, so the innocent get done."""
    names = add(crew.studio, 1, 97, 2)
    crew.members[0].turn(0)
    assert found(crew.studio, names) == ["done", "queued", "queued"]
    crew.studio.store.update("jobs", names[1], options={"method": "iscene", "steps": 97})
    crew.members[0].turn(0)
    crew.members[0].turn(0)
    assert found(crew.studio, names) == ["done", "interrupted", "done"]
    assert crew.studio.store.only("SELECT count(*) AS n FROM jobs WHERE tries = 2")["n"] == 2


def test_who_is_cancelled_in_company_leaves_alone(crew):
    names = add(crew.studio, 100, 1, 100)
    working = threading.Thread(target=crew.members[0].turn, args=(0,))
    working.start()
    while found(crew.studio, names)[1] != "done":
        time.sleep(0.01)
    process = crew.members[0]._process
    crew.cancel(names[2])
    crew.cancel(names[0])
    working.join(20)
    assert not working.is_alive() and process.poll() is None
    assert found(crew.studio, names) == ["cancelled", "done", "cancelled"]


def test_a_batch_waits_for_others_and_takes_no_more_than_its_share(tmp_path, crew):
    (name,) = add(crew.studio, 1)
    claimed = claims.claim(crew.studio)
    assert claimed["id"] == name and crew.members[0].begin()
    assert crew.largest_batch(claimed) == 1
    add(crew.studio, 2, 3, 4, 5)
    assert crew.largest_batch(claimed) == 3  # --max-batch
    halves = dataclasses.replace(crew.studio.settings, workers=2, max_batch=8)
    crew.studio = dataclasses.replace(crew.studio, settings=halves)
    assert crew.largest_batch(claimed) == 3  # of five, for two workers
    patient = dataclasses.replace(halves, batch_wait=1.0)
    crew.studio = dataclasses.replace(crew.studio, settings=patient)
    assert crew.largest_batch(claimed) == 8
    assert crew.largest_batch({**claimed, "options": {"method": "midi"}}) == 1


def test_with_patience_a_job_that_comes_later_joins(tmp_path):
    settings = ServerSettings(tmp_path / "data", max_batch=2, batch_wait=30.0)
    studio = Studio.open(settings)
    crew = Crew(studio, fake_worker(tmp_path / "template"), hands=1)
    names = add(studio, 1)
    working = threading.Thread(target=crew.members[0].turn, args=(0,))
    working.start()
    while found(studio, names) != ["running"]:
        time.sleep(0.01)
    names += add(studio, 2)
    working.join(20)
    assert found(studio, names) == ["done", "done"]
    assert [each["sample"] for each in found(studio, names, "seconds")] == [2.0, 2.0]
    crew.members[0].end()
    studio.close()
