"""A full disk: every answer says so, nothing is lost, and deleting goes on working."""

import contextlib
import errno
import itertools
import os
import sqlite3
import subprocess

import pytest

from maquette.app import databases
from maquette.app.settings import ServerSettings
from maquette.app.spare import Spare
from maquette.app.studio import Studio
from maquette.errors import OutputError
from tests.app.live import label_png, picture, start


class Contents:
    """What is on a server before its disk is full, and what it can be asked for."""

    def __init__(self, live):
        self.live = live
        self.scene = live.edit(live.scene(), kind="hide", labels=[1]).json
        self.photos = [self.scene["photo"], live.photo()]
        self.saved = live.get(f"/api/scenes/{self.scene['id']}/export?format=json").body
        self.masks = live.get(f"/api/photos/{self.photos[0]}/masks").json
        for kind in ("preview.png", "thumbnail.jpg"):
            live.get(f"/api/scenes/{self.scene['id']}/{kind}")
        self.before = self.facts()

    def facts(self):
        live = self.live
        addresses = (
            *("/api/photos", "/api/jobs", "/api/scenes", f"/api/scenes/{self.scene['id']}"),
            *(f"/api/photos/{photo}/masks" for photo in self.photos),
        )
        found = [live.get(address) for address in addresses]
        assert [answer.status for answer in found] == [200] * len(found)
        pictures = [live.get(f"/api/photos/{photo}/image.png").body for photo in self.photos]
        return [answer.json for answer in found], pictures

    def requests(self):
        """What makes something new; and what changes few bytes or writes only for a while."""
        live = self.live
        photo = f"/api/photos/{self.photos[0]}"
        scene = f"/api/scenes/{self.scene['id']}"
        base = {"version": self.scene["version"]}
        masks = self.masks
        triangle = [[0, 0], [9, 0], [9, 9]]
        room = [("photo", "p.png", picture()), ("masks", "m.png", label_png())]
        return {
            "photo": lambda: live.send("/api/photos", [("file", "p.png", picture())]),
            "import": lambda: live.send(f"{photo}/masks/import", [("file", "m.png", label_png())]),
            "polygon": lambda: live.edit_masks(masks, kind="polygon", points=triangle),
            "rename": lambda: live.edit_masks(masks, kind="rename", label=1, name="x" * 80),
            "job": lambda: live.post("/api/jobs", {"photo": self.photos[0]}),
            "room": lambda: live.send("/api/jobs", room),
            "repeat": lambda: live.post(f"/api/jobs/{self.scene['job']}/repeat"),
            "regenerate": lambda: live.post(f"{scene}/regenerate", {"label": 2}),
            "duplicate": lambda: live.edit(self.scene, kind="duplicate", label=2),
            "copy": lambda: live.post(f"{scene}/copy"),
            "open": lambda: live.send("/api/scenes", [("file", "s.zip", self.saved)]),
            "preview": lambda: live.get(f"{scene}/preview.png?version=1"),
            "thumbnail": lambda: live.get(f"{scene}/thumbnail.jpg?version=1"),
            "example": lambda: live.post("/api/examples/table/open"),
        }, {
            "export": lambda: live.get(f"{scene}/export?format=glb"),
            "export masks": lambda: live.get(f"{photo}/masks/export?form=npz"),
            "undo": lambda: live.post(f"{photo}/masks/undo", {"version": masks["version"]}),
            "undo scene": lambda: live.post(f"{scene}/undo", base),
            "name": lambda: live.call("PATCH", photo, {"name": "y" * 80}),
            "name scene": lambda: live.call("PATCH", scene, {"name": "z" * 80}),
        }

    def delete_all(self):
        live = self.live
        yield live.call("DELETE", f"/api/scenes/{self.scene['id']}")
        for kind in ("photos", "jobs", "scenes"):
            for found in live.get(f"/api/{kind}").json[kind]:
                yield live.call("DELETE", f"/api/{kind}/{found['id']}")


def assert_refused(name, answer, live):
    assert (answer.status, answer.code) == (507, "full"), (name, answer.body)
    assert str(live.settings.data) not in answer.message and "full" in answer.message
    return True


