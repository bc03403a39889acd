"""Laws of the nouns: every edit returns a new Scene and leaves the old one as it was."""

import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.transforms import similarity
from maquette.types import InstanceMask, left_standing, node_names
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
    with pytest.raises(InputError, match=r"has 1 .*, 3 .*, 12 "):
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
    "rename unknown": (lambda s: s.rename(99, "a"), r"label 99 is not in the scene; it has "),
    "move unknown": (lambda s: s.move(99, (0, 0, 0)), "label 99"),
    "replace unknown": (lambda s: s.replace(99, trimesh.creation.box()), "label 99"),
}


@pytest.mark.parametrize(("edit", "says"), WRONG_EDITS.values(), ids=WRONG_EDITS.keys())
def test_wrong_edits_are_refused_at_once_with_what_was_given(edit, says):
    with pytest.raises(InputError, match=says):
        edit(make_scene())


def test_named_masks_give_named_nodes_and_the_others_their_labels():
    pixel = np.ones((1, 1), bool)
    names = ["cup", "cup", " cup_2 ", "", "instance_1", "tea\npot", "\0", "cup"]
    masks = [InstanceMask(label, pixel, name) for label, name in enumerate(names, 3)]
    assert node_names(masks) == {3: "cup", 4: "cup_2", 5: "cup_2_2", 8: "tea pot", 10: "cup_3"}


def test_objects_are_found_by_label_node_and_name_and_edited_by_them():
    scene = make_scene().rename(1, "egg")
    assert scene["egg"] is scene[1] is scene["ball"]
    with pytest.raises(InputError, match="did you mean 'egg'"):
        scene["eg"]
    by_name = scene.move("egg", (0, 1, 0)).hide("egg").delete("instance_12")
    by_label = scene.move(1, (0, 1, 0)).hide(1).delete(12)
    assert [(i.label, i.hidden, i.box.tolist()) for i in by_name.instances] == [
        (i.label, i.hidden, i.box.tolist()) for i in by_label.instances
    ]


def test_what_is_printed_is_short():
    scene = make_scene()
    assert str(scene) == "Scene(3 objects: instance_1, crate é, instance_12; 1 failed)"
    assert repr(scene[1]) == "Instance(1, 'instance_1', 320 triangles, confidence 0.83)"
    many = dataclasses.replace(scene, instances=scene.instances * 40, failures=())
    assert len(str(many)) < 200


def test_a_new_mesh_fits_into_the_old_ones_box_unless_told_otherwise():
    scene = make_scene()
    old = scene[3].box
    for sides in [(50.0, 10.0, 20.0), (1e-4, 2e-4, 1e-4), (3.0, 0.0, 1.0)]:
        mesh = trimesh.creation.box((1.0, 1.0, 1.0))
        mesh.vertices = mesh.vertices * sides + 7.0
        new = scene.replace("crate é", mesh)[3].box
        assert (new[0] >= old[0] - 1e-9).all() and (new[1] <= old[1] + 1e-9).all()
        assert new[0, 1] == pytest.approx(old[0, 1])  # it stands where the old one stood
        assert (np.ptp(new, axis=0) / np.ptp(old, axis=0)).max() == pytest.approx(1.0)
        kept = scene.replace(3, mesh, fit=False)[3].box
        np.testing.assert_allclose(np.ptp(kept, axis=0), sides)
        np.testing.assert_allclose(kept.mean(0), old.mean(0))


def test_unknown_options_are_named_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"overwrit.*did you mean 'overwrite'"):
        make_scene().export(tmp_path / "s.glb", overwrit=True)
    with pytest.raises(InputError, match=r"densty.*did you mean 'density'"):
        make_scene().settle(densty=3)
    assert not (tmp_path / "s.glb").exists()


def test_a_deletion_leaves_what_stands_on_what_stays():
    on = {1: "ground", 2: 1, 3: 2, 4: None}
    assert left_standing(on, [2]) == [1, 4]
    assert left_standing(on, []) == [1, 2, 3, 4]
