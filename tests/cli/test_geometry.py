"""From files of a sensor to a scene in metres, on the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from maquette import load
from maquette.cli import main
from maquette.masks.write import write_masks
from tests.given.scenery import scenery

pytestmark = pytest.mark.usefixtures("coarse_fields")


@pytest.fixture
def files(tmp_path):
    truth = scenery()
    Image.fromarray(truth.given.image).save(tmp_path / "desk_rgb.png")
    write_masks(truth.given.masks, tmp_path / "desk_seg.png")
    depth = np.nan_to_num(1000 * truth.depth, posinf=0).round().astype(np.uint16)
    Image.fromarray(depth).save(tmp_path / "desk_depth.png")
    (tmp_path / "desk_intrinsics.txt").write_text("150 150 79.5 59.5")
    return tmp_path


@pytest.fixture
def generate(files, tiny_weights):
    """The command; its code and the folder of the scene."""
    out = files / "out"
    photo, masks = str(files / "desk_rgb.png"), str(files / "desk_seg.png")
    arguments = ["generate", photo, "--masks", masks, "-o", str(out)]
    arguments += ["--weights", str(tiny_weights), "--steps", "1", "--no-preview", "--quiet"]
    return lambda *more: (main([*arguments, *more]), out)


def test_a_metric_depth_makes_a_scene_in_metres(files, generate):
    code, out = generate("--depth", str(files), "--intrinsics", str(files))
    assert code == 0
    scene = load(out)
    assert scene.metres_per_unit > 0
    assert scene.input.geometry.metric and scene.input.geometry.depth.shape == (120, 160)
    distance = np.linalg.norm(scene.camera.position - scene[1].box.mean(0))
    true = np.linalg.norm(scenery().camera.position - scenery().boxes[1].mean(0))
    assert distance * scene.metres_per_unit == pytest.approx(true, rel=0.2)


def test_what_does_not_fit_is_one_line_and_no_scene(files, generate, capsys):
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(files / "desk_depth.png")
    code, out = generate("--depth", str(files / "desk_depth.png"))
    assert code == 2 and not (out / "scene.json").exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "9 x 9" in line and "160 x 120" in line


def test_inspect_says_unit_range_and_sizes(files, capsys):
    arguments = ["geometry", "inspect", str(files / "desk_depth.png")]
    arguments += ["--image", str(files / "desk_rgb.png"), "--masks", str(files / "desk_seg.png")]
    arguments += ["--intrinsics", str(files / "desk_intrinsics.txt")]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "mm, for it holds whole numbers" in told and "object 1" in told
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] and len(found["sizes"]) == 2