class NoRoom(sqlite3.Connection):
    """A database that cannot grow while ``is_full()``."""

    is_full = staticmethod(lambda: False)

    def cursor(self, factory=None):
        return super().cursor(RoomlessCursor)


class RoomlessCursor(sqlite3.Cursor):
    def execute(self, statement, *values):
        if statement.startswith(("INSERT", "UPDATE", "DELETE")) and NoRoom.is_full():
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(statement, *values)


@pytest.fixture
def fill(monkeypatch, tmp_path):
    """Let the disk be full: nothing can be written while the spare room is kept."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        databases.sqlite3, "connect", lambda *a, **options: connect(*a, factory=NoRoom, **options)
    )
    spare = tmp_path / "data" / "maquette.sqlite3-spare"

    def no_room(*_):
        if spare.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextlib.contextmanager
    def filled(spare_is_kept):
        if not spare_is_kept:
            spare.unlink()
            monkeypatch.setattr(Spare, "make", lambda self: 0)
        monkeypatch.setattr(NoRoom, "is_full", staticmethod(spare.exists))
        monkeypatch.setattr("maquette.output.flush_to_disk", no_room)
        monkeypatch.setattr("maquette.app.uploads.shutil.copyfileobj", no_room)
        yield
        monkeypatch.undo()

    return filled


@pytest.mark.parametrize("spare_is_kept", [True, False])
def test_every_request_is_refused_and_nothing_is_lost(tmp_path, fill, spare_is_kept):
    with start(tmp_path) as live:
        contents = Contents(live)
        large, small = contents.requests()
        with fill(spare_is_kept):
            for name, request in large.items():
                assert_refused(name, request(), live)
            assert contents.facts() == contents.before
            for name, request in small.items():
                answer = request()
                assert answer.status == 200 or assert_refused(name, answer, live), name
        assert contents.facts()[1] == contents.before[1]
        assert live.send("/api/photos", [("file", "p.png", picture())]).status == 201


def test_deleting_and_cancelling_work_on_a_full_disk(tmp_path, fill):
    with start(tmp_path) as live:
        contents = Contents(live)
        waiting = [live.job(contents.photos[0], wait=False, steps=100) for _ in range(2)]
        with fill(spare_is_kept=True):
            for job in waiting:
                assert live.post(f"/api/jobs/{job['id']}/cancel").json["state"] == "cancelled"
            assert {answer.status for answer in contents.delete_all()} == {204}
        assert live.get("/api/photos").json == {"photos": []}
        assert not {name for name in live.files() if not name.startswith("work")}


def test_a_job_that_ran_is_interrupted_at_a_start_on_a_full_disk(tmp_path, fill):
    with start(tmp_path) as live:
        job = live.job(wait=False, steps=100)
        while live.get(f"/api/jobs/{job['id']}").json["state"] != "running":
            pass
    with fill(spare_is_kept=True), start(tmp_path) as live:
        assert live.get(f"/api/jobs/{job['id']}").json["state"] == "interrupted"


def test_a_start_without_any_room_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Spare, "make", lambda self: 0)
    with pytest.raises(OutputError, match="the disk is full") as caught:
        Studio.open(ServerSettings(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def write_until_full(path):
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in itertools.chain(itertools.repeat(1 << 20, 100), itertools.repeat(512, 5000)):
            while file.write(bytes(size)) == size:
                pass
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_bsize
    assert free == 0, free


@pytest.mark.tools
def test_a_disk_that_is_really_full(tmp_path, small_disk):
    filler = small_disk / "photos" / "filler.bin"
    with start(tmp_path) as live:
        contents = Contents(live)
        running = live.job(contents.photos[0], wait=False, steps=100)
        write_until_full(filler)
        for requests in contents.requests():
            for name, request in requests.items():
                answer = request()
                assert answer.status < 300 or assert_refused(name, answer, live)
        assert live.post(f"/api/jobs/{running['id']}/cancel").status == 200
        write_until_full(filler)
        pictures = contents.facts()[1]
        assert pictures == contents.before[1]
    write_until_full(filler)
    with start(tmp_path) as live:
        contents.live = live
        assert contents.facts()[1] == pictures
        assert {answer.status for answer in contents.delete_all()} == {204}
        assert live.get("/api/photos").json == {"photos": []}
        filler.unlink()
        assert live.job()["state"] == "done"
