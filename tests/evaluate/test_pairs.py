import dataclasses

import pytest

from maquette.document.scene_json import save
from maquette.evaluate.contestants import called_by_label, instances_of, scene_from_glb
from maquette.evaluate.pairs import by_label, load_pair
from tests.document.scenes import make_scene


@pytest.fixture
def pair(tmp_path):
    """A prediction with names of its own, and a truth of the same labels whose names are others,
    two of them swapped.
    """
    scene = make_scene(input=None)
    made = scene.rename(1, "cup").rename(3, "cup_2").rename(12, "mat")
    truth = scene.rename(12, "cup").rename(3, "mat").rename(1, "cup_2")
    return made.export(tmp_path / "made.glb"), truth.export(tmp_path / "truth.glb")


def test_labels_come_before_names(pair):
    made, truth = load_pair(*pair)
    assert set(made) == set(truth) == {"instance_1", "instance_3", "instance_12"}
    for name, mesh in made.items():
        assert (mesh.bounds == truth[name].bounds).all()


def test_files_without_labels_are_paired_by_node_names(pair, tmp_path):
    foreign = tmp_path / "foreign.obj"
    make_scene(input=None).rename(1, "cup").export(foreign)
    made, truth = load_pair(pair[0], foreign)
    assert "cup" in made and "cup" in truth


def test_a_folder_and_a_document_are_files_too(pair, tmp_path):
    document = save(make_scene(input=None).rename(1, "jug"), tmp_path / "room" / "scene.json")
    for path in (document, document.parent):
        made, truth = load_pair(path, pair[1])
        assert set(made) == set(truth)


def test_labels_that_are_missing_or_twice_rename_nothing():
    meshes = dict.fromkeys(["a", "instance_3"], "mesh")
    assert set(by_label(meshes, {})) == set(by_label(meshes, {"a": 3})) == set(meshes)
    assert set(by_label(meshes, {"a": 1})) == {"instance_1", "instance_3"}


def test_a_benchmark_reads_and_writes_nodes_by_label(pair):
    read = scene_from_glb(pair[0])
    assert set(instances_of(read)) == {"instance_1", "instance_3", "instance_12"}
    scene = make_scene(input=None).rename(1, "cup")
    assert called_by_label(scene)[1].node_name == "instance_1"
    unknown = dataclasses.replace(scene[1], label=1_000_000)
    scene = dataclasses.replace(scene, instances=(unknown,))
    assert called_by_label(scene)[1_000_000].node_name == "cup"
