"""Jobs over the wire: from the queue to the scene, and every way in which they end."""

import io
import json
import time
import zipfile

import pytest

from tests.app.live import label_png, picture, start


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server whose queue is full soon."""
    with start(tmp_path_factory.mktemp("small"), queue=2) as live:
        yield live


def test_a_job_becomes_a_scene_and_says_how_far_it_is(server):
    answer = server.post(
        "/api/jobs", {"photo": server.photo(), "name": "first", "options": {"seed": 7}}
    )
    assert answer.status == 202 and answer.headers["location"] == f"/api/jobs/{answer.json['id']}"
    job = server.follow(answer.json["id"])
    assert (job["state"], job["name"], job["error"], job["position"]) == (
        "done",
        "first",
        None,
        None,
    )
    expected = {
        "method": "iscene",
        "model": "embedded",
        "perception": "embedded",
        "seed": 7,
        "samples": 1,
        "steps": None,
        "guidance": None,
        "fit": True,
        "texture": "auto",
        "triangles": None,
    }
    assert job["options"] == {**expected, "fov": None, "device": "auto", "room": True}
    assert [i["label"] for i in job["instances"]] == [1, 2] and job["created"] <= job[
        "started"
    ] <= job["finished"]
    scene = server.get(f"/api/scenes/{job['scene']}").json
    assert (scene["job"], scene["name"], [i["label"] for i in scene["instances"]]) == (
        job["id"],
        "first",
        [1, 2],
    )
    assert server.get(job["instances"][0]["glb"]).body == b"glTF fake"


def test_events_begin_with_what_is_there_and_end_with_the_end(server):
    job = server.job(wait=False)
    live = server.events(f"/api/jobs/{job['id']}/events")
    late = server.events(f"/api/jobs/{job['id']}/events")
    for events in (live, late):
        names = [name for name, _ in events]
        assert names[0] == "job" and names[-1] == "end" and names.count("instance") >= 2
        assert events[-1][1]["state"] == "done" and events[-1][1]["scene"]
    shares = [data["overall"] for name, data in live if name == "progress"]
    assert shares == sorted(shares)
    assert {data["label"] for name, data in late if name == "instance"} == {1, 2}


def test_the_stream_of_everything_tells_of_all_jobs(server):
    photo = server.photo()
    running = server.job(photo, wait=False, steps=100)
    import threading

    seen = []
    listener = threading.Thread(
        target=lambda: seen.extend(server.events("/api/events", until="deleted"))
    )
    listener.start()
    time.sleep(0.2)
    server.call("DELETE", f"/api/jobs/{running['id']}")
    listener.join()
    assert {name for name, _ in seen} >= {"job", "deleted"} and seen[-1][1] == {
        "kind": "job",
        "id": running["id"],
    }


def test_cancelling_works_at_once_and_leaves_nothing_half_written(server):
    before = server.files()
    job = server.job(wait=False, steps=100)
    while server.get(f"/api/jobs/{job['id']}").json["progress"]["stage"] != "perceive":
        time.sleep(0.01)
    start_time = time.monotonic()
    answer = server.post(f"/api/jobs/{job['id']}/cancel")
    assert answer.json["state"] == "cancelled" and time.monotonic() - start_time < 5
    again = server.post(f"/api/jobs/{job['id']}/cancel")
    assert (again.status, again.code, again.json["error"]["current"]["state"]) == (
        409,
        "conflict",
        "cancelled",
    )
    assert server.job()["state"] == "done"  # the next one finds a worker
    assert not any(".maquette-" in name for name in server.files() - before)


def test_a_job_that_waits_is_cancelled_without_a_worker(server):
    blocker = server.job(wait=False, steps=100)
    waiting = server.job(wait=False)
    assert server.get(f"/api/jobs/{waiting['id']}").json["position"] == 0
    assert server.post(f"/api/jobs/{waiting['id']}/cancel").json["state"] == "cancelled"
    assert server.call("DELETE", f"/api/jobs/{blocker['id']}").status == 204


@pytest.mark.parametrize(
    ("steps", "state", "said"),
    [
        (99, "failed", "ended with an error"),
        (98, "failed", "too dark"),
        (97, "interrupted", "repeat"),
    ],
)
def test_every_failure_is_said_and_can_be_repeated(server, steps, state, said):
    job = server.job(steps=steps)
    assert job["state"] == state and said in job["error"] and job["scene"] is None
    again = server.post(f"/api/jobs/{job['id']}/repeat", {"options": {"steps": 2, "seed": 5}})
    assert again.status == 202
    made = server.follow(again.json["id"])
    assert (made["state"], made["options"]["steps"], made["options"]["seed"], made["objects"]) == (
        "done",
        2,
        5,
        job["objects"],
    )


def test_repeating_without_changes_asks_for_the_same(server):
    job = server.job(seed=3, method="midi")
    again = server.post(f"/api/jobs/{job['id']}/repeat")
    assert again.status == 202 and again.json["options"] == job["options"]
    assert server.follow(again.json["id"])["scene"] != job["scene"]


def test_a_full_queue_says_when_to_come_back(small):
    photo = small.photo()
    jobs = [small.job(photo, wait=False, steps=100)]
    while small.get(f"/api/jobs/{jobs[0]['id']}").json["state"] == "queued":
        time.sleep(0.01)
    jobs += [small.job(photo, wait=False) for _ in range(2)]
    before = small.files()
    refused = small.post("/api/jobs", {"photo": photo})
    assert (refused.status, refused.code) == (429, "busy")
    assert int(refused.headers["retry-after"]) == refused.json["error"]["retry_after"] >= 1
    files = [("photo", "p.png", picture()), ("masks", "m.png", label_png())]
    assert small.send("/api/jobs", files).status == 429
    new = {name for name in small.files() - before if ".maquette-" not in name}  # of the worker
    assert not new and len(small.get("/api/photos").json["photos"]) == 1
    assert [small.get(f"/api/jobs/{job['id']}").json["position"] for job in jobs] == [None, 0, 1]
    small.post(f"/api/jobs/{jobs[0]['id']}/cancel")
    assert [small.follow(job["id"])["state"] for job in jobs] == ["cancelled", "done", "done"]


def test_one_call_with_photo_and_masks(server):
    files = [("photo", "shelf.png", picture()), ("masks", "m.png", label_png())]
    answer = server.send(
        "/api/jobs", files, options=json.dumps({"seed": 9}), only="2", name="shelf"
    )
    assert answer.status == 202, answer.body
    job = server.follow(answer.json["id"])
    assert (
        job["state"],
        job["name"],
        job["options"]["seed"],
        [o["label"] for o in job["objects"]],
    ) == ("done", "shelf", 9, [2])


def test_one_call_that_is_wrong_leaves_nothing(server):
    before = server.files()
    photos = len(server.get("/api/photos").json["photos"])
    good = ("photo", "p.png", picture())
    masks = ("masks", "m.png", label_png())
    wrong = [
        ([good], {}),
        ([masks], {}),
        ([good, ("masks", "m.txt", b"hello")], {}),
        ([good, masks], {"only": "9"}),
        ([good, masks], {"options": '{"seed": -1}'}),
        ([good, masks], {"options": "{"}),
        ([("photo", "p.png", b"no"), masks], {}),
        ([good, good, masks], {}),
        ([good, ("masks", "m.png", label_png(50, 90))], {}),
    ]
    for files, fields in wrong:
        answer = server.send("/api/jobs", files, **fields)
        assert answer.status in (415, 422), (fields, answer.body)
    assert not server.files() - before and len(server.get("/api/photos").json["photos"]) == photos


@pytest.mark.parametrize(
    "options",
    [
        {"method": "magic"},
        {"model": "/etc/passwd"},
        {"model": "other", "method": "iscene"},
        {"device": "cuda"},
        {"device": "tpu"},
        {"seed": 2**32},
        {"seed": 1.5},
        {"samples": 0},
        {"steps": 0},
        {"guidance": "strong"},
        {"unknown": 1},
    ],
)
def test_wrong_options_are_refused_in_words(server, options):
    answer = server.post("/api/jobs", {"photo": server.photo(), "options": options})
    assert (answer.status, answer.code) == (422, "input") and answer.message


def test_a_model_brings_its_method(server):
    assert server.job(model="other")["options"]["method"] == "midi"


def test_a_photo_without_masks_or_without_such_a_label_makes_no_job(server):
    assert "at least one" in server.post("/api/jobs", {"photo": server.photo(masked=False)}).message
    assert (
        "labels are 1, 2"
        in server.post("/api/jobs", {"photo": server.photo(), "only": [7]}).message
    )
    assert server.post("/api/jobs", {"photo": "0" * 16}).status == 404


def test_lists_can_be_narrowed(server):
    job = server.job(steps=98)
    found = server.get(f"/api/jobs?state=failed&photo={job['photo']}").json["jobs"]
    assert [other["id"] for other in found] == [job["id"]]
    assert (
        len(server.get("/api/jobs?limit=1").json["jobs"]) == 1
        and server.get("/api/jobs?state=lost").status == 422
    )


def test_deleting_a_job_leaves_its_scene_and_no_file(server):
    job = server.job()
    assert server.call("DELETE", f"/api/jobs/{job['id']}").status == 204
    assert (
        server.get(f"/api/jobs/{job['id']}").status == 404
        and server.get(f"/api/scenes/{job['scene']}").status == 200
    )
    assert not any(job["id"] in name for name in server.files())
    assert server.call("DELETE", f"/api/jobs/{job['id']}").status == 404


def test_a_job_keeps_what_it_was_made_from_when_the_photo_goes(server):
    job = server.job()
    assert server.call("DELETE", f"/api/photos/{job['photo']}").status == 204
    for part in ("masks.png", "photo.png", "thumbnail.jpg"):
        assert server.get(f"/api/jobs/{job['id']}/{part}").status == 200
    assert server.follow(server.post(f"/api/jobs/{job['id']}/repeat").json["id"])["state"] == "done"


def test_the_result_of_an_export_is_a_whole_archive(server):
    content = server.get(f"/api/scenes/{server.job()['scene']}/export?format=json").body
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None and "scene.json" in archive.namelist()
