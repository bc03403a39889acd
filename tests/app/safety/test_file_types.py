"""What a file is, its content says; neither its name nor its content type is believed."""

import io

import numpy as np
import pytest

from tests.app.live import label_png, picture

NOT_PICTURES = {
    "text": b"hello, I am a photo",
    "html": b"<html><script>alert(1)</script></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.7 ...",
    "zip": b"PK\x03\x04" + b"\0" * 40,
    "elf": b"\x7fELF" + b"\0" * 60,
    "postscript": b"%!PS-Adobe\n%%EOF",
    "json": b"{}",
}


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_what_is_not_a_picture_is_no_photo_whatever_it_is_called(server, kind):
    before = server.files()
    for answer in (
        server.send("/api/photos", [("file", "photo.png", NOT_PICTURES[kind])]),
        server.post("/api/photos", NOT_PICTURES[kind], Content_Type="image/png"),
    ):
        assert (answer.status, answer.code) == (415, "file_type") and "PNG" in answer.message
    assert not server.files() - before


def test_a_picture_is_a_photo_whatever_it_is_called(server):
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        answer = server.send("/api/photos", [("file", "photo.exe", picture(kind=kind))])
        assert answer.status == 201 and (answer.json["width"], answer.json["height"]) == (96, 72)
        assert (
            server.get(answer.json["image"]).headers["content-type"] == "image/png"
        )  # never the client's bytes


def test_damaged_pictures_say_so(server):
    for content in (picture()[:200], picture()[:-40], picture(kind="JPEG")[:300]):
        answer = server.post("/api/photos", content, Content_Type="image/png")
        assert answer.status in (201, 422) and (
            answer.status == 201 or "truncated" in answer.message
        )
    assert server.post("/api/photos", b"", Content_Type="image/png").status == 422


def test_masks_are_known_by_their_content(server):
    photo = server.photo(masked=False)
    stream = io.BytesIO()
    np.save(stream, np.asarray([[0, 1]] * 2).repeat(48, 1).repeat(36, 0))
    for name, content in (
        ("masks.json", label_png()),
        ("masks.png", stream.getvalue()),
        ("masks", label_png()),
    ):
        assert (
            server.send(f"/api/photos/{photo}/masks/import", [("file", name, content)]).status
            == 200
        )
    for name, content in (
        ("masks.png", b"hello"),
        ("masks.npz", b"PK\x03\x04" + b"\0" * 40),
        ("masks.json", b"%PDF-1.7"),
    ):
        assert server.send(
            f"/api/photos/{photo}/masks/import", [("file", name, content)]
        ).status in (415, 422)


def test_forms_without_files_and_other_bodies_are_named(server):
    assert (
        server.post("/api/photos", b"a=b", Content_Type="application/x-www-form-urlencoded").status
        == 415
    )
    assert server.post("/api/photos", b"x", Content_Type="multipart/form-data").status == 422
    assert server.post("/api/jobs", b"{", Content_Type="application/json").status == 422
    assert server.post("/api/jobs", b"[" * 100_000, Content_Type="application/json").status == 422
    assert (
        server.post(
            "/api/scenes/0000000000000000/edits", b"\xff\xfe", Content_Type="application/json"
        ).status
        == 422
    )
