"""Many clients of all kinds at once: no job is lost, no file stays behind, nothing ends in an error
of the server's own.

The default is short. ``MAQUETTE_LOAD_SECONDS=60 MAQUETTE_LOAD_CLIENTS=200 pytest -m slow
tests/app/test_load.py -s`` is the full one."""

import collections
import http.client
import os
import random
import socket
import sys
import threading
import time

import pytest

from tests.app.live import FINAL, label_png, picture, start

CLIENTS = int(os.environ.get("MAQUETTE_LOAD_CLIENTS", "40"))
SECONDS = float(os.environ.get("MAQUETTE_LOAD_SECONDS", "6"))
PHOTO = picture()
MASKS = label_png()


class Client(threading.Thread):
    """Does what comes into its mind until it is told to stop, and remembers what it was
    promised.
    """

    def __init__(self, live, number, stop):
        super().__init__()
        self.live = live
        self.stop = stop
        self.chance = random.Random(number)
        self.photos = []
        self.jobs = set()
        self.deleted = set()
        self.said = collections.Counter()
        self.times = []

    def run(self):
        good = [
            self.add_photo,
            self.edit,
            self.edit,
            self.undo,
            self.submit,
            self.submit,
            self.follow,
            self.cancel,
            self.delete_job,
            self.delete_photo,
            self.export,
            self.edit_scene,
        ]
        bad = [
            self.wrong_host,
            self.foreign,
            self.too_large,
            self.garbage,
            self.vanish,
            self.unknown,
            self.old_version,
            self.wrong_job,
        ]
        while not self.stop.is_set():
            act = self.chance.choice(good if self.chance.random() < 0.6 else bad)
            begin = time.monotonic()
            try:
                act()
            except (ConnectionError, http.client.HTTPException, TimeoutError) as error:
                self.said[type(error).__name__] += 1
            self.times.append(time.monotonic() - begin)

    def note(self, answer, *expected):
        self.said[answer.status] += 1
        assert answer.status in (*expected, 503), (answer.status, answer.body[:300])
        return answer

    def add_photo(self):
        if len(self.photos) < 3:
            answer = self.note(self.live.send("/api/photos", [("file", "p.png", PHOTO)]), 201)
            if answer.status == 201:
                photo = answer.json["id"]
                self.photos.append(photo)
                self.note(
                    self.live.send(f"/api/photos/{photo}/masks/import", [("file", "m.png", MASKS)]),
                    200,
                )

    def edit(self):
        if self.photos:
            photo = self.chance.choice(self.photos)
            state = self.note(self.live.get(f"/api/photos/{photo}/masks"), 200).json
            edit = self.chance.choice(
                [
                    {"kind": "stroke", "points": [[self.chance.uniform(0, 96), 30]], "radius": 3},
                    {"kind": "clear"},
                    {"kind": "box", "box": [10, 15, 48, 57]},
                    {"kind": "rename", "label": 1, "name": "x"},
                ]
            )
            self.note(self.live.edit_masks(state, **edit), 200, 409, 422)

    def undo(self):
        if self.photos:
            photo = self.chance.choice(self.photos)
            version = self.note(self.live.get(f"/api/photos/{photo}/masks"), 200).json["version"]
            self.note(
                self.live.post(
                    f"/api/photos/{photo}/masks/{self.chance.choice(['undo', 'redo'])}",
                    {"version": version},
                ),
                200,
                409,
            )

    def submit(self):
        steps = self.chance.choice([1, 1, 1, 97, 98, 99, 100])
        if self.photos and self.chance.random() < 0.7:
            answer = self.live.post(
                "/api/jobs", {"photo": self.chance.choice(self.photos), "options": {"steps": steps}}
            )
        else:
            answer = self.live.send(
                "/api/jobs",
                [("photo", "p.png", PHOTO), ("masks", "m.png", MASKS)],
                options=f'{{"steps": {steps}}}',
            )
        self.note(answer, 202, 422, 429)
        if answer.status == 202:
            self.jobs.add(answer.json["id"])
            if answer.json["photo"] not in self.photos:
                self.photos.append(answer.json["photo"])
        if answer.status == 429:
            assert int(answer.headers["retry-after"]) >= 1

    def follow(self):
        if self.jobs:
            self.note(self.live.get(f"/api/jobs/{self.chance.choice(sorted(self.jobs))}"), 200)
            with socket.create_connection(("127.0.0.1", self.live.port), timeout=20) as stream:
                stream.sendall(
                    f"GET /api/events HTTP/1.1\r\nHost: {self.live.host}\r\n\r\n".encode()
                )
                assert stream.recv(100).startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))

    def cancel(self):
        if self.jobs:
            self.note(
                self.live.post(f"/api/jobs/{self.chance.choice(sorted(self.jobs))}/cancel"),
                200,
                409,
            )

    def delete_job(self):
        if self.jobs and self.chance.random() < 0.5:
            job = self.chance.choice(sorted(self.jobs))
            if self.note(self.live.call("DELETE", f"/api/jobs/{job}"), 204).status == 204:
                self.jobs.discard(job)
                self.deleted.add(job)

    def delete_photo(self):
        if self.photos and self.chance.random() < 0.5:
            photo = self.photos[-1]
            if self.note(self.live.call("DELETE", f"/api/photos/{photo}"), 204).status == 204:
                self.photos.remove(photo)

    def scene(self):
        scenes = [
            job["scene"]
            for job in self.live.get("/api/jobs?state=done&limit=5").json["jobs"]
            if job["scene"]
        ]
        return self.chance.choice(scenes) if scenes else None

    def export(self):
        if scene := self.scene():
            self.note(
                self.live.get(
                    f"/api/scenes/{scene}/export"
                    f"?format={self.chance.choice(['glb', 'json', 'ply'])}"
                ),
                200,
                404,
            )

    def edit_scene(self):
        if scene := self.scene():
            answer = self.note(self.live.get(f"/api/scenes/{scene}"), 200, 404)
            if answer.status == 200:
                edit = self.chance.choice(
                    [
                        {"kind": "hide", "labels": [1]},
                        {"kind": "duplicate", "label": 1},
                        {"kind": "delete", "labels": [2]},
                    ]
                )
                self.note(self.live.edit(answer.json, **edit), 200, 404, 409, 422)
                if self.chance.random() < 0.2:
                    self.note(self.live.call("DELETE", f"/api/scenes/{scene}"), 204, 404)

    def wrong_host(self):
        self.note(self.live.get("/api/photos", Host="evil.example"), 421)

    def foreign(self):
        self.note(self.live.post("/api/jobs", {"photo": "x"}, Origin="http://evil.example"), 403)

    def too_large(self):
        head = (
            f"POST /api/photos HTTP/1.1\r\nHost: {self.live.host}\r\nContent-Type: "
            f"image/png\r\nContent-Length: {10**9}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.live.port), timeout=20) as raw:
            raw.sendall(head.encode())
            self.said[int(raw.recv(100)[9:12])] += 1

    def garbage(self):
        content = self.chance.randbytes(3000)
        self.note(self.live.post("/api/photos", content, Content_Type="image/png"), 415, 422)
        self.note(self.live.post("/api/jobs", content, Content_Type="application/json"), 422)
        self.note(
            self.live.post("/api/photos", content, Content_Type="multipart/form-data; boundary=x"),
            422,
        )

    def vanish(self):
        with socket.create_connection(("127.0.0.1", self.live.port), timeout=20) as raw:
            raw.sendall(
                f"POST /api/photos HTTP/1.1\r\nHost: {self.live.host}\r\nContent-Length: "
                "5000\r\n\r\n".encode()
                + PHOTO[:1000]
            )

    def unknown(self):
        self.note(self.live.get(f"/api/jobs/{self.chance.randbytes(8).hex()}"), 404)
        self.note(self.live.get("/api/photos/..%2f..%2fetc%2fpasswd"), 404)

    def old_version(self):
        if self.photos:
            self.note(
                self.live.edit_masks({"photo": self.photos[0], "version": 10**6}, kind="clear"), 409
            )

    def wrong_job(self):
        self.note(
            self.live.send(
                "/api/jobs", [("photo", "p.png", PHOTO), ("masks", "m.txt", b"no masks")]
            ),
            415,
            429,
        )


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_stays(tmp_path):
    problems = []
    hook = threading.excepthook
    threading.excepthook = lambda arguments: problems.append(arguments.exc_value)
    stop = threading.Event()
    try:
        with start(tmp_path, workers=2, queue=16) as live:
            clients = [Client(live, number, stop) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            time.sleep(SECONDS)
            stop.set()
            for client in clients:
                client.join()
            promised = set().union(*(c.jobs for c in clients))
            deleted = set().union(*(c.deleted for c in clients))
            for job in promised:  # endless ones first, then all others come to their end
                if live.get(f"/api/jobs/{job}").json["options"]["steps"] == 100:
                    live.post(f"/api/jobs/{job}/cancel")
            states = collections.Counter(live.follow(job)["state"] for job in promised)
            there = {job["id"] for job in live.get("/api/jobs?limit=1000").json["jobs"]}
            said = sum((client.said for client in clients), collections.Counter())
            times = sorted(t for client in clients for t in client.times)
            report = (
                f"{sum(said.values())} answers {dict(sorted(said.items(), key=str))}, jobs "
                f"{dict(states)}, deleted {len(deleted)}, "
            )
            sys.stdout.write(
                f"\n{report}median {times[len(times) // 2]:.3f} s, 99 % "
                f"{times[len(times) * 99 // 100]:.3f} s\n"
            )
            assert problems == []
            assert promised <= there or len(there) == 1000
            assert not deleted & there and set(states) <= set(FINAL) and not said[500]
            assert_only_what_is_known(live)
            kept = live.files()
        with start(tmp_path) as live:
            assert live.files() == kept  # a start sweeps away what nobody knows: there was nothing
    finally:
        threading.excepthook = hook


def assert_only_what_is_known(live):
    rows = {
        kind: {row["id"] for row in live.get(f"/api/{kind}?limit=1000").json[kind]}
        for kind in ("photos", "scenes", "jobs")
    }
    folders = {kind: {path.name for path in (live.settings.data / kind).iterdir()} for kind in rows}
    assert folders == rows
    assert not [name for name in live.files() if ".maquette-" in name]
