"""Masks over the wire: edits, undo and redo, conflicts, every form in and out, warnings as on the
command line.
"""

import io
import zipfile

import numpy as np
import pytest

from maquette.app import masks
from maquette.masks import read_masks, write_masks
from maquette.masks.diagnose import diagnose
from maquette.masks.overlay import instance_color
from tests.app.live import encoded, label_map, label_png, pixels


def labels_of(server, state):
    picture = pixels(server.get(state["labels"]).body).astype(int)
    return picture[..., 0] + 256 * picture[..., 1]


@pytest.fixture
def state(server):
    return server.get(f"/api/photos/{server.photo()}/masks").json


def test_what_was_imported_is_what_is_shown(server, state):
    np.testing.assert_array_equal(labels_of(server, state), label_map())
    for entry in state["objects"]:
        np.testing.assert_array_equal(
            pixels(server.get(entry["mask"]).body), (label_map() == entry["label"]) * 255
        )
        assert entry["color"] == "#{:02x}{:02x}{:02x}".format(*instance_color(entry["label"]))
        assert entry["pixels"] == (label_map() == entry["label"]).sum()
    assert (state["changed"], state["undo"], state["can_redo"]) == ([1, 2], "import", False)


def test_a_box_and_clicks_find_what_the_command_line_finds(server, state):
    cleared = server.edit_masks(state, kind="clear").json
    boxed = server.edit_masks(cleared, kind="box", box=[10, 15, 48, 57]).json
    assert (
        boxed["changed"] == [1]
        and ((labels_of(server, boxed) == 1) & (label_map() == 1)).sum()
        > 0.9 * (label_map() == 1).sum()
    )
    clicked = server.edit_masks(boxed, kind="clicks", clicks=[{"x": 67.0, "y": 36.0}]).json
    assert clicked["changed"] == [2] and labels_of(server, clicked)[36, 67] == 2
    found = server.edit_masks(clicked, kind="auto").json
    assert len(found["objects"]) == 2


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "stroke", "label": 1, "points": [[5, 5], [20, 8]], "radius": 3},
        {"kind": "stroke", "points": [[5, 5]], "radius": 3},
        {"kind": "stroke", "label": 1, "points": [[28, 36]], "radius": 5, "erase": True},
        {"kind": "merge", "labels": [2, 1]},
        {"kind": "polygon", "label": None, "points": [[1, 1], [30, 1], [10, 20]]},
        {"kind": "delete", "labels": [1]},
        {"kind": "clear"},
        {"kind": "split", "label": 1, "line": [[29, 0], [29, 71]]},
        {"kind": "rename", "label": 2, "name": "ball"},
        {"kind": "reorder", "labels": [2, 1]},
    ],
    ids=lambda edit: edit["kind"],
)
def test_every_edit_can_be_undone_and_redone(server, state, edit):
    def facts(s):
        return labels_of(server, s).tobytes(), [
            (o["label"], o["name"], o["pixels"], o["warnings"]) for o in s["objects"]
        ]

    edited = server.edit_masks(state, **edit).json
    assert (
        edited["version"] > state["version"]
        and facts(edited) != facts(state)
        and edited["undo"] == edit["kind"]
    )
    undone = server.post(
        f"/api/photos/{state['photo']}/masks/undo", {"version": edited["version"]}
    ).json
    assert facts(undone) == facts(state) and undone["redo"] == edit["kind"]
    redone = server.post(
        f"/api/photos/{state['photo']}/masks/redo", {"version": undone["version"]}
    ).json
    assert facts(redone) == facts(edited) and not redone["can_redo"]


def test_an_edit_of_an_old_version_is_refused_with_the_newest(server, state):
    edited = server.edit_masks(state, kind="rename", label=1, name="a").json
    late = server.edit_masks(state, kind="rename", label=1, name="b")
    assert (late.status, late.code, late.json["error"]["current"]) == (409, "conflict", edited)
    assert (
        server.post(
            f"/api/photos/{state['photo']}/masks/undo", {"version": state["version"]}
        ).status
        == 409
    )


def test_warnings_are_those_of_the_command_line(server):
    labels = label_map()
    labels[:3, :3] = 3
    labels[30:40, 90:] = 4
    photo = server.photo(masked=False)
    state = server.send(
        f"/api/photos/{photo}/masks/import", [("file", "m.png", encoded(labels))]
    ).json
    expected = {d.label: list(d.warnings) for d in diagnose(read_masks(labels))}
    assert {o["label"]: o["warnings"] for o in state["objects"]} == expected and any(
        expected.values()
    )


