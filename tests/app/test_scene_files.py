"""The files of a scene: named by content, shared by versions, nothing lost on the way."""

import json

import numpy as np

from maquette.app import scene_files
from maquette.scene.document import save, scene_of
from maquette.scene.fields import Fields
from tests.scene.scenes import make_scene


def test_a_saved_scene_that_is_taken_over_is_the_same_scene(tmp_path):
    scene = make_scene()
    (tmp_path / "mine").mkdir()
    document = scene_files.take_over(
        save(scene, tmp_path / "saved" / "scene.json"), tmp_path / "mine"
    )
    again = scene_of(Fields(tmp_path / "mine" / "scene.json", document))
    for a, b in zip(again.instances, scene.instances, strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert a.state.keys() == b.state.keys() and (a.node_name, a.seed) == (b.node_name, b.seed)
    np.testing.assert_array_equal(again.input.image, scene.input.image)
    assert {key for _, key in scene_files.references(document)} == {
        "mesh",
        "texture",
        "state",
        "photo",
        "mask",
    }
    assert not list((tmp_path / "saved" / "scene_files").iterdir())


def test_equal_files_are_stored_once_and_unused_ones_dropped(tmp_path):
    (tmp_path / "mine").mkdir()
    documents = [
        scene_files.take_over(
            save(make_scene(), tmp_path / f"s{k}" / "scene.json"), tmp_path / "mine"
        )
        for k in range(2)
    ]
    assert documents[0] == documents[1]
    files = set((tmp_path / "mine" / "files").iterdir())
    scene_files.drop_unused(tmp_path / "mine", documents)
    assert set((tmp_path / "mine" / "files").iterdir()) == files
    less = json.loads(json.dumps(documents[0]))
    del less["instances"][0]
    scene_files.drop_unused(tmp_path / "mine", [less])
    assert (
        len(files) - len(list((tmp_path / "mine" / "files").iterdir())) == 2
    )  # its mesh and its state
