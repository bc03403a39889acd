from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

import maquette
from maquette.cli import main

pytestmark = pytest.mark.usefixtures("coarse_fields")

BUNDLED = Path(str(resources.files("maquette"))) / "assets" / "demo"


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """What is asked about settling; here nothing comes to rest, which has tests of its own."""
    asked = []
    monkeypatch.setattr("maquette.cli.generate.rests", lambda told: asked.append(told) or False)
    return asked


@pytest.mark.usefixtures("coarse_fields")
def test_demo_can_be_repeated_and_says_where_everything_is(tiny_weights, tmp_path, capsys, asked):
    command = ["demo", "-o", str(tmp_path / "demo"), "--weights", str(tiny_weights)]
    for seed in ("0", "1"):
        assert main([*command, "--seed", seed]) == 0
        said = capsys.readouterr()
        assert said.err == "" and "seconds:" in said.out
        for name in ("scene.glb", "scene.json", "preview.png"):
            assert str(tmp_path / "demo" / name) in said.out
    scene = maquette.load(tmp_path / "demo")
    assert asked == [None, None]  # as generate where nothing is said
    assert scene.provenance["options"]["seed"] == 1 and len(scene.instances) >= 3
    with Image.open(tmp_path / "demo" / "preview.png") as preview:
        assert min(preview.size) > 400


def test_demo_does_not_replace_somebody_elses_scene(tiny_weights, tmp_path, capsys):
    (tmp_path / "scene.glb").write_text("mine")
    assert main(["demo", "-o", str(tmp_path), "--weights", str(tiny_weights)]) == 1
    assert (
        "--overwrite" in capsys.readouterr().err and (tmp_path / "scene.glb").read_text() == "mine"
    )


@pytest.mark.parametrize("name", ["photo", "masks"])
def test_bundled_picture_is_small(name):
    (path,) = BUNDLED.glob(f"{name}.*")
    assert path.stat().st_size < 600_000
