"""Every method works with its networks on an accelerator: a graphics card, and a Mac's, which has
no float64.
"""

from functools import cache

import numpy as np
import pytest

from maquette.checkpoints.embedded import load_models
from maquette.methods.lookup import METHODS
from maquette.pipeline import generate
from tests.checkpoints.tiny_releases import write_midi, write_triposg
from tests.checkpoints.tiny_trellis import write_iscene, write_trellis
from tests.devices import install
from tests.tiny import write_photo

DEVICES = {"cuda": True, "mps": False}  # whether it has float64
# Each method on one of them, on that where it failed once; with ``-m slow`` on the other, too.
FAILED_ON = {"comboverse": "cuda", "coherent": "mps", "midi": "mps"}
PLACES = [
    pytest.param(
        method,
        device,
        marks=() if device == FAILED_ON.get(method, "cuda") else pytest.mark.slow,
    )
    for method in METHODS
    for device in DEVICES
]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return write_photo(tmp_path_factory.mktemp("photo"))


def made(method, photo, weights, device):
    own = {"iterations": 1} if method == "comboverse" else {}
    models = load_models(weights)  # of their own: they stay on the device
    return generate(*photo, models=models, method=method, device=device, steps=2, **own)


@pytest.fixture(scope="module")
def made_here(photo, tiny_weights):
    """What a method makes on the processor, once."""
    return cache(lambda method: made(method, photo, tiny_weights, "cpu"))


@pytest.mark.parametrize(("method", "device"), PLACES)
def test_every_method_makes_on_an_accelerator_what_it_makes_on_the_processor(
    method, device, photo, tiny_weights, made_here
):
    here = made_here(method)
    with install(device, float64=DEVICES[device]):
        there = made(method, photo, tiny_weights, device)
    assert there.provenance["device"] == device and here.provenance["device"] == "cpu"
    assert [f.label for f in there.failures] == [f.label for f in here.failures]
    for a, b in zip(here.instances, there.instances, strict=True):
        assert (a.label, a.seed) == (b.label, b.seed)
        np.testing.assert_allclose(b.box, a.box, atol=0.02)
        assert b.confidence == pytest.approx(a.confidence, abs=0.05)


WRITERS = {
    "trellis-iscene": write_iscene,
    "midi-3d": write_midi,
    "trellis-large": write_trellis,
    "triposg": write_triposg,
}


@pytest.mark.parametrize(
    ("model", "device", "objects"),
    [
        ("trellis-iscene", "cuda", 2),
        pytest.param("trellis-iscene", "mps", 2, marks=pytest.mark.slow),
        pytest.param("trellis-large", "cuda", 1, marks=pytest.mark.slow),
        ("trellis-large", "mps", 1),
        ("midi-3d", "cuda", 2),
        pytest.param("midi-3d", "mps", 2, marks=pytest.mark.slow),
        ("triposg", "cuda", 1),
        pytest.param("triposg", "mps", 1, marks=pytest.mark.slow),
    ],
)
def test_every_published_model_runs_on_an_accelerator(
    model, device, objects, tmp_path, monkeypatch
):
    monkeypatch.setattr("maquette.methods.published.CELLS", 16)
    monkeypatch.setattr("maquette.methods.triposg.VECTORS", 64)
    root = WRITERS[model](tmp_path)
    photo = write_photo(tmp_path / "photo", objects=objects)
    with install(device, float64=DEVICES[device]):
        scene = generate(*photo, weights=root, model=model, device=device, steps=1)
    assert len(scene.instances) == objects and scene.provenance["device"] == device
    half = {"cuda": "bfloat16", "mps": "float16"}[device]
    assert scene.provenance["memory"]["plan"].startswith(half)
