"""Photos over the wire."""

import io

import numpy as np
from PIL import Image

from tests.app.live import encoded, label_map, picture, pixels


def test_a_photo_comes_in_as_a_form_or_as_the_body(server):
    form = server.send("/api/photos", [("file", "My room.png", picture())])
    body = server.post("/api/photos", picture(), Content_Type="image/png")
    assert form.status == body.status == 201 and form.json["name"] == "My room"
    for answer in (form, body):
        np.testing.assert_array_equal(
            pixels(server.get(answer.json["image"]).body), pixels(picture())
        )
        assert max(pixels(server.get(answer.json["thumbnail"]).body).shape) <= 320
    for wrong in (
        {"files": []},
        {"files": [("file", "a", picture()), ("file", "b", picture())]},
        {"files": [("photo", "a", picture())]},
    ):
        assert server.send("/api/photos", **wrong).status == 422
    assert server.send("/api/photos", [], file="text").status == 422


def test_a_turned_or_large_photo_comes_upright_and_reduced(server):
    image = Image.fromarray(np.zeros((1500, 3000, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    exif[0x8769] = {0xA405: 28}
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif)
    photo = server.send("/api/photos", [("file", "a.jpg", stream.getvalue())]).json
    assert (photo["width"], photo["height"]) == (1024, 2048) and photo["notes"] == [
        "reduced from 1500 x 3000 pixels",
        "focal length known: EXIF, 28 mm on 35-mm film",
    ]


def test_a_cut_out_tells_its_objects(server):
    opaque = np.where(label_map() > 0, 255, 0).astype(np.uint8)
    rgba = np.dstack([pixels(picture()), opaque])
    photo = server.send("/api/photos", [("file", "a.png", encoded(rgba))]).json
    state = server.get(photo["masks"]).json
    assert len(server.edit_masks(state, kind="auto").json["objects"]) == 2


def test_photos_are_listed_renamed_and_deleted_with_all_their_files(server):
    photo = server.photo()
    listed = server.get("/api/photos").json["photos"]
    assert listed[0]["id"] == photo and listed[0]["objects"] == 2
    assert (
        server.call("PATCH", f"/api/photos/{photo}", {"name": "../../etc/kitchen"}).json["name"]
        == "kitchen"
    )
    assert server.call("PATCH", f"/api/photos/{photo}", {"name": ""}).status == 422
    assert server.call("DELETE", f"/api/photos/{photo}").status == 204
    assert not any(photo in name for name in server.files())
    for path in ("", "/image.png", "/masks", "/masks/labels.png"):
        assert server.get(f"/api/photos/{photo}{path}").status == 404


def test_examples_come_with_their_masks(server):
    examples = server.get("/api/examples").json["examples"]
    assert len(examples) == 3
    for example in examples:
        assert server.get(example["thumbnail"]).headers["content-type"] == "image/jpeg"
    photo = server.post(f"/api/examples/{examples[1]['name']}/open")
    assert (
        photo.status == 201
        and photo.json["objects"] == examples[1]["objects"]
        and photo.json["name"] == examples[1]["title"]
    )
    assert server.post("/api/examples/..%2F..%2Fx/open").status == 404
