"""Where a scene stands in files that say neither unit nor upward axis."""

import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.export import export_scene
from maquette.export.space import in_file_space
from maquette.options import FileSpace
from tests.document.scenes import make_scene


@pytest.fixture
def scene():
    return make_scene()


def extent(scene):
    boxes = np.array([instance.box for instance in scene.instances])
    return boxes[:, 1].max(0) - boxes[:, 0].min(0)


def read(path):
    return trimesh.load(path, process=False).bounds


def test_nothing_asked_for_is_the_scene_itself(scene):
    same = in_file_space(scene, FileSpace())
    for before, after in zip(scene.instances, same.instances):
        assert np.array_equal(before.world_from_instance, after.world_from_instance)


@pytest.mark.parametrize("name", ["a.stl", "a.ply", "a.obj"])
def test_the_longest_side_is_as_long_as_asked(scene, tmp_path, name):
    low, high = read(export_scene(scene, tmp_path / name, unit="mm", size=120))
    assert (high - low).max() == pytest.approx(120, rel=1e-5)
    assert np.allclose((high - low) / 120, extent(scene) / extent(scene).max(), rtol=1e-5)


def test_z_is_up_where_y_was(scene):
    turned = in_file_space(scene, FileSpace(up="z"))
    x, y, z = extent(scene)
    assert np.allclose(extent(turned), [x, z, y])
    for before, after in zip(scene.instances, turned.instances):
        moved = before.world_from_instance[:3, 3][[0, 2, 1]] * [1, -1, 1]
        assert np.allclose(after.world_from_instance[:3, 3], moved)
        assert np.linalg.det(after.world_from_instance[:3, :3]) > 0


def test_a_known_scale_is_written_in_any_unit(scene):
    metric = dataclasses.replace(scene, metres_per_unit=2.0)
    for unit, per_metre in {"mm": 1000, "cm": 100, "m": 1, "in": 1 / 0.0254}.items():
        written = in_file_space(metric, FileSpace(unit=unit))
        assert np.allclose(extent(written), extent(scene) * 2 * per_metre)


def test_separate_files_share_the_space_of_the_whole_scene(scene, tmp_path):
    folder = export_scene(scene, tmp_path / "a.stl", separate=True, unit="mm", size=120, up="z")
    bounds = np.array([read(path) for path in sorted(folder.iterdir())])
    assert len(bounds) == len(scene.instances)
    assert (bounds[:, 1].max(0) - bounds[:, 0].min(0)).max() == pytest.approx(120, rel=1e-5)


def test_a_single_point_has_no_size(scene):
    point = np.diag([0.0, 0.0, 0.0, 1.0])
    (instance, *_) = scene.instances
    flat = dataclasses.replace(
        scene, instances=(dataclasses.replace(instance, world_from_instance=point),)
    )
    with pytest.raises(InputError, match="single point"):
        in_file_space(flat, FileSpace(size=120))


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("a.stl", {"unit": "mm"}, "does not tell the scale"),
        ("a.stl", {"unit": "miles"}, "unit must be one of mm"),
        ("a.stl", {"size": 0}, "size must be a finite number from"),
        ("a.stl", {"size": float("nan")}, "size must be"),
        ("a.stl", {"size": 1e39}, "size must be"),
        ("a.stl", {"up": "x"}, "up must be one of y, z"),
        ("a.glb", {"size": 2}, "of .obj, .ply, .stl only"),
    ],
)
def test_what_cannot_be_meant_is_refused(scene, tmp_path, name, asked, said):
    with pytest.raises(InputError, match=said):
        export_scene(scene, tmp_path / name, **asked)
    assert list(tmp_path.iterdir()) == []
