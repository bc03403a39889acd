"""Depth and cameras over the wire: in all forms, refused in one line, and taken along by jobs."""

import io

import numpy as np
from PIL import Image

from maquette.app.known import KNOWN, with_known
from maquette.types import SceneInput
from tests.app.live import label_map


def depth_png(near=(1, 2)):
    """These objects half a metre before a wall, millimetres in 16 bits."""
    millimetres = np.where(np.isin(label_map(), near), 1500, 2000)
    stream = io.BytesIO()
    Image.fromarray(millimetres.astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


def put(server, photo, files, **words):
    return server.send(f"/api/photos/{photo}/geometry", files, method="PUT", **words)


def test_what_is_given_is_understood_shown_and_forgotten(server):
    photo = server.photo()
    answer = put(server, photo, [("depth", "depth.png", depth_png())], intrinsics="90,90,50,40")
    assert answer.status == 200, answer.body
    told = answer.json["geometry"]
    assert told["metric"] and told["known"] == 1 and told["unit"].startswith("mm")
    assert told["source"] == "depth.png" and told["camera"] and told["gravity"] is None
    assert server.get(f"/api/photos/{photo}").json["geometry"] == told
    level = put(server, photo, [], gravity="0,2,0").json["geometry"]
    assert level["gravity"] == [0, 1, 0] and level["known"] is None
    gone = server.call("DELETE", f"/api/photos/{photo}/geometry")
    assert gone.status == 200 and gone.json["geometry"] is None


def test_a_job_takes_it_along(server):
    photo = server.photo()
    put(server, photo, [("depth", "depth.png", depth_png())], intrinsics="90,90,50,40")
    job = server.job(photo)
    assert job["state"] == "done", job["error"]
    folder = server.settings.data / "jobs" / job["id"]
    height, width = label_map().shape
    bare = SceneInput(np.zeros((height, width, 3), np.uint8), ())
    given = with_known(bare, folder / KNOWN)
    assert given.geometry.metric and given.geometry.depth.shape == (height, width)
    assert given.geometry.intrinsics[0, 2] == 50.5 and given.focal.source.startswith("given")
    assert with_known(bare, folder / "nothing.npz") is bare


def test_depth_of_another_photo_is_refused_when_a_job_is_asked_for(server):
    photo = server.photo()
    state = server.get(f"/api/photos/{photo}/masks").json
    server.edit_masks(state, kind="delete", labels=[2])
    assert put(server, photo, [("depth", "d.png", depth_png(near=(2,)))]).status == 200
    answer = server.post("/api/jobs", {"photo": photo})
    assert answer.status == 422 and "another photo" in answer.message


def test_what_is_wrong_is_one_line(server):
    photo = server.photo()
    depth = ("depth", "depth.png", depth_png())
    cases = [
        (([],), {}, 422, "nothing is given"),
        (([("depth", "a.gif", b"GIF89a")],), {}, 415, "depth is read from .png"),
        (([("depth", "a.png", b"no picture")],), {}, 415, "a.png"),
        (([("depth", "a.npy", b"\x93NUMPY no")],), {}, 422, "a.npy"),
        (([depth, depth],), {}, 422, "2 times"),
        (([depth],), {"depth_unit": "miles"}, 422, "miles"),
        (([("intrinsics", "K.txt", b"1 2 3")],), {}, 422, "K.txt: has 3 numbers"),
        (([],), {"gravity": "up"}, 422, "gravity"),
        (([],), {"depth": "text"}, 422, "expected a file"),
    ]
    for args, words, status, said in cases:
        answer = put(server, photo, *args, **words)
        assert (answer.status, said in answer.message) == (status, True), answer.body
        assert "\n" not in answer.message and "/tmp" not in answer.message
    assert put(server, "nothing", [depth]).status == 404
    assert server.get(f"/api/photos/{photo}").json["geometry"] is None


def test_a_job_in_one_call_may_bring_it(server):
    from tests.app.live import label_png, picture

    files = [("photo", "a.png", picture()), ("masks", "m.png", label_png())]
    files.append(("depth", "depth.png", depth_png()))
    answer = server.send("/api/jobs", files, intrinsics="90,90,50,40")
    assert answer.status == 202, answer.body
    photo = server.get(f"/api/photos/{answer.json['photo']}").json
    assert photo["geometry"]["metric"]
    server.follow(answer.json["id"])
