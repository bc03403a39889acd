"""One damaged scene costs one scene: its source raises InputError and nothing else."""

import json
import pickle
from functools import partial

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.readers import sources_of
from maquette.evaluate.readers.source import FileSource
from maquette.geometry.transforms import similarity
from tests.cli.test_evaluate import write as write_glb
from tests.evaluate.readers import test_folder, test_front


def fail(message):
    raise UnboundLocalError(message)


def test_a_source_travels_and_raises_nothing_but_input_errors():
    source = FileSource("set/a", "a", "set/a.glb", partial(fail, "mesh"))
    with pytest.raises(InputError, match=r"set/a\.glb: cannot be read \(UnboundLocalError: mesh"):
        pickle.loads(pickle.dumps(source)).load()


def camera(**changes):
    fields = {"width": 80, "height": 60, "world_from_camera": np.eye(4).tolist()}
    fields["intrinsics"] = [[60, 0, 40], [0, 60, 30], [0, 0, 1]]
    return json.dumps(fields | changes)


def broken_mesh(path, faces=None, vertex=None):
    nodes = test_folder.boxes("a", "b")
    if vertex is not None:
        nodes["a"].vertices[0] = vertex
    write_glb(nodes, path)


SPOILED = {
    "camera.json": [
        "[" * 100_000,
        "[1, 2]",
        "\ud800".encode("utf-16", "surrogatepass"),
        camera(width=10**400),
        camera(width=float("nan")),
        camera(world_from_camera=np.full((4, 4), np.nan).tolist()),
        camera(world_from_camera=similarity(1.0, None, [np.inf, 0, 0]).tolist()),
        camera(intrinsics=[[np.nan] * 3] * 3),
        camera(intrinsics=np.zeros((3, 3)).tolist()),
        camera(intrinsics=[1, 2]),
    ],
    "labels.json": ["[1]", '{"1": ["a"]}', '{"1": {"a": 1}, "2": 5}', "[" * 2_000],
    "objects.json": [
        '{"focal": {"ratio": "x", "source": 1}}',
        '{"focal": {"ratio": NaN, "source": "x"}}',
        '{"focal": [1]}',
        '{"camera": 3}',
    ],
    "truth.glb": [b"", b"glTF", b"glTF\x02\0\0\0" + bytes(40)],
    "photo.jpg": [b"", b"\xff\xd8\xff" + bytes(100)],
    "masks": [],
}


@pytest.mark.parametrize(
    "name, content", [(name, content) for name in SPOILED for content in SPOILED[name]]
)
def test_a_folder_with_a_damaged_file_is_refused_in_one_line(tmp_path, name, content):
    test_folder.write(tmp_path / "s" / "one", test_folder.boxes("a", "b"))
    path = tmp_path / "s" / "one" / name
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    with pytest.raises(InputError) as caught:
        sources_of(tmp_path, "folder")[0].load()
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("form", ["folder", "glb"])
def test_meshes_of_numbers_that_are_none_are_refused(tmp_path, form):
    folder = tmp_path / "s" / "one"
    test_folder.write(folder, test_folder.boxes("a", "b"))
    broken_mesh(folder / "truth.glb", vertex=np.nan)
    place = tmp_path if form == "folder" else folder / "truth.glb"
    with pytest.raises(InputError, match=r"'a'|'instance_1'|truth\.glb"):
        sources_of(place, form)[0].load()


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "a/../../b"])
def test_names_in_the_data_lead_nowhere_else(tmp_path, name):
    test_front.write(tmp_path, rooms=2)
    (tmp_path / "midi_room_ids.json").write_text(json.dumps([name, "house-1/Bedroom-1"]))
    hostile, good = sources_of(tmp_path, "midi-3dfront")
    assert ".." not in hostile.name and "etc" not in hostile.name
    with pytest.raises(InputError, match="leads out"):
        hostile.load()
    assert good.load().truth


@pytest.mark.parametrize("entry", [None, 5, "Table_1", {"a": 1}, [[1]], []])
def test_a_room_with_a_wrong_list_costs_only_itself(tmp_path, entry):
    test_front.write(tmp_path, rooms=2)
    lists = [entry, list(test_front.NAMES)]
    (tmp_path / "midi_furniture_ids.json").write_text(json.dumps(lists))
    wrong, good = sources_of(tmp_path, "midi-3dfront")
    with pytest.raises(InputError):
        wrong.load()
    assert good.load().truth


@pytest.mark.parametrize(
    "points, normals", [((5, 3), (4, 3)), ((0, 3), (0, 3)), ((5, 2), (5, 2)), ("nan", (5, 3))]
)
def test_surfaces_that_are_none_are_refused(tmp_path, points, normals):
    test_front.write(tmp_path, rooms=1, surfaces=True)
    arrays = [np.full((5, 3), np.nan) if s == "nan" else np.ones(s) for s in (points, normals)]
    path = tmp_path / "3D-FRONT-SURFACE/house-0/Bedroom-0/Chair_aa_2.npy"
    np.save(path, dict(zip(("surface_points", "surface_normals"), arrays)))
    with pytest.raises(InputError, match=r"Chair_aa_2\.npy"):
        sources_of(tmp_path, "midi-3dfront")[0].load()


def test_only_the_first_scenes_are_looked_at(tmp_path):
    test_front.write(tmp_path, rooms=3)
    assert len(sources_of(tmp_path, "midi-3dfront", 2)) == 2
