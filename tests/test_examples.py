"""Every example runs, in order, in one folder: each uses what those before it wrote. Tiny networks
stand in for the embedded ones.
"""

import csv
import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maquette
from maquette.checkpoints import embedded
from maquette.evaluate import load_pair
from maquette.export.read import load_named_meshes
from tests.app.live import start
from tests.tiny import save_tiny_weights

pytestmark = pytest.mark.usefixtures("coarse_fields", "few_points", "remembered_scenes")

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
CLIENT = next(path for path in EXAMPLES if path.stem.endswith("job_api_client"))  # needs a server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the examples work; the embedded weights are tiny ones meanwhile."""
    weights = save_tiny_weights(tmp_path_factory.mktemp("weights"))
    sums = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in weights.glob("*.safetensors")
    }
    (weights / "manifest.json").write_text(json.dumps(sums))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "embedded_folder", lambda: weights)
        patch.setattr("maquette.evaluate.sets.PROCEDURAL_ASSETS", 12)  # of 48, for example 09
        patch.chdir(tmp_path_factory.mktemp("examples"))
        yield Path.cwd()


SLOW = "compare_methods"  # makes the picture with every method, as tests of the methods do


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem.endswith(SLOW) else [])
        for path in EXAMPLES
        if path != CLIENT
    ],
    ids=lambda path: path.stem,
)
def test_example_runs_and_leaves_something(example, folder, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", [str(example), example.stem]
    )  # a folder to write to, for those that ask for one
    before = set(folder.rglob("*"))
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip() or set(folder.rglob("*")) - before


@pytest.mark.slow  # a server and a worker begin as users have them, as in tests/app
def test_the_client_fetches_a_scene_from_a_live_server(folder, tmp_path, monkeypatch, capsys):
    with start(tmp_path, worker=(), weights=(embedded.embedded_folder(),)) as live:
        monkeypatch.setenv("MAQUETTE_URL", f"http://{live.host}")
        runpy.run_path(str(CLIENT), run_name="__main__")
    said = capsys.readouterr().out
    made, truth = load_pair("from_server.glb", "truth.glb")
    assert "is there" in said and made and set(made) <= set(truth)


def test_the_files_of_the_examples_agree(folder):
    labels = {int(label) for label in np.unique(np.asarray(Image.open("masks.png"))) if label}
    made, truth = map(set, load_pair("scene.glb", "truth.glb"))
    assert truth == {f"instance_{label}" for label in labels}
    assert made and made <= truth
    before, edited = (set(load_named_meshes(f"{name}.glb")) for name in ("scene", "edited"))
    assert edited - before == {"floating"} and len(edited) == len(made)
    assert maquette.load("scene.json").provenance["method"] == "iscene"
    boxes = load_named_meshes("boxes.glb")  # the method of example 07
    assert set(boxes) <= before and boxes
    for mesh in boxes.values():
        mesh.merge_vertices(merge_tex=True)  # a texture has seams
        assert mesh.is_watertight
    with (folder / "run" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert losses[-1] < 0.9 * losses[0]
