"""Cases as folders: what is written comes back; what does not fit together is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.cases import (
    camera_from_dict,
    camera_to_dict,
    load_case,
    measured_case,
    save_case,
    scene_of_meshes,
    view_centric,
)
from maquette.evaluate.readers.folder import read_folder
from maquette.evaluate.sets import make_case
from maquette.geometry.cameras import moved, project
from maquette.geometry.transforms import rotation_y, similarity
from maquette.types import Focal
from tests.data.toys import Toys


@pytest.fixture(scope="module")
def case():
    return make_case(Toys.many(), "random", 2)


def test_a_stored_case_comes_back(case, tmp_path):
    told = replace(
        case, scene_input=replace(case.scene_input, focal=Focal(0.8, "EXIF, 28 mm on 35-mm film"))
    )
    save_case(told, tmp_path / "scene")
    back = load_case(tmp_path / "scene")
    assert (
        back.scene_input.focal
        == read_folder(tmp_path / "scene", "a").scene_input.focal
        == told.scene_input.focal
    )
    assert back.name == case.name and np.array_equal(back.scene_input.image, case.scene_input.image)
    assert back.origin == dict(case.origin) and back.hidden == pytest.approx(case.hidden, abs=1e-4)
    for a, b in zip(case.scene_input.masks, back.scene_input.masks, strict=True):
        assert (a.label, a.name) == (b.label, b.name) and np.array_equal(a.mask, b.mask)
    for name, mesh in case.truth.items():
        assert np.allclose(back.truth[name].bounds, mesh.bounds, atol=1e-6)
        assert (
            np.abs(
                np.asarray(back.truth[name].visual.vertex_colors, int) - mesh.visual.vertex_colors
            ).max()
            <= 1
        )
    assert np.allclose(back.camera.world_from_camera, case.camera.world_from_camera)


def test_damaged_folders_say_what_to_do(case, tmp_path):
    save_case(case, tmp_path)
    (tmp_path / "objects.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        load_case(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        load_case(tmp_path / "nothing")


def test_masks_and_truth_name_the_same_objects(case):
    truth = dict(list(case.truth.items())[1:])
    with pytest.raises(InputError, match="masks alone \\['instance_1'\\]"):
        measured_case("x", case.scene_input, truth, None)


def test_view_centric_undoes_any_upright_similarity(case):
    world = similarity(3.0, rotation_y(1.1), [4.0, -2.0, 0.5])
    meshes, camera = view_centric(
        {n: m.copy().apply_transform(world) for n, m in case.truth.items()},
        moved(case.camera, world),
    )
    for name, mesh in case.truth.items():
        assert np.allclose(meshes[name].vertices, mesh.vertices, atol=1e-6)
    points = case.truth["instance_1"].vertices
    assert np.allclose(project(camera, points)[0], project(case.camera, points)[0], atol=1e-3)


def test_without_a_camera_only_place_and_size_change(case):
    world = similarity(3.0, rotation_y(1.1), [4.0, -2.0, 0.5])
    meshes, camera = view_centric(
        {n: m.copy().apply_transform(world) for n, m in case.truth.items()}, None
    )
    corners = np.concatenate([m.bounds for m in meshes.values()])
    assert camera is None and np.ptp(corners, axis=0).max() == pytest.approx(1.0)


def test_cameras_come_back_and_wrong_ones_are_refused(case):
    data = json.loads(json.dumps(camera_to_dict(case.camera)))
    assert (
        np.array_equal(camera_from_dict(data, "x").intrinsics, case.camera.intrinsics)
        and camera_from_dict(None, "x") is None
    )
    with pytest.raises(InputError, match="not a camera"):
        camera_from_dict({"width": 3}, "x")
    with pytest.raises(InputError, match="rigid"):
        camera_from_dict(data | {"world_from_camera": (2 * np.eye(4)).tolist()}, "x")


def test_labels_follow_the_names(case):
    scene = scene_of_meshes(
        {
            "instance_10": case.truth["instance_1"],
            "instance_2": case.truth["instance_2"],
            "sofa": case.truth["instance_1"],
        }
    )
    assert [i.node_name for i in scene.instances] == ["instance_2", "instance_10", "sofa"]
    assert [i.label for i in scene.instances][:2] == [2, 10] and scene.camera.width > 0
    assert scene_of_meshes({}).instances == ()
