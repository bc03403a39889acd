"""Every answer, errors too, says that it is no script, no frame and nobody else's business."""

import re

import pytest

from maquette.app.guard import CSP
from maquette.export.bundle import assets_folder


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/photos",
        "/api/nothing",
        "/app/main.js",
        "/api/examples/table/thumbnail.jpg",
        "/api/docs",
        "/openapi.json",
    ],
)
def test_every_answer_has_them(server, path):
    headers = server.get(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert (
        headers["referrer-policy"] == "no-referrer"
        and headers["cross-origin-resource-policy"] == "same-origin"
    )
    assert headers["content-security-policy"] == CSP and "server" not in headers
    assert "cache-control" in headers


def test_answers_to_bad_requests_have_them_too(server):
    for answer in (
        server.get("/", Host="evil.example"),
        server.post("/api/photos", b"x", Origin="null"),
        server.post("/api/jobs", b"{"),
    ):
        assert answer.status >= 400 and answer.headers["content-security-policy"] == CSP


def test_the_policy_forbids_inline_code_frames_and_other_hosts():
    policy = dict(part.strip().split(" ", 1) for part in CSP.split(";"))
    assert (
        policy["default-src"] == "'none'"
        and policy["script-src"] == policy["style-src"] == "'self'"
    )
    assert (
        policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        and "unsafe" not in CSP
        and "http" not in CSP
    )


def test_the_page_keeps_to_it():
    page = (assets_folder() / "app" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)


def test_what_never_changes_is_kept_and_what_does_is_not(server):
    photo = server.get(f"/api/photos/{server.photo()}").json
    assert "immutable" in server.get(photo["image"]).headers["cache-control"]
    state = server.get(photo["masks"])
    assert state.headers["cache-control"] == "no-store"
    assert "immutable" in server.get(state.json["labels"]).headers["cache-control"]
    assert server.get(state.json["labels"].partition("?")[0]).headers["cache-control"] == "no-store"
