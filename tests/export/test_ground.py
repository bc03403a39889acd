"""A ground under the objects: where it lies, that all stands on it, and that it is no object."""

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.export.ground import with_ground
from maquette.simulation.glb_scene import scene_of_glb
from tests.simulation.scenes import GROUND, standing


@pytest.mark.parametrize(("kind", "share"), [("plane", 1.0), ("disc", np.pi / 4)])
def test_it_lies_level_below_all_objects_and_faces_up(kind, share):
    scene = with_ground(standing(), kind)
    (ground,) = scene.around
    objects = scene.instances
    assert ground.node_name == "ground" and [i.label for i in objects] == [1, 2, 4]
    low, high = ground.box
    assert low[1] == high[1] == GROUND
    for instance in objects:
        assert (instance.box[0] >= low - 1e-6).all()
        assert (instance.box[1, [0, 2]] <= high[[0, 2]]).all()
    assert np.allclose(ground.mesh.face_normals, [0, 1, 0])
    assert ground.mesh.area == pytest.approx(share * np.ptp(ground.box[:, 0]) ** 2, rel=0.01)


def test_without_a_kind_nothing_changes():
    scene = standing()
    assert with_ground(scene, None) is scene


def test_names_and_labels_stay_different():
    scene = standing().rename(4, "ground")
    (ground,) = with_ground(with_ground(scene, "plane"), "disc").around
    assert ground.node_name == "ground_copy" and ground.label == 3


def test_it_is_a_node_of_the_files_and_no_object_when_they_are_read(tmp_path):
    scene = standing()
    path = scene.export(tmp_path / "room.glb", ground="plane")
    nodes = trimesh.load_scene(path).graph.nodes_geometry
    assert "ground" in nodes and len(nodes) == 4
    read = scene_of_glb(path)
    assert [i.label for i in read.instances] == [1, 2, 4]
    assert [surface.node_name for surface in read.around] == ["ground"]
    assert b"o ground" in scene.export(tmp_path / "room.obj", ground="disc").read_bytes()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("a.glb", "ball", "one of plane, disc"),
        ("a.xml", "plane", "have one anyway"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, name, kind, said):
    with pytest.raises(InputError, match=said):
        standing().export(tmp_path / name, ground=kind)
