"""The application as a whole: unknown addresses, bugs, and what the command prints."""

import pytest

from maquette.app import photos, server
from maquette.app.settings import ServerSettings
from maquette.errors import InputError


def test_unknown_addresses_and_methods_are_named(server):
    assert (server.get("/api/nothing").code, server.get("/api/nothing").status) == (
        "not_found",
        404,
    )
    assert server.call("PUT", "/api/photos").status == 405
    assert server.get("/api/photos/").status == 404  # no redirects


def test_a_bug_is_an_answer_that_tells_nothing(server, monkeypatch, caplog):
    monkeypatch.setattr(photos, "every", lambda studio: 1 / 0)
    answer = server.get("/api/photos")
    assert (answer.status, answer.code) == (500, "failed") and "division" not in answer.message


def test_pages_and_scripts_are_served_as_what_they_are(server):
    for path, kind in (
        ("/", "text/html"),
        ("/app/main.js", "text/javascript"),
        ("/three/three.module.min.js", "text/javascript"),
    ):
        answer = server.get(path)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind), path


def test_an_address_that_cannot_be_used_is_named(server, tmp_path):
    with pytest.raises(InputError, match="try another --port"):
        serve(ServerSettings(tmp_path, port=server.port))
    with pytest.raises(InputError, match="another maquette app"):
        serve(ServerSettings(server.settings.data, port=0))
    with pytest.raises(InputError, match="cannot listen"):
        serve(ServerSettings(tmp_path, host="no.such.host.invalid", token="a-token-of-some-length"))


def serve(settings):
    return server.serve(settings, lambda line: None, open_browser=False)


def test_health_counts_jobs(server):
    assert server.get("/api/health").json["status"] == "ok"
