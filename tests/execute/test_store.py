"""Folders at URLs: they read and write as local ones do, whole files only, and complaints name what
the user typed.
"""

import os
import re
import socket
import subprocess
import sys
import time
import uuid

import pytest

from maquette.errors import InputError, MissingExtraError, OutputError
from maquette.execute import store
from maquette.execute.store import (
    brought_here,
    is_far,
    kept_here,
    local_copy,
    path_at,
    prepared_folder,
    span,
    written,
)

pytest.importorskip("upath")


def refuse(*given, **keywords):
    raise PermissionError("no rights")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(port):
    with socket.socket() as asked:
        return not asked.connect_ex(("127.0.0.1", port))


@pytest.fixture(scope="module")
def s3():
    """A server of this machine that speaks as S3 does, with one bucket."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        deadline = time.monotonic() + 60
        while not answers(port):
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        path_at("s3://bucket").fs.mkdir("bucket")
        yield "s3://bucket"
    server.terminate()
    server.wait()


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.tools)])
def url(request):
    """A folder that nobody has used before."""
    root = request.getfixturevalue("s3") if request.param == "s3" else "memory://"
    return path_at(f"{root}/{uuid.uuid4().hex}")


def test_local_places_are_paths(tmp_path):
    assert path_at(str(tmp_path)) == tmp_path and not is_far(path_at(tmp_path))
    assert path_at(tmp_path.as_uri()) == tmp_path
    assert path_at(r"C:\scenes").name.endswith("scenes") and is_far(path_at("memory://a/b"))


def test_a_file_appears_when_it_is_whole(url):
    with written(url / "a.txt") as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".txt" and not (url / "a.txt").exists()
    assert (url / "a.txt").read_text() == "whole"
    with pytest.raises(KeyError), written(url / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert (url / "a.txt").read_text() == "whole"
    assert span(url / "a.txt", 1, 4) == b"hol"
    assert prepared_folder(url) == url and [path.name for path in url.iterdir()] == ["a.txt"]


def test_what_is_needed_comes_here_under_its_own_name(url, tmp_path):
    for name in ("a.obj", "a.mtl", "b.obj", "maps/a.PNG", "notes.txt"):
        with written(url / name) as temporary:
            temporary.parent.mkdir(exist_ok=True)
            temporary.write_text(name)
    with brought_here(url / "a.obj", (".mtl", ".png")) as here:
        found = {p.relative_to(here.parent).as_posix() for p in here.parent.rglob("*.*")}
        assert found == {"a.obj", "a.mtl", "maps/a.PNG"} and here.read_text() == "a.obj"
    assert not here.exists()
    with brought_here(url) as here:
        assert (here / "maps" / "a.PNG").read_text() == "maps/a.PNG"
    says = f"^{re.escape(str(url))}/a.obj: no triangles"
    with pytest.raises(InputError, match=says), brought_here(url / "a.obj") as here:
        raise InputError(f"{here}: no triangles")
    with pytest.raises(InputError, match=r"nothing\.obj: there is no such file"):
        brought_here(url / "nothing.obj").__enter__()
    with brought_here(tmp_path / "x") as here:
        assert here == tmp_path / "x"


def test_a_mirror_sends_what_changed_also_when_interrupted_and_the_last_file_last(url, monkeypatch):
    for name in ("index", "old", "kept"):
        with written(url / name) as temporary:
            temporary.write_text(name)
    sent = []
    send = store._send
    monkeypatch.setattr(store, "_send", lambda a, b: (sent.append(b.name), send(a, b)))
    with pytest.raises(KeyboardInterrupt), local_copy(url, "index") as here:
        (here / "index").write_text("new index")
        (here / "old").unlink()
        (here / "shares").mkdir()
        (here / "shares" / "z").write_text("z")
        raise KeyboardInterrupt
    assert sent == ["z", "index"]
    assert sorted(p.relative_to(url).as_posix() for p in url.rglob("*") if p.is_file()) == [
        "index",
        "kept",
        "shares/z",
    ]
    assert (url / "index").read_text() == "new index"


def test_a_copy_is_made_once_until_the_content_changes(url, tmp_path, monkeypatch):
    monkeypatch.setattr(store.Path, "home", lambda: tmp_path)
    with written(url / "a") as temporary:
        temporary.write_text("one")
    first = kept_here(url)
    assert (first / "a").read_text() == "one" and kept_here(url) == first
    with written(url / "a") as temporary:
        temporary.write_text("other")
    assert (kept_here(url) / "a").read_text() == "other"
    assert kept_here(tmp_path) == tmp_path


def test_what_cannot_be_is_said_in_one_line(monkeypatch):
    with pytest.raises(InputError, match="expected a folder, or a URL such as s3://"):
        path_at("nobody://knows/this")
    with pytest.raises(InputError, match="memory://not/there: there is no such file or folder"):
        kept_here("memory://not/there")
    system = type(path_at("memory://a").fs)
    monkeypatch.setattr(system, "exists", refuse)
    with pytest.raises(InputError, match=r"memory://a/b: cannot be reached \(no rights\); check"):
        path_at("memory://a/b")
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[cloud\]'"):
        path_at("s3://bucket/folder")


@pytest.mark.tools
def test_a_bucket_that_is_not_there_is_an_error_of_one_line(s3):
    with pytest.raises(OutputError, match=r"s3://nobody.*check the address"):
        prepared_folder("s3://nobody/has/this")
    assert "AWS_ENDPOINT_URL" in os.environ
