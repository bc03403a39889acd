"""Nothing is lost when the server stops, however it stops; and nothing is left of what it did not
finish.
"""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
from maquette.errors import InputError
from tests.app.live import start
from tests.execute.test_processes import is_alive


def facts(live):
    photos = live.get("/api/photos").json["photos"]
    scenes = live.get("/api/scenes").json["scenes"]
    masks = [live.get(f"/api/photos/{photo['id']}/masks").json for photo in photos]
    return photos, masks, [live.get(f"/api/scenes/{scene['id']}").json for scene in scenes]


def test_everything_is_there_again_and_what_ran_is_interrupted(tmp_path):
    with start(tmp_path) as live:
        scene = live.edit(live.scene(), kind="hide", labels=[1]).json
        live.post(f"/api/scenes/{scene['id']}/undo", {"version": scene["version"]})
        state = live.get(f"/api/photos/{scene['photo']}/masks").json
        live.edit_masks(state, kind="rename", label=1, name="red")
        running = live.job(scene["photo"], wait=False, steps=100)
        waiting = live.job(scene["photo"], wait=False)
        while live.get(f"/api/jobs/{running['id']}").json["state"] != "running":
            time.sleep(0.01)
        before = facts(live)
    with start(tmp_path) as live:
        assert facts(live)[0] == before[0] and facts(live)[1] == before[1]
        interrupted = live.get(f"/api/jobs/{running['id']}").json
        assert interrupted["state"] == "interrupted" and "repeat" in interrupted["error"]
        assert live.follow(waiting["id"])["state"] == "done"  # it went on waiting
        assert [s for s in facts(live)[2] if s["id"] == scene["id"]] == before[2]
        redone = live.post(f"/api/scenes/{scene['id']}/redo", {"version": 1}).json
        assert redone["instances"] == scene["instances"]
        again = live.post(f"/api/jobs/{running['id']}/repeat", {"options": {"steps": 2}}).json
        assert live.follow(again["id"])["state"] == "done"


def test_a_second_server_on_the_same_folder_is_refused(tmp_path):
    with start(tmp_path) as live, pytest.raises(InputError, match="another maquette app"):
        Studio.open(ServerSettings(live.settings.data))


def test_what_a_crash_leaves_is_put_aside(tmp_path):
    with start(tmp_path) as live:
        live.photo()
        known = live.files()
        folders = live.app.state.studio.folders
    with folders.new("photos") as photo, folders.new("work") as upload:  # rows were never written
        (photo / "image.png").touch()
        (upload / "file0").touch()
    with start(tmp_path) as live:
        assert {name for name in live.files() if not name.startswith("trash/")} == known


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_survives_every_end(tmp_path, tiny_weights, how):
    """The real command and worker: stopped while its worker starts, it leaves no process, and
    starts again on its folder.
    """
    command = [
        sys.executable,
        "-m",
        "maquette",
        "app",
        "--port",
        "0",
        "--data",
        str(tmp_path / "data"),
        "--no-browser",
    ]
    command += ["--weights", str(tiny_weights)]
    for _ in range(2):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        address = process.stdout.readline().split()[-1]
        port = int(address.rsplit(":", 1)[1].strip("/"))
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(
                f"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
            )
            assert b"200 OK" in connection.recv(4096)
        children = _children(process.pid)
        process.send_signal(how)
        _, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors
        deadline = time.monotonic() + 5
        while any(is_alive(child) for child in children):
            assert time.monotonic() < deadline, "a worker outlived its server"
            time.sleep(0.05)


def _children(pid: int) -> list[int]:
    stats = [
        path.read_text().rpartition(")")[2].split()
        for path in Path("/proc").glob("[0-9]*/stat")
        if _readable(path)
    ]
    pids = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _readable(path)]
    return [child for child, stat in zip(pids, stats) if int(stat[1]) == pid]


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_text())
    except OSError:
        return False
