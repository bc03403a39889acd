"""Scenes over the wire: edits with undo, one object anew, files out and in, two side by side."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
import trimesh

import maquette
from maquette.export.read import load_named_meshes
from tests.app.live import picture, pixels

pytestmark = pytest.mark.usefixtures("coarse_fields")

PLACE = [[0.0, 0.0, 2.0, 0.1], [0.0, 2.0, 0.0, 0.2], [-2.0, 0.0, 0.0, 0.3], [0.0, 0.0, 0.0, 1.0]]


@pytest.fixture
def scene(server):
    return server.scene()


def opened(content, folder):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
    return maquette.load(folder / "scene.json")


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "transform", "label": 1, "world_from_instance": PLACE},
        {"kind": "transform", "label": 1, "world_from_instance": PLACE, "carry": True},
        {"kind": "stand", "label": 1, "on": "ground"},
        {"kind": "rename", "label": 1, "node": "red chair"},
        {"kind": "hide", "labels": [1, 2]},
        {"kind": "delete", "labels": [2]},
        {"kind": "duplicate", "label": 2, "offset": [0.1, 0, 0]},
    ],
    ids=lambda edit: edit["kind"],
)
def test_every_edit_can_be_undone_and_redone(server, scene, edit):
    def facts(s):
        return [
            {key: i[key] for key in ("label", "node", "hidden", "world_from_instance", "glb")}
            for i in s["instances"]
        ]

    edited = server.edit(scene, **edit).json
    assert facts(edited) != facts(scene) and edited["undo"] == edit["kind"]
    undone = server.post(f"/api/scenes/{scene['id']}/undo", {"version": edited["version"]}).json
    assert facts(undone) == facts(scene) and not undone["can_undo"]
    redone = server.post(f"/api/scenes/{scene['id']}/redo", {"version": undone["version"]}).json
    assert facts(redone) == facts(edited)


def test_an_edit_of_an_old_version_is_refused_with_the_newest(server, scene):
    edited = server.edit(scene, kind="hide", labels=[1]).json
    late = server.edit(scene, kind="delete", labels=[1])
    assert (late.status, late.json["error"]["current"]) == (409, edited)


def test_files_hold_what_was_edited(server, scene, tmp_path):
    edited = server.edit(scene, kind="transform", label=1, world_from_instance=PLACE).json
    edited = server.edit(edited, kind="rename", label=1, node="red chair").json
    edited = server.edit(edited, kind="hide", labels=[2]).json
    loaded = opened(server.get(f"/api/scenes/{scene['id']}/export?format=json").body, tmp_path)
    assert [(i.label, i.node_name, i.hidden) for i in loaded.instances] == [
        (1, "red chair", False),
        (2, "instance_2", True),
    ]
    np.testing.assert_allclose(loaded[1].world_from_instance, PLACE)
    np.testing.assert_allclose(loaded[1].box, edited["instances"][0]["box"])
    (tmp_path / "s.glb").write_bytes(
        server.get(f"/api/scenes/{scene['id']}/export?format=glb").body
    )
    assert set(load_named_meshes(tmp_path / "s.glb")) == {"red chair"}
    (tmp_path / "one.glb").write_bytes(
        server.get(f"/api/scenes/{scene['id']}/instances/2.glb").body
    )
    assert set(load_named_meshes(tmp_path / "one.glb")) == {
        "instance_2"
    }  # asked for by name, so hidden or not
    for form, head in (("obj", b"PK"), ("ply", b"ply"), ("objects", b"PK")):
        answer = server.get(f"/api/scenes/{scene['id']}/export?format={form}")
        assert answer.body.startswith(head) and answer.headers["content-disposition"].startswith(
            "attachment"
        )
    assert server.get(f"/api/scenes/{scene['id']}/export?format=exe").status == 422


@pytest.mark.parametrize("form", ["stl", "ply", "obj"])
def test_a_file_without_a_unit_has_the_size_and_the_upward_axis_that_were_asked_for(
    server, scene, tmp_path, form
):
    def bounds(query):
        answer = server.get(f"/api/scenes/{scene['id']}/export?format={form}{query}")
        assert answer.status == 200
        path = tmp_path / f"scene.{form}"
        if form == "obj":
            with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
                (name,) = [name for name in archive.namelist() if name.endswith(".obj")]
                path.write_bytes(archive.read(name))
        else:
            path.write_bytes(answer.body)
        return trimesh.load(path, process=False).bounds

    plain = np.ptp(bounds(""), axis=0)
    asked = np.ptp(bounds("&unit=mm&size=120&up=z"), axis=0)
    np.testing.assert_allclose(asked, plain[[0, 2, 1]] * 120 / plain.max(), rtol=1e-4)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("format=glb&size=120", "obj, ply, stl only"),
        ("format=json&up=z", "obj, ply, stl only"),
        ("format=objects&unit=mm&size=1", "obj, ply, stl only"),
        ("format=stl&unit=mm", "does not tell the scale"),
        ("format=stl&unit=mile&size=1", "unit must be one of mm"),
        ("format=stl&size=nan", "size must be"),
        ("format=stl&size=-1", "size must be"),
        ("format=stl&size=1e300", "size must be"),
        ("format=stl&size=big", "size"),
        ("format=stl&up=x", "up must be one of y, z"),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused(server, scene, query, says):
    answer = server.get(f"/api/scenes/{scene['id']}/export?{query}")
    assert answer.status == 422 and says in answer.json["error"]["message"]


def test_a_saved_scene_is_opened_again_as_zip_and_as_files(server, scene, tmp_path):
    edited = server.edit(scene, kind="hide", labels=[2]).json
    content = server.get(f"/api/scenes/{scene['id']}/export?format=json").body
    as_zip = server.send("/api/scenes", [("file", "my scene.zip", content)])
    opened(content, tmp_path)
    files = [
        ("file", f"folder/{path.name}", path.read_bytes())
        for path in sorted(tmp_path.rglob("*"))
        if path.is_file()
    ]
    as_files = server.send("/api/scenes", files)
    assert as_zip.status == as_files.status == 201 and as_zip.json["name"] == "my scene"
    for other in (as_zip.json, as_files.json):
        assert [(i["label"], i["hidden"], i["box"]) for i in other["instances"]] == [
            (i["label"], i["hidden"], i["box"]) for i in edited["instances"]
        ]
        meshes = [server.get(s["instances"][0]["glb"]).body for s in (other, scene)]
        assert meshes[0] == meshes[1]
        np.testing.assert_array_equal(
            pixels(server.get(other["image"]).body), pixels(server.get(scene["image"]).body)
        )
        np.testing.assert_array_equal(
            pixels(server.get(other["masks"]).body), pixels(server.get(scene["masks"]).body)
        )


def test_one_object_anew_leaves_all_others_and_what_was_edited_meanwhile(server, scene):
    job = server.post(f"/api/scenes/{scene['id']}/regenerate", {"label": 1, "seed": 8})
    assert job.status == 202 and (job.json["kind"], job.json["scene"], job.json["label"]) == (
        "regenerate",
        scene["id"],
        1,
    )
    assert server.follow(job.json["id"])["state"] == "done"
    new = server.get(f"/api/scenes/{scene['id']}").json
    assert (
        new["changed"] == [1]
        and new["undo"] == "regenerate"
        and new["instances"][1] == scene["instances"][1]
    )
    assert new["instances"][0]["seed"] != scene["instances"][0]["seed"]
    assert (
        new["instances"][0]["world_from_instance"] == scene["instances"][0]["world_from_instance"]
    )
    copy = server.edit(new, kind="duplicate", label=1).json["instances"][-1]
    assert not copy["can_regenerate"]
    assert (
        "copy"
        in server.post(f"/api/scenes/{scene['id']}/regenerate", {"label": copy["label"]}).message
    )
    assert server.post(f"/api/scenes/{scene['id']}/regenerate", {"label": 9}).status == 404


def test_regenerating_in_a_scene_that_is_deleted_meanwhile_fails_in_words(server, scene):
    blocker = server.job(wait=False, steps=100)
    job = server.post(f"/api/scenes/{scene['id']}/regenerate", {"label": 1}).json
    assert server.call("DELETE", f"/api/scenes/{scene['id']}").status == 204
    server.post(f"/api/jobs/{blocker['id']}/cancel")
    ended = server.follow(job["id"])
    assert ended["state"] == "failed" and "no such scene" in ended["error"]


def test_scenes_are_listed_renamed_copied_and_deleted_with_all_their_files(server, scene):
    assert server.get("/api/scenes").json["scenes"][0]["id"] == scene["id"]
    assert (
        server.call("PATCH", f"/api/scenes/{scene['id']}", {"name": "attic"}).json["name"]
        == "attic"
    )
    copy = server.post(f"/api/scenes/{scene['id']}/copy").json
    assert copy["name"] == "attic (copy)" and [i["box"] for i in copy["instances"]] == [
        i["box"] for i in scene["instances"]
    ]
    server.get(scene["instances"][0]["glb"])
    assert server.call("DELETE", f"/api/scenes/{scene['id']}").status == 204
    assert not any(scene["id"] in name for name in server.files())
    assert (
        server.get(f"/api/scenes/{scene['id']}").status == 404
        and server.get(copy["instances"][0]["glb"]).status == 200
    )
    assert server.get(f"/api/jobs/{scene['job']}").json["scene"] is None


def test_pictures_of_a_scene_follow_its_versions(server, scene):
    def picture(s):
        return pixels(server.get(s["thumbnail"]).body).astype(int)

    hidden = server.edit(scene, kind="hide", labels=[1, 2]).json
    assert picture(scene).shape == picture(hidden).shape == (240, 320, 3)
    assert np.abs(picture(scene) - picture(hidden)).max() > 60  # the objects are gone
    assert server.get(scene["preview"]).headers["content-type"] == "image/png"


def test_two_scenes_side_by_side(server, scene):
    other = server.edit(
        server.get(f"/api/scenes/{server.job(scene['photo'])['scene']}").json,
        kind="delete",
        labels=[2],
    ).json
    found = server.get(f"/api/compare?a={scene['id']}&b={other['id']}").json
    assert found["same_photo"] and found["a"]["seconds"] == 1.5
    assert [(o["label"], o["b"] is None) for o in found["objects"]] == [(1, False), (2, True)]
    assert found["objects"][0]["a"]["faces"] == found["objects"][0]["b"]["faces"] > 0


def test_files_that_no_version_needs_are_dropped(server, scene):
    def meshes():
        return {name for name in server.files() if scene["id"] in name and name.endswith(".ply")}

    before = meshes()
    edited = server.edit(scene, kind="delete", labels=[1]).json
    assert meshes() == before  # it can be undone
    undone = server.post(f"/api/scenes/{scene['id']}/undo", {"version": edited["version"]}).json
    server.edit(undone, kind="hide", labels=[1])
    assert meshes() == before


def broken(content, **changes):
    """The ZIP with files replaced (bytes), removed (None), or the document's fields
    changed (dict).
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            stem = re.split(r"[-.]", name.rpartition("/")[2])[0]  # without its sum and suffix
            data = changes.get(stem, old.read(name))
            if isinstance(data, dict):
                data = json.dumps({**json.loads(old.read(name)), **data}).encode()
            if stem == "scene" and "scene" not in changes:  # without the sums of its files
                data = json.dumps({**json.loads(data), "files": {}}).encode()
            if data is not None:
                new.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"instance_1": None}, 422),
        ({"instance_1": b"ply\nformat ascii 1.0\nend_header\n"}, 422),
        ({"photo": b"no picture"}, 415),
        ({"scene": None}, 422),
        ({"scene": b"[" * 100_000}, 422),
        ({"scene": {"format": "other"}}, 422),
        ({"scene": {"version": 99}}, 422),
        ({"scene": {"instances": [{"label": 10**30}]}}, 422),
        ({"scene": {"instances": "many"}}, 422),
        ({"scene": {"camera": None}}, 422),
    ],
)
def test_a_broken_scene_is_refused_and_leaves_nothing(server, scene, changes, status):
    content = server.get(f"/api/scenes/{scene['id']}/export?format=json").body
    before = server.files()
    answer = server.send("/api/scenes", [("file", "s.zip", broken(content, **changes))])
    assert (
        answer.status == status
        and answer.message
        and str(server.settings.data) not in answer.message
    )
    assert not server.files() - before


