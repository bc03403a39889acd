"""Masks that nobody gave: found, said, written beside the scene, and kept when corrected."""

import json

import numpy as np
import pytest
from PIL import Image

import maquette
from maquette.cli import main
from maquette.masks import read_masks, write_masks
from tests.masks.pictures import disc

pytestmark = pytest.mark.usefixtures("coarse_fields")


@pytest.fixture
def plain(tmp_path):
    """Two discs on a plain ground."""
    image = np.full((96, 128, 3), 200, np.uint8)
    image[disc(96, 128, 35, 50, 18)] = (190, 60, 50)
    image[disc(96, 128, 90, 50, 16)] = (50, 90, 170)
    path = tmp_path / "plain.png"
    Image.fromarray(image).save(path)
    return path


def run(photo, out, weights, *options):
    fast = ["--steps", "1", "--weights", str(weights), "--no-preview"]
    return main(["generate", str(photo), "-o", str(out), *fast, *options])


def test_found_said_written_and_kept(plain, tiny_weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(plain, out, tiny_weights) == 0
    said = capsys.readouterr().out
    assert "no masks were given: 2 objects found" in said and "masks.png" in said
    masks = read_masks(out / "masks.png")
    assert [mask.label for mask in masks] == [1, 2]
    write_masks(masks[:1], out / "masks.png", overwrite=True)  # as a person corrects them
    assert run(plain, out, tiny_weights, "--overwrite", "--json") == 0
    told = json.loads(capsys.readouterr().out)["results"][0]
    assert told["proposed"] and [i["label"] for i in told["instances"]] == [1]


def test_nothing_found_is_one_line(tiny_weights, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise.repeat(2, 0).repeat(2, 1)).save(tmp_path / "busy.png")
    code = run(tmp_path / "busy.png", tmp_path / "out", tiny_weights)
    said = capsys.readouterr().err
    assert code != 0 and "none could be found" in said and "masks make" in said
    assert not (tmp_path / "out" / "scene.json").exists()


def test_python_finds_them_as_well(plain, tiny_weights):
    scene = maquette.generate(plain, weights=tiny_weights, steps=1, texture="none")
    assert [i.label for i in scene.instances] == [1, 2]
    assert "no masks were given" in scene.input.warnings[0]
