"""``maquette export``: arguments in, files and words out."""

import json

import pytest
import trimesh

from maquette.cli import main
from tests.simulation.scenes import standing


@pytest.fixture
def folder(tmp_path):
    return standing().export(tmp_path / "room" / "scene.json").parent


def export(scene, out, *options):
    return main(["export", str(scene), "-o", str(out), *options])


@pytest.mark.parametrize(
    "suffix", ["glb", "obj", "ply", "stl", "json", "xml", "urdf", "sdf", "usda", "usdz"]
)
def test_every_format_is_written(folder, tmp_path, capsys, suffix):
    out = tmp_path / f"a.{suffix}"
    assert export(folder, out, "--size", "table=50cm") == 0
    assert out.exists() and str(out) in capsys.readouterr().out


def test_a_document_and_a_glb_are_scenes_too(folder, tmp_path):
    assert export(folder / "scene.json", tmp_path / "a.glb") == 0
    assert export(tmp_path / "a.glb", tmp_path / "a.xml", "--collision", "box") == 0


def test_options_arrive_and_the_summary_is_json(folder, tmp_path, capsys):
    options = ["--mass", "cup=0.25", "--mass", "1=7kg", "--static", "4", "--density", "100"]
    more = ["--size", "table=0.4m", "--collision", "hull", "--json", "--up", "y"]
    assert export(folder, tmp_path / "a.urdf", *options, *more) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["masses"] == pytest.approx(
        {"instance_1": 7, "instance_2": 0.25, "instance_4": 100 * 0.3 * 0.2 * 0.2 * 2**3}
    )
    assert told["metres_per_unit"] == pytest.approx(2) and told["remarks"] == []
    assert told["parts"] == {"instance_1": 1, "instance_2": 1, "instance_4": 1}
    text = (tmp_path / "a.urdf").read_text()
    assert "+Y up" in text and text.count('type="floating"') == 2


def test_a_size_without_a_name_is_the_longest_side_in_the_file(folder, tmp_path):
    out = tmp_path / "a.stl"
    assert export(folder, out, "--size", "120", "--unit", "mm", "--up", "z") == 0
    assert trimesh.load(out).extents.max() == pytest.approx(120, rel=1e-4)


def test_an_unknown_scale_is_said(folder, tmp_path, capsys):
    assert export(folder, tmp_path / "a.xml", "--quiet") == 0
    said = capsys.readouterr()
    assert said.out == "" and "scale unknown, assuming" in said.err and "--size" in said.err


def test_nothing_is_overwritten_unless_asked(folder, tmp_path, capsys):
    assert export(folder, tmp_path / "a.xml") == 0
    assert export(folder, tmp_path / "a.xml") == 1
    assert "already exists" in capsys.readouterr().err
    assert export(folder, tmp_path / "a.xml", "--overwrite") == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.fbx", [], "no format has the suffix '.fbx'"),
        ("a", [], "no format has the suffix ''"),
        ("a.xml", ["--unit", "mm"], "in metres"),
        ("a.obj", ["--density", "3"], "--density: only files for simulators"),
        ("a.obj", ["--static", "cup"], "--static: only files for simulators"),
        ("a.xml", ["--size", "sofa=1m"], "no object is called 'sofa'"),
        ("a.xml", ["--mass", "cup"], "NAME=VALUE"),
        ("a.xml", ["--density", "-1"], "density must be"),
        ("a.stl", ["--unit", "mm"], "does not tell the scale"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, tmp_path, capsys, name, options, said):
    assert export(folder, tmp_path / name, *options) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / name).exists()


def test_no_scene_is_refused(tmp_path, capsys):
    assert export(tmp_path / "nowhere", tmp_path / "a.xml") == 2
    assert capsys.readouterr().err.count("\n") == 1