@pytest.mark.parametrize("form", masks.FORMS)
def test_every_form_goes_out_and_comes_in_again(server, state, form):
    named = server.edit_masks(state, kind="rename", label=2, name="blue ball").json
    out = server.get(f"/api/photos/{state['photo']}/masks/export?form={form}")
    assert (
        out.headers["content-disposition"]
        == f'attachment; filename="photo_masks{masks.FORMS[form][0]}"'
    )
    again = server.send(
        f"/api/photos/{state['photo']}/masks/import",
        [("file", "x", out.body)],
        version=named["version"],
    ).json
    np.testing.assert_array_equal(labels_of(server, again) > 0, label_map() > 0)
    assert sorted(o["pixels"] for o in again["objects"]) == sorted(
        o["pixels"] for o in named["objects"]
    )
    if form not in ("rgb",):
        assert [(o["label"], o["name"]) for o in again["objects"]] == [(1, ""), (2, "blue ball")]


def test_several_pictures_are_a_folder_of_masks(server, tmp_path):
    photo = server.photo(masked=False)
    folder = write_masks(read_masks(label_map(), names=["chair", "lamp"]), tmp_path / "masks")
    files = [
        ("file", f"C:\\masks\\{path.name}", path.read_bytes())
        for path in reversed(sorted(folder.iterdir()))
    ]
    state = server.send(f"/api/photos/{photo}/masks/import", files).json
    assert [(o["label"], o["name"]) for o in state["objects"]] == [(1, "chair"), (2, "lamp")]


def test_masks_that_overlap_keep_their_pixels(server, state):
    stack = np.zeros((2, 72, 96), bool)
    stack[0, 10:60, 10:60] = True
    stack[1, 20:40, 20:40] = True
    stream = io.BytesIO()
    np.savez_compressed(stream, masks=stack)
    new = server.send(
        f"/api/photos/{state['photo']}/masks/import", [("file", "m.npz", stream.getvalue())]
    ).json
    picture = pixels(server.get(new["labels"]).body)
    assert (picture[..., 2] == 255).sum() == 400 and (picture[..., 0] == 2).sum() == 400
    np.testing.assert_array_equal(pixels(server.get(new["objects"][0]["mask"]).body) > 0, stack[0])
    assert new["objects"][1]["overlaps"] == [{"label": 1, "share": 1.0}]


def test_only_files_that_a_version_needs_are_kept(server, state):
    def count():
        return sum(f"photos/{state['photo']}/masks/" in name for name in server.files())

    one = server.edit_masks(state, kind="stroke", points=[[5, 5]], radius=3).json
    assert count() == 3
    undone = server.post(
        f"/api/photos/{state['photo']}/masks/undo", {"version": one["version"]}
    ).json
    assert count() == 3  # it can be redone
    other = server.edit_masks(undone, kind="rename", label=1, name="x").json
    assert count() == 2 and other["version"] == one["version"] + 1
    assert server.get(f"/api/photos/{state['photo']}/masks?version={one['version']}").status == 404


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "box", "box": [0, 0, 2, 2]},
        {"kind": "box", "box": [1, 2, 3]},
        {"kind": "rename", "label": 9, "name": "x"},
        {"kind": "stroke", "points": [], "radius": 3},
        {"kind": "stroke", "points": [[1, 1]], "radius": -1},
        {"kind": "magic"},
        {},
        {"kind": "stroke", "points": [[1e300, 1]], "radius": 3},
        {"kind": "rename", "label": 1, "name": "x" * 81},
        {"kind": "split", "label": 1},
        {"kind": "clicks", "clicks": [{"x": 500, "y": 5}]},
        {"kind": "merge", "labels": [1]},
        {"kind": "delete", "labels": [2**70]},
    ],
)
def test_wrong_edits_change_nothing(server, state, edit):
    answer = server.edit_masks(state, **edit)
    assert (answer.status, answer.code) == (422, "input") and answer.message
    assert server.get(f"/api/photos/{state['photo']}/masks").json == state


def test_an_export_names_every_object_in_a_folder(server, state):
    server.edit_masks(state, kind="rename", label=2, name="blue ball")
    with zipfile.ZipFile(
        io.BytesIO(server.get(f"/api/photos/{state['photo']}/masks/export?form=folder").body)
    ) as archive:
        assert archive.namelist() == ["masks/001.png", "masks/002_blue ball.png"]
    empty = server.photo(masked=False)
    assert server.get(f"/api/photos/{empty}/masks/export").status == 409
    assert server.get(f"/api/photos/{empty}/masks/export?form=doc").status == 422


def test_as_many_objects_as_the_limit_says(server):
    labels = np.zeros((72, 96), np.uint8)
    labels.reshape(-1)[: 66 * 100].reshape(66, 100)[:] = np.arange(1, 67)[:, None]
    photo = server.photo(masked=False)
    stream = io.BytesIO()
    np.save(stream, labels)
    refused = server.send(
        f"/api/photos/{photo}/masks/import", [("file", "m.npy", stream.getvalue())]
    )
    assert (refused.status, refused.code) == (413, "too_large") and "64" in refused.message
    assert (
        server.send(f"/api/photos/{photo}/masks/import", [("file", "m.png", label_png())]).status
        == 200
    )
