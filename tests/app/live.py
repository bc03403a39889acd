"""A real server in a thread, and a client without any cleverness, so that tests see what goes over
the wire.
"""

import http.client
import io
import json
import os
import socket
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image

from maquette.app.finders import Finders
from maquette.app.server import configuration, create_app
from maquette.app.settings import ServerSettings
from maquette.app.store import now
from maquette.app.studio import Studio
from maquette.document.scene_json import save
from maquette.output import temporary_path
from maquette.types import InstanceMask, SceneInput
from tests.document.scenes import coloured, make_scene

FINAL = ("done", "failed", "cancelled", "interrupted")


class Answer:
    """Status, headers and body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def message(self):
        return self.json["error"]["message"]


class Live:
    """A running server."""

    def __init__(self, settings: ServerSettings, worker=None, finders=None):
        self.settings = settings
        self.socket = socket.create_server((settings.host, 0))
        self.port = self.socket.getsockname()[1]
        self.app = self.create(settings, worker, finders or Finders())
        config = configuration(self.app, settings.limits)
        config.log_level = "critical"
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.005)

    def create(self, settings, worker, finders):
        return create_app(Studio.open(settings, finders), worker)

    def stop(self):
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def call(self, method, path, body=None, **headers):
        """One request on a connection of its own; a body that is not bytes is JSON."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, io.IOBase)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def post(self, path, body=None, **headers):
        return self.call("POST", path, body, **headers)

    def send(self, path, files, method="POST", **fields):
        """A multipart form; files are (field, name, bytes)."""
        boundary = uuid.uuid4().hex
        parts = [
            (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            ).encode()
            for name, value in fields.items()
        ]
        for field, name, content in files:
            head = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
                f'filename="{name}"\r\n\r\n'
            )
            parts.append(head.encode() + content + b"\r\n")
        return self.call(
            method,
            path,
            b"".join(parts) + f"--{boundary}--\r\n".encode(),
            Content_Type=f"multipart/form-data; boundary={boundary}",
        )

    def photo(self, masked=True, name="photo.png"):
        """The id of a new photo with two masks."""
        photo = self.send("/api/photos", [("file", name, picture())]).json["id"]
        if masked:
            answer = self.send(
                f"/api/photos/{photo}/masks/import", [("file", "m.png", label_png())]
            )
            assert answer.status == 200, answer.body
        return photo

    def job(self, photo=None, wait=True, **options):
        """The job of a photo, followed to its end."""
        answer = self.post("/api/jobs", {"photo": photo or self.photo(), "options": options})
        assert answer.status == 202, answer.body
        return self.follow(answer.json["id"]) if wait else answer.json

    def follow(self, job):
        for _ in range(3000):
            found = self.get(f"/api/jobs/{job}").json
            if found["state"] in FINAL:
                return found
            time.sleep(0.01)
        raise AssertionError(f"the job did not end: {found}")

    def scene(self):
        """The JSON of a new scene of two objects."""
        return self.get(f"/api/scenes/{self.job()['scene']}").json

    def edit(self, scene, **edit):
        return self.post(
            f"/api/scenes/{scene['id']}/edits", {"version": scene["version"], "edit": edit}
        )

    def edit_masks(self, state, **edit):
        return self.post(
            f"/api/photos/{state['photo']}/masks/edits", {"version": state["version"], "edit": edit}
        )

    def files(self):
        """All files of the data folder but the database's, relative. A job that ends meanwhile
        may take its folder away, which ``os.walk`` bears.
        """
        root = self.settings.data
        places = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        return {
            place.relative_to(root).as_posix()
            for place in places
            if not place.name.startswith("maquette.sqlite3")
        }

    def events(self, path, until="end"):
        """Read a stream to its end, or to the first event of a name: (name, data) pairs."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        name = None
        found = []
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                found.append((name, json.loads(line[6:])))
                if name == until:
                    break
        response.close()
        connection.close()
        return found


def start(root: Path, worker=None, finders=None, **changes) -> Live:
    """A server on a folder; with the fake worker unless told otherwise."""
    data = root / "data"
    template = root / "template"
    return Live(
        ServerSettings(**{"data": data, "port": 0, **changes}),
        fake_worker(template) if worker is None else worker,
        finders,
    )


def fake_worker(template: Path) -> list[str]:
    """The command of a worker that hands out a small scene."""
    if not template.exists():
        write_template(template)
    return [
        sys.executable,
        "-I",
        str(Path(__file__).with_name("fake_worker.py")),
        str(template),
        temporary_path(template).name.split("-")[1],
    ]


def coarse_worker(weights: Path) -> list[str]:
    """The command of a worker that makes scenes with few cells."""
    return [
        sys.executable,
        str(Path(__file__).with_name("coarse_worker.py")),
        f"--weights={weights}",
    ]


def write_template(folder: Path) -> None:
    """A small saved scene whose masks are those of ``label_png``."""
    image = np.asarray(Image.open(io.BytesIO(picture())))
    labels = np.asarray(Image.open(io.BytesIO(label_png())))
    masks = tuple(InstanceMask(label, labels == label) for label in (1, 2))
    whole = make_scene(
        input=SceneInput(image, masks, "photo.png"),
        failures=(),
        provenance={"method": "iscene", "seconds": {"sample": 1.5}},
    )
    save(whole.delete(3).delete(12).replace(1, coloured(whole[3].mesh, 3)), folder / "scene.json")


def picture(width=96, height=72, kind="PNG", seed=0):
    """The bytes of a photo of a red and a blue disc on grey."""
    pixels = np.full((height, width, 3), 190, np.uint8)
    labels = label_map(width, height)
    pixels[labels == 1] = (200, 60, 50)
    pixels[labels == 2] = (50, 80, 190)
    noisy = np.clip(pixels + np.random.default_rng(seed).normal(0, 3, pixels.shape), 0, 255).astype(
        np.uint8
    )
    return encoded(noisy, kind)


def label_map(width=96, height=72):
    y, x = np.mgrid[:height, :width]
    return sum(
        ((np.hypot(x - width * cx, y - height / 2) < 0.2 * height) * label)
        for label, cx in ((1, 0.3), (2, 0.7))
    ).astype(np.uint8)


def label_png(width=96, height=72):
    return encoded(label_map(width, height))


def encoded(array, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def add_jobs(studio, count):
    """Rows and folders of jobs that wait."""
    made = []
    for _ in range(count):
        with studio.folders.new("jobs") as folder:
            (folder / "instances").mkdir()
            nothing = {key: [] for key in ("objects", "instances", "failures", "warnings")}
            studio.store.insert(
                "jobs",
                id=folder.name,
                kind="generate",
                state="queued",
                name="n",
                options={},
                seconds={},
                created=now(),
                **nothing,
            )
            made.append(folder.name)
    return made