def test_a_file_that_was_altered_after_saving_is_refused(server, scene):
    content = server.get(f"/api/scenes/{scene['id']}/export?format=json").body
    altered = broken(content, photo=picture(seed=1), scene={})
    answer = server.send("/api/scenes", [("file", "s.zip", altered)])
    assert answer.status == 422 and re.match(r"photo-\w+\.png: has \d+ bytes inst", answer.message)


@pytest.mark.parametrize(
    "provenance",
    [
        {"method": {}, "seconds": [1], "options": "fast"},
        {"method": 5, "seconds": {"a": "b"}, "options": {"model": {}, "seed": {}}},
        {"seconds": {"a": float("nan")}, "options": {"model": ["x"], "steps": "many"}},
        {"seconds": {"a": 1e308, "b": 1e308}, "options": {"method": [], "guidance": {}}},
        {},
    ],
)
def test_provenance_of_other_programs_breaks_nothing(server, scene, provenance):
    content = server.get(f"/api/scenes/{scene['id']}/export?format=json").body
    altered = broken(content, scene={"provenance": provenance})
    opened = server.send("/api/scenes", [("file", "s.zip", altered)])
    assert opened.status == 201, opened.body
    address = f"/api/scenes/{opened.json['id']}"
    for path in (
        *(address, "/api/scenes", f"{address}/preview.png", f"{address}/thumbnail.jpg"),
        *(f"{address}/document.json", f"{address}/export?format=json"),
        f"/api/compare?a={opened.json['id']}&b={scene['id']}",
    ):
        assert server.get(path).status == 200, path
    job = server.post(f"{address}/regenerate", {"label": 1})
    assert job.status == 202 and server.follow(job.json["id"])["state"] == "done"


@pytest.mark.parametrize(
    "matrix",
    [
        [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "none",
    ],
)
def test_wrong_places_are_refused(server, scene, matrix):
    assert server.edit(scene, kind="transform", label=1, world_from_instance=matrix).status == 422
