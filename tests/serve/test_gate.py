"""The app's HTTP contract, answered by a gate whose workers are elsewhere; without Ray, which only
carries the calls.
"""

import asyncio
import time

import pytest

from maquette.app.problems import Problem
from maquette.serve.gate import Bell, gate
from maquette.serve.maker import Maker
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared
from tests.app.live import Live, fake_worker, label_png, picture
from tests.serve.conftest import KINDS


class Served(Live):
    """A gate with one maker."""

    def create(self, settings, worker, finders):
        self.maker = Maker(settings, worker)
        return gate(settings, finders, self.maker.work)

    def stop(self):
        super().stop()
        self.maker.stop()


@pytest.fixture(scope="module", params=KINDS)
def served(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    address = None
    if request.param == "postgresql":
        address = request.getfixturevalue("postgres").create("served")
    settings = ServeSettings(
        root / "data",
        port=0,
        queue=2,
        workers=1,
        database=address,
    )
    with Served(settings, fake_worker(root / "template")) as live:
        yield live


def test_a_job_becomes_a_scene_as_in_the_app(served):
    job = served.job()
    assert job["state"] == "done" and [i["label"] for i in job["instances"]] == [1, 2]
    assert served.get(job["instances"][0]["glb"]).body == b"glTF fake"
    scene = served.get(f"/api/scenes/{job['scene']}").json
    assert served.get(f"/api/scenes/{job['scene']}/export?format=glb").body[:4] == b"glTF"
    edited = served.edit(scene, kind="hide", labels=[1]).json
    again = served.post(f"/api/scenes/{scene['id']}/regenerate", {"label": 2, "seed": 5})
    assert served.follow(again.json["id"])["state"] == "done"
    assert served.get(f"/api/scenes/{scene['id']}").json["version"] == edited["version"] + 1


def test_events_come_from_another_process(served):
    job = served.job(wait=False)
    events = served.events(f"/api/jobs/{job['id']}/events")
    names = [name for name, _ in events]
    assert names[0] == "job" and names[-1] == "end" and events[-1][1]["state"] == "done"
    assert {data["label"] for name, data in events if name == "instance"} == {1, 2}


def test_cancelling_and_deleting_stop_the_worker(served):
    for method, path in (("POST", "/cancel"), ("DELETE", "")):
        job = served.job(wait=False, steps=100)
        while served.get(f"/api/jobs/{job['id']}").json["state"] != "running":
            time.sleep(0.01)
        assert served.call(method, f"/api/jobs/{job['id']}{path}").status in (200, 204)
        assert served.job()["state"] == "done"
    ends = time.monotonic() + 30  # folders go after their jobs have ended
    while left := [name for name in served.files() if "result-" in name or job["id"] in name]:
        assert time.monotonic() < ends, left
        time.sleep(0.01)


def test_a_full_queue_is_answered_with_429_and_a_time(served):
    photo = served.photo()
    blocker = served.job(photo, wait=False, steps=100)
    while served.get(f"/api/jobs/{blocker['id']}").json["state"] != "running":
        time.sleep(0.01)
    waiting = [served.job(photo, wait=False) for _ in range(2)]
    refused = served.post("/api/jobs", {"photo": photo})
    assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
    served.post(f"/api/jobs/{blocker['id']}/cancel")
    assert {served.follow(job["id"])["state"] for job in waiting} == {"done"}


def test_health_and_configuration_come_from_the_database(served):
    health = served.get("/api/health").json
    assert health["status"] == "ok" and len(health["workers"]) == 1
    assert served.get("/api/config").json["methods"][0]["name"] == "iscene"
    metrics = served.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'maquette_jobs{state="queued"} ' in metrics.body


def test_one_call_with_photo_and_masks(served):
    files = [("photo", "shelf.png", picture()), ("masks", "m.png", label_png())]
    answer = served.send("/api/jobs", files, only="2")
    assert served.follow(answer.json["id"])["state"] == "done"


@pytest.mark.tools
def test_a_database_that_goes_away_is_503_and_everything_goes_on_afterwards(tmp_path, postgres):
    settings = ServeSettings(
        tmp_path / "data",
        port=0,
        workers=1,
        database=postgres.create("gone"),
    )
    with Served(settings, fake_worker(tmp_path / "template")) as live:
        before = live.job()
        photo = live.photo()
        running = live.job(photo, wait=False, steps=100)
        address = f"/api/jobs/{running['id']}"
        while live.get(address).json["state"] != "running":
            time.sleep(0.01)
        postgres.stop("immediate")
        refused = live.post("/api/jobs", {"photo": photo})
        assert (refused.status, refused.code) == (503, "busy"), refused.body
        assert int(refused.headers["retry-after"]) >= 1 and "postgres" not in refused.message
        postgres.start()
        assert live.get(address).json["state"] == "running"
        assert live.post(f"{address}/cancel").json["state"] == "cancelled"
        assert live.get(f"/api/jobs/{before['id']}").json == before
        assert live.job(photo)["state"] == "done"


def test_a_job_for_which_nobody_was_called_is_found(tmp_path, monkeypatch):
    """As after the end of the gate that took it."""
    monkeypatch.setattr("maquette.serve.gate.ROUND", 0.05)
    studio = open_shared(ServeSettings(tmp_path / "data"))
    calls = []

    async def work():
        calls.append(1)
        await asyncio.sleep(0.3)
        studio.store.run("UPDATE jobs SET state = 'done'")

    async def watch():
        bell = Bell(studio, work)
        bell.start()
        studio.store.insert("jobs", id="a", state="queued")
        await asyncio.sleep(0.8)
        bell.stop()

    asyncio.run(watch())
    studio.close()
    assert calls == [1]


def test_without_any_worker_it_says_so(tmp_path):
    studio = open_shared(ServeSettings(tmp_path / "data"))
    with pytest.raises(Problem, match="no worker starts") as caught:
        Bell(studio, None).capabilities(patience=0.0)
    assert caught.value.status == 503
    studio.close()
