import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.readers import sources_of
from maquette.geometry.cameras import project
from tests.cli.test_evaluate import write as write_glb


def room():
    """A table, a cup on it and a chair, in metres, far from the origin; a floor and a wall that are
    no objects.
    """
    make = trimesh.creation
    parts = {
        "obj_table": make.box((1.2, 0.7, 0.8)).apply_translation((5.0, 1.35, 2.0)),
        "cup": make.cylinder(0.1, 0.3).apply_translation((5.2, 1.85, 2.0)),
        "chair#2": make.box((0.5, 0.9, 0.5)).apply_translation((6.0, 1.45, 2.0)),
        "Floor_01": make.box((9.0, 0.02, 9.0)).apply_translation((5.0, 0.99, 2.0)),
        "bg_Window": make.box((9.0, 3.0, 0.02)).apply_translation((5.0, 2.5, -2.5)),
    }
    return parts


def test_the_photo_shows_the_truth_and_the_building_is_left_out(tmp_path):
    write_glb(room(), tmp_path / "rooms.glb")
    (source,) = sources_of(tmp_path / "rooms.glb", "glb")
    case = source.load()
    assert source.name == f"{tmp_path.name}/rooms" and {m.name for m in case.scene_input.masks} <= {
        "obj_table",
        "cup",
        "chair#2",
    }
    assert len(case.truth) >= 2 and case.scene_input.image.shape == (512, 512, 3)
    for mask in case.scene_input.masks:
        pixel, _ = project(case.camera, case.truth[f"instance_{mask.label}"].vertices)
        rows, columns = np.nonzero(mask.mask)
        assert (pixel.min(0) - 1 <= (columns.min(), rows.min())).all() and (
            pixel.max(0) + 1 >= (columns.max(), rows.max())
        ).all()
    bounds = np.concatenate([m.bounds for m in case.truth.values()])
    assert np.ptp(bounds, axis=0).max() == pytest.approx(1.0, abs=1e-4)


def test_the_picture_is_a_function_of_the_file(tmp_path):
    for name in ("a.glb", "b.glb"):
        write_glb(room(), tmp_path / name)
    first, second = sources_of(tmp_path, "glb")
    assert [source.name.split("/")[1] for source in (first, second)] == ["a", "b"]
    assert np.array_equal(first.load().scene_input.image, first.load().scene_input.image)
    assert not np.array_equal(first.load().camera.position, second.load().camera.position)


def test_nodes_that_nobody_can_see_take_no_place(tmp_path):
    nothing = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    parts = {name: part for name, part in room().items() if name == "obj_table"}
    write_glb(parts | {"speck": nothing}, tmp_path / "one.glb")
    case = sources_of(tmp_path, "glb")[0].load()
    assert [mask.name for mask in case.scene_input.masks] == ["obj_table"]


def test_files_without_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no \.glb"):
        sources_of(tmp_path, "glb")
    write_glb({"floor": trimesh.creation.box()}, tmp_path / "empty.glb")
    with pytest.raises(InputError, match="no node is an object"):
        sources_of(tmp_path, "glb")[0].load()
