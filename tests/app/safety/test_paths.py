"""No name or path of a client reaches the file system, and no path of the server reaches
a client.
"""

import io
import zipfile

import pytest

from maquette.app.downloads import file_stem
from tests.app.live import label_png, picture

EVIL = [
    "../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "a/../../b",
    "\x00",
    "%2e%2e%2f",
    "....//",
    "C:\\x",
    "a" * 500,
    "con",
]


@pytest.mark.parametrize("name", EVIL)
def test_names_of_uploads_are_only_names(server, name):
    quoted = name.replace("\\", "\\\\").replace("\x00", "%00")
    photo = server.send("/api/photos", [("file", quoted, picture())]).json
    assert "/" not in photo["name"] and len(photo["name"]) <= 80
    for file in server.files():
        assert set(file) <= set("abcdefghijklmnopqrstuvwxyz0123456789/._-") and ".." not in file
    state = server.send(f"/api/photos/{photo['id']}/masks/import", [("file", quoted, label_png())])
    assert state.status == 200
    disposition = server.get(f"/api/photos/{photo['id']}/masks/export").headers[
        "content-disposition"
    ]
    assert (
        file_stem(name, "x").count("/") == 0 and "\r" not in disposition and "/" not in disposition
    )


@pytest.mark.parametrize("name", EVIL)
def test_ids_that_are_not_ours_are_not_found(server, name):
    from urllib.parse import quote

    given = quote(name, safe="")
    for path in (
        f"/api/photos/{given}",
        f"/api/photos/{given}/image.png",
        f"/api/jobs/{given}",
        f"/api/jobs/{given}/photo.png",
        f"/api/scenes/{given}",
        f"/api/scenes/{given}/preview.png",
        f"/api/examples/{given}/thumbnail.jpg",
    ):
        assert server.get(path).status in (404, 405), path
    photo = server.photo()
    assert server.get(f"/api/photos/{photo}/masks/{given}.png").status in (404, 422)
    assert server.post("/api/jobs", {"photo": name}).status in (404, 422)


def test_files_beside_the_page_are_not_served(server):
    for path in (
        "/app/../../settings.py",
        "/app/%2e%2e/%2e%2e/errors.py",
        "/app/..%2f..%2ferrors.py",
        "/three/../demo/photo.jpg",
        "/app//etc/passwd",
    ):
        assert server.get(path).status == 404


def test_archives_cannot_write_anywhere(server, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in (
            "../../1.png",
            "/tmp/maquette-escape.png",
            "C:\\3.png",
            ".hidden.png",
            "__MACOSX/1.png",
        ):
            archive.writestr(name, label_png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    photo = server.photo(masked=False)
    before = server.files()
    answer = server.send(
        f"/api/photos/{photo}/masks/import", [("file", "m.zip", stream.getvalue())]
    )
    assert answer.status in (415, 422)  # the link is its text, which is no picture
    assert not server.files() - before and not list(server.settings.data.parent.glob("*.png"))


def test_messages_do_not_tell_where_the_server_keeps_things(server):
    photo = server.photo()
    answers = [
        server.send("/api/photos", [("file", "room.png", picture()[:99])]),
        server.send("/api/photos", [("file", "room.png", b"text")]),
        server.send(
            f"/api/photos/{photo}/masks/import", [("file", "labels.png", label_png(50, 20))]
        ),
        server.send(f"/api/photos/{photo}/masks/import", [("file", "labels.json", b"{}")]),
        server.send(f"/api/photos/{photo}/masks/import", [("file", "labels.json", b"{")]),
        server.send(
            f"/api/photos/{photo}/masks/import", [("file", "labels.npz", b"\x93NUMPY\x01\x00")]
        ),
        server.send("/api/scenes", [("file", "scene.json", b"{}")]),
        server.send("/api/scenes", [("file", "scene.zip", picture())]),
    ]
    for answer in answers:
        assert (
            answer.status >= 400
            and str(server.settings.data) not in answer.message
            and ".maquette-" not in answer.message
        )
    assert answers[2].message.startswith("labels.png: ")
