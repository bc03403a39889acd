"""The plain layout, written by hand into a temporary folder."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.cases import camera_to_dict, save_case
from maquette.evaluate.readers import sources_of
from maquette.evaluate.sets import make_case
from maquette.geometry.cameras import moved
from maquette.geometry.transforms import rotation_y, similarity
from tests.cli.test_evaluate import write as write_glb
from tests.data.toys import Toys


@pytest.fixture(scope="module")
def case():
    return make_case(Toys.many(), "random", 2)


def write(folder, nodes, masks=None, camera=None):
    """A scene folder with a photo of 80 x 60 and one mask per node, named after it."""
    folder.mkdir(parents=True)
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(folder / "photo.jpg")
    (folder / "masks").mkdir()
    for k, name in enumerate(masks or nodes):
        mask = np.zeros((60, 80), np.uint8)
        mask[10:50, 20 * k : 20 * k + 16] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    write_glb(nodes, folder / "truth.glb")
    if camera is not None:
        (folder / "camera.json").write_text(json.dumps(camera_to_dict(camera)))


def boxes(*names):
    return {
        name: trimesh.creation.box((0.5, 0.5, 0.5)).apply_translation((k, 0.25, 0.2 * k))
        for k, name in enumerate(names)
    }


def test_a_folder_of_named_masks_and_nodes(tmp_path):
    write(tmp_path / "kitchen" / "one", boxes("chair", "table", "wall"), masks=["chair", "table"])
    write(tmp_path / "kitchen" / "two", boxes("a", "b"))
    sources = sources_of(tmp_path, "folder")
    assert [source.name for source in sources] == ["kitchen/one", "kitchen/two"]
    case = sources[0].load()
    assert set(case.truth) == {"instance_1", "instance_2"} and [
        m.name for m in case.scene_input.masks
    ] == ["chair", "table"]
    assert case.camera is None and all(np.isnan(share) for share in case.hidden.values())
    assert np.ptp(
        np.concatenate([m.bounds for m in case.truth.values()]), axis=0
    ).max() == pytest.approx(1.0)  # the wall does not count


def test_labels_json_decides(tmp_path):
    write(tmp_path / "s" / "one", boxes("Chair.003", "Table.001"), masks=["x", "y"])
    (tmp_path / "s" / "one" / "labels.json").write_text('{"1": "Table.001", "2": "Chair.003"}')
    case = sources_of(tmp_path, "folder")[0].load()
    assert case.truth["instance_1"].bounds.mean() > case.truth["instance_2"].bounds.mean()


def test_a_camera_turns_the_truth_to_its_view(tmp_path, case):
    save_case(case, tmp_path / "set" / "0001")
    (tmp_path / "set" / "0001" / "objects.json").unlink()
    world = similarity(2.5, rotation_y(0.8), [3.0, 1.0, -2.0])
    write_glb(
        {name: mesh.copy().apply_transform(world) for name, mesh in case.truth.items()},
        tmp_path / "set" / "0001" / "truth.glb",
    )
    (tmp_path / "set" / "0001" / "camera.json").write_text(
        json.dumps(camera_to_dict(moved(case.camera, world)))
    )
    back = sources_of(tmp_path, "folder")[0].load()
    assert back.name == "set/0001" and back.hidden == pytest.approx(case.hidden, abs=0.02)
    for name, mesh in case.truth.items():
        assert np.allclose(back.truth[name].bounds, mesh.bounds, atol=1e-5)


def test_the_scenes_of_a_run_are_such_a_folder(tmp_path, case):
    save_case(case, tmp_path / case.name)
    (source,) = sources_of(tmp_path, "folder")
    back = source.load()
    assert back.name == case.name and back.hidden == pytest.approx(case.hidden, abs=1e-3)
    assert np.allclose(back.camera.world_from_camera, case.camera.world_from_camera, atol=1e-5)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "truth.glb").unlink(), "none of truth.glb"),
        (
            lambda folder: (folder / "masks" / "b.png").rename(folder / "masks" / "sofa.png"),
            "no node instance_2 or sofa",
        ),
        (lambda folder: (folder / "labels.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "camera.json").write_text('{"width": 3}'), "not a camera"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, spoil, message):
    write(tmp_path / "s" / "one", boxes("a", "b"))
    spoil(tmp_path / "s" / "one")
    with pytest.raises(InputError, match=message):
        sources_of(tmp_path, "folder")[0].load()


def test_a_camera_of_another_size_is_refused(tmp_path, case):
    camera = case.camera
    assert camera.width != 80
    write(tmp_path / "s" / "one", boxes("a", "b"), camera=camera)
    with pytest.raises(InputError, match="384 x 384 pixels, the photo has 80 x 60"):
        sources_of(tmp_path, "folder")[0].load()


def test_places_without_scenes_are_refused(tmp_path):
    wrong = (
        (tmp_path, "folder", "no folder with a photo"),
        (tmp_path, "magic", "magic"),
        (tmp_path / "x", "glb", "no such"),
    )
    for path, form, message in wrong:
        with pytest.raises(InputError, match=message):
            sources_of(path, form)
