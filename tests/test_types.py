"""Laws of the nouns: every edit returns a new Scene and leaves the old one as it was."""

import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.transforms import similarity
from tests.document.scenes import coloured, make_scene


def facts(scene):
    return [
        (i.label, i.node_name, i.hidden, i.world_from_instance.tobytes(), id(i.mesh))
        for i in scene.instances
    ]


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.move(1, (0.1, 0, 0)),
        lambda s: s.transform(3, np.eye(4)),
        lambda s: s.delete(12),
        lambda s: s.rename(1, "egg"),
        lambda s: s.hide(1),
        lambda s: s.duplicate(3),
        lambda s: s.replace(1, coloured(s[3].mesh, 4)),
    ],
)
def test_edits_return_a_new_scene_and_share_the_rest(edit):
    scene = make_scene()
    before = facts(scene)
    edited = edit(scene)
    assert facts(scene) == before and facts(edited) != before
    assert len(set(facts(edited)) & set(before)) >= 2  # what was not edited is the same object


def test_the_box_contains_all_placed_vertices_tightly():
    instance = make_scene()[1]
    moved = dataclasses.replace(
        instance, world_from_instance=similarity(2.0, None, np.array([1.0, 2.0, 3.0]))
    )
    np.testing.assert_allclose(moved.box, 2.0 * instance.mesh.bounds + [1.0, 2.0, 3.0])


def test_the_camera_inverts():
    camera = make_scene().camera
    np.testing.assert_allclose(
        camera.camera_from_world @ camera.world_from_camera, np.eye(4), atol=1e-12
    )
    np.testing.assert_allclose(
        camera.camera_from_world @ [*camera.position, 1.0], [0, 0, 0, 1], atol=1e-12
    )


def test_names_stay_unique_and_unknown_labels_are_named():
    scene = make_scene()
    with pytest.raises(InputError, match="taken"):
        scene.rename(1, "instance_12")
    assert scene.rename(1, "instance_1")[1].node_name == "instance_1"
    with pytest.raises(InputError, match=r"\[1, 3, 12\]"):
        scene[2]


def test_hidden_instances_are_kept_but_not_visible():
    scene = make_scene().hide(3)
    assert [i.label for i in scene.instances] == [1, 3, 12] and [
        i.label for i in scene.visible().instances
    ] == [1, 12]
    assert facts(scene.hide(3, False)) == facts(dataclasses.replace(scene.hide(3, False)).visible())


def test_a_duplicate_has_a_label_that_neither_instances_nor_masks_have():
    scene = make_scene().delete(3)  # its mask still has the label
    copy = scene.duplicate(1, (0.5, 0.0, 0.0))[2]
    assert copy.node_name == "instance_1_copy" and copy.state == {} and np.isnan(copy.confidence)
    np.testing.assert_allclose(copy.box - scene[1].box, [[0.5, 0, 0]] * 2, atol=1e-12)


def mesh(vertices, faces):
    return trimesh.Trimesh(vertices, faces, process=False)


CORNERS = np.eye(3)
NOT_A_MESH = {
    "empty": (trimesh.Trimesh(), "0 vertices and 0 faces"),
    "no faces": (mesh(CORNERS, []), "3 vertices and 0 faces"),
    "index too large": (mesh(CORNERS, [[0, 1, 2], [0, 1, 9]]), "face 1 refers to vertex 9 but"),
    "negative index": (mesh(CORNERS, [[0, 1, -1]]), "face 0 refers to vertex -1"),
    "nan": (mesh([[0, 0, 0], [1, np.nan, 0], [0, 1, 0]], [[0, 1, 2]]), r"vertex 1 is \[1.0, nan"),
    "infinite": (mesh([[np.inf, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), "vertex 0 is"),
    "too large": (mesh(1e300 * CORNERS, [[0, 1, 2]]), "vertex 0 is"),
    "point": (mesh(np.ones((3, 3)), [[0, 1, 2]]), "is a single point"),
    "scene": (trimesh.Scene(trimesh.creation.box()), "is a Scene"),
    "points": (trimesh.PointCloud(CORNERS), "is a PointCloud"),
    "path": ("chair.glb", "is a str"),
    "nothing": (None, "is a NoneType"),
}


@pytest.mark.parametrize(("wrong", "says"), NOT_A_MESH.values(), ids=NOT_A_MESH.keys())
def test_replacing_by_what_is_no_mesh_is_refused_at_once(wrong, says):
    with pytest.raises(InputError, match=f"the new mesh of instance 1.*{says}"):
        make_scene().replace(1, wrong)


WRONG_EDITS = {
    "move nan": (lambda s: s.move(1, (0, np.nan, 0)), r"\[0.0, nan, 0.0\]"),
    "move infinite": (lambda s: s.move(1, (np.inf, 0, 0)), "inf"),
    "move far": (lambda s: s.move(1, (1e300, 0, 0)), "1e\\+300"),
    "move text": (lambda s: s.move(1, "abc"), "the translation of instance 1"),
    "move in a plane": (lambda s: s.move(1, (0, 1)), r"shape \(3,\)"),
    "duplicate nan": (lambda s: s.duplicate(1, (0, np.nan, 0)), "nan"),
    "transform 3x3": (lambda s: s.transform(1, np.eye(3)), r"shape \(4, 4\)"),
    "transform nan": (lambda s: s.transform(1, np.full((4, 4), np.nan)), "nan"),
    "rename nul": (lambda s: s.rename(1, "a\0b"), r"zero character \(NUL\)"),
    "rename surrogate": (lambda s: s.rename(1, "a\ud800"), r"\\ud800, half of a surrogate"),
    "rename unknown": (lambda s: s.rename(99, "a"), r"label 99 is not in the scene; it has \["),
    "move unknown": (lambda s: s.move(99, (0, 0, 0)), "label 99"),
    "replace unknown": (lambda s: s.replace(99, trimesh.creation.box()), "label 99"),
}


@pytest.mark.parametrize(("edit", "says"), WRONG_EDITS.values(), ids=WRONG_EDITS.keys())
def test_wrong_edits_are_refused_at_once_with_what_was_given(edit, says):
    with pytest.raises(InputError, match=says):
        edit(make_scene())
