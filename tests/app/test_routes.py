"""Addresses: what each answers with, beyond what the tests of its subject say."""

import pytest


def test_every_operation_is_described_and_grouped(server):
    for path, methods in server.get("/openapi.json").json["paths"].items():
        for method, operation in methods.items():
            assert operation["tags"] and len(operation["description"]) >= 8, (method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/photos/{}",
        "/api/photos/{}/masks",
        "/api/jobs/{}",
        "/api/jobs/{}/events",
        "/api/jobs/{}/instances/1.glb",
        "/api/scenes/{}",
        "/api/scenes/{}/export",
        "/api/scenes/{}/meshes/0123456789abcdef.glb",
        "/api/scenes/{}/masks.png",
        "/api/compare?a={}&b={}",
    ],
)
def test_what_is_not_there_is_not_found(server, path):
    answer = server.get(path.replace("{}", "0123456789abcdef"))
    assert (answer.status, answer.code) == (404, "not_found")


def test_bodies_that_are_optional_may_be_missing(server):
    job = server.job()
    assert server.post(f"/api/jobs/{job['id']}/repeat").status == 202
    assert server.post(f"/api/jobs/{job['id']}/repeat", {}).status == 202
    assert server.post(f"/api/photos/{job['photo']}/masks/undo").status == 422
    assert (
        server.send(
            f"/api/photos/{job['photo']}/masks/import", [("file", "m.png", b"")], version="two"
        ).status
        == 422
    )


def test_heads_and_ranges_of_files_are_answered(server):
    photo = server.get(f"/api/photos/{server.photo()}").json
    part = server.get(photo["image"], Range="bytes=0-7")
    assert part.status == 206 and part.body == b"\x89PNG\r\n\x1a\n"
