"""On Ray Serve: how many of what, and the whole way over its proxy."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from maquette.errors import InputError
from maquette.serve.deployment import _scaling, _sized
from maquette.serve.settings import ServeSettings
from tests.app.live import Live, label_png, picture
from tests.serve.test_metrics import parsed

COMPUTERS = {"CPU": 8.0}
CARDS = {"CPU": 8.0, "GPU": 3.0}


@pytest.mark.parametrize(
    ("there", "asked", "workers", "cards"),
    [
        (COMPUTERS, {}, 1, 0.0),
        (CARDS, {}, 3, 1.0),
        (CARDS, {"num_gpus": 0.5}, 6, 0.5),
        (CARDS, {"num_gpus": 0.0}, 1, 0.0),
        (CARDS, {"workers": 2}, 2, 1.0),
        (COMPUTERS, {"workers": 4, "num_cpus": 2}, 4, 0.0),
    ],
)
def test_there_is_a_worker_for_each_card_unless_told_otherwise(
    tmp_path, there, asked, workers, cards
):
    sized = _sized(ServeSettings(tmp_path, **asked), there)
    assert (sized.workers, sized.num_gpus) == (workers, cards)


def test_more_workers_than_there_is_room_for_are_refused(tmp_path):
    with pytest.raises(InputError, match="--workers 5: the cluster has room for 4"):
        _sized(ServeSettings(tmp_path, workers=5, num_cpus=2), COMPUTERS)
    with pytest.raises(InputError, match="--workers 1: the cluster has room for 0"):
        _sized(ServeSettings(tmp_path, workers=1, num_gpus=1.0), COMPUTERS)


def test_workers_stay_or_scale(tmp_path):
    assert _scaling(ServeSettings(tmp_path, workers=3)) == {"num_replicas": 3}
    settings = ServeSettings(tmp_path, workers=3, least_workers=0, idle=60.0)
    scaled = _scaling(settings)["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (0, 3)
    assert (scaled["initial_replicas"], scaled["downscale_delay_s"]) == (1, 60.0)


class Remote(Live):
    """A server in another process."""

    def __init__(self, port):
        self.port = port


@pytest.fixture(scope="module")
def remote(tmp_path_factory, tiny_weights):
    pytest.importorskip("ray.serve")
    root = tmp_path_factory.mktemp("serve")
    command = [sys.executable, "-m", "maquette", "serve", "--data", str(root / "data")]
    command += ["--weights", str(tiny_weights), "--port", "0", "--queue", "1", "--workers", "1"]
    with open(root / "errors", "wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    line = process.stdout.readline()
    assert line.startswith("maquette serve: http://127.0.0.1:"), (root / "errors").read_text()
    yield Remote(int(line.strip().rsplit(":", 1)[1].strip("/")))
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    process.stdout.close()
    assert "Traceback" not in (root / "errors").read_text()


@pytest.mark.tools
def test_a_photo_becomes_a_glb_over_ray_serve(remote):
    files = [("photo", "p.png", picture()), ("masks", "m.png", label_png())]
    answer = remote.send("/api/jobs", files, options=json.dumps({"steps": 1}))
    assert answer.status == 202, answer.body
    assert answer.headers["location"] == f"/api/jobs/{answer.json['id']}"
    job = followed(remote, answer.json["id"])
    assert job["state"] == "done", job
    glb = remote.get(f"/api/scenes/{job['scene']}/export?format=glb")
    assert glb.status == 200 and glb.body.startswith(b"glTF")
    end = remote.events(f"/api/jobs/{job['id']}/events")[-1]
    assert end[0] == "end" and end[1]["scene"] == job["scene"]


@pytest.mark.tools
def test_under_load_it_answers_429_and_loses_nothing(remote):
    photo = remote.photo()
    answers = []

    def ask():
        body = {"photo": photo, "options": {"steps": 1}}
        answers.append(remote.post("/api/jobs", body))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [answer.json["id"] for answer in answers if answer.status == 202]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(taken) + len(refused) == 8 and taken and refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {followed(remote, job)["state"] for job in taken} == {"done"}
    metrics = parsed(remote.get("/metrics").body.decode())
    assert metrics["maquette_jobs", "queued"] == 0
    assert metrics["maquette_jobs_finished_total", "done"] >= len(taken)
    stages = [value for key, value in metrics.items() if key[0] == "maquette_stages_total"]
    assert max(stages) >= len(taken)


def followed(remote, job):
    end = time.monotonic() + 300
    while (found := remote.get(f"/api/jobs/{job}").json)["state"] in ("queued", "running"):
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found
