"""The adapter against a small hub of our own on this machine's loopback: the client library is
real, the network is not.
"""

import builtins
import errno
import http.server
import json
import threading
import urllib.parse

import pytest

from maquette.checkpoints.hub import HuggingFace
from maquette.errors import CheckpointError, MissingExtraError, OutputError
from tests.checkpoints.releases import BLOB, COMMIT, sha256

huggingface_hub = pytest.importorskip("huggingface_hub")
FILES = {"config.json": b"{}", "ckpts/model.safetensors": BLOB}


class Pages(http.server.BaseHTTPRequestHandler):
    """What the client asks of a hub: a model's description, and files with their commit and sum in
    the header.
    """

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if (
            path.startswith("/api/models/someone/model/revision/")
            or path == "/api/models/someone/model"
        ):
            if path.endswith("b" * 40):
                return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
            siblings = [
                {
                    "rfilename": p,
                    "size": len(c),
                    "blobId": "0",
                    **(
                        {"lfs": {"sha256": sha256(c), "size": len(c), "pointerSize": 1}}
                        if len(c) > 2**20
                        else {}
                    ),
                }
                for p, c in FILES.items()
            ]
            description = {
                "id": "someone/model",
                "sha": COMMIT,
                "siblings": siblings,
                "tags": [],
                "private": False,
                "downloads": 0,
            }
            return self.reply(
                200, json.dumps(description).encode(), {"Content-Type": "application/json"}, body
            )
        prefix = f"/someone/model/resolve/{COMMIT}/"
        if path.startswith(prefix) and path.removeprefix(prefix) in FILES:
            content = FILES[path.removeprefix(prefix)]
            return self.send(
                content, {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256(content)}"'}, body
            )
        code = "GatedRepo" if "gated" in path else "RepoNotFound"
        return self.reply(403 if "gated" in path else 404, b"", {"X-Error-Code": code}, body)

    def send(self, content, headers, body):
        """A file or the rest of it; while ``server.torn`` is set, the connection breaks in the
        middle and the rest is not to be had.
        """
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.server.asked += [start] if body else []
        if self.server.torn and start:
            return self.reply(503, b"", {}, body)
        part = (
            {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        )
        self.close_connection = self.server.torn
        return self.reply(
            206 if start else 200, content[start:], headers | part, body, torn=self.server.torn
        )

    def reply(self, status, content, headers, body, torn=False):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if torn else content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.torn = False
    server.asked = []
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    made = HuggingFace(f"http://127.0.0.1:{server.server_port}", quiet=True)
    made.server = server
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("revision", [None, COMMIT])
def test_listing_gives_the_commit_sizes_and_sums(hub, revision):
    commit, files = hub.listing("someone/model", revision)
    assert commit == COMMIT and set(files) == set(FILES)
    assert files["ckpts/model.safetensors"].size == len(BLOB) and files[
        "ckpts/model.safetensors"
    ].sha256 == sha256(BLOB)
    assert files["config.json"].sha256 is None


def test_download_puts_the_file_at_its_path(hub, tmp_path):
    hub.download("someone/model", COMMIT, "ckpts/model.safetensors", tmp_path, len(BLOB))
    assert (tmp_path / "ckpts" / "model.safetensors").read_bytes() == BLOB


def test_a_download_that_broke_off_goes_on_where_it_was(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "time.sleep", lambda seconds: None
    )  # the client waits before it tries again
    monkeypatch.setattr(
        "huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", len(BLOB) // 10
    )  # what comes is kept piece by piece
    hub.server.torn = True
    hub.server.asked[:] = []
    with pytest.raises(CheckpointError, match="cannot reach"):
        hub.download("someone/model", COMMIT, "ckpts/model.safetensors", tmp_path, len(BLOB))
    assert not (tmp_path / "ckpts" / "model.safetensors").exists()
    hub.server.torn = False
    hub.server.asked[:] = []
    hub.download("someone/model", COMMIT, "ckpts/model.safetensors", tmp_path, len(BLOB))
    assert (tmp_path / "ckpts" / "model.safetensors").read_bytes() == BLOB
    assert hub.server.asked == [len(BLOB) // 2] and sorted(
        path.name for path in tmp_path.iterdir()
    ) == ["ckpts"]


def test_what_the_hub_refuses_is_one_line(hub):
    for repository, revision, says in (
        ("someone/model", "b" * 40, "no revision bbbb"),
        ("someone/else", None, "is not on the hub"),
        ("someone/gated", None, "terms accepted"),
    ):
        with pytest.raises(CheckpointError, match=says) as caught:
            hub.listing(repository, revision)
        assert "\n" not in str(caught.value)


def test_without_network_the_way_out_is_named():
    with pytest.raises(CheckpointError, match=r"cannot reach someone/model .*--weights FOLDER"):
        HuggingFace("http://127.0.0.1:9", quiet=True).listing("someone/model", None)


def test_a_full_disk_is_named(hub, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(OutputError, match="disk is full"):
        hub.download("someone/model", COMMIT, "config.json", tmp_path, 2)


def test_without_the_extra_the_pip_line_is_named(monkeypatch):
    original = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "huggingface_hub":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[hub\]'"):
        HuggingFace()
