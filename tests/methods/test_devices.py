"""Every method works with its networks on an accelerator: a graphics card, and a Mac's, which has no
float64.
"""

import numpy as np
import pytest

from maquette.checkpoints.embedded import load_models
from maquette.methods.lookup import METHODS
from maquette.pipeline import generate
from tests.devices import install
from tests.tiny import write_photo

DEVICES = {"cuda": True, "mps": False}  # whether it has float64


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return write_photo(tmp_path_factory.mktemp("photo"))


def made(method, photo, weights, device):
    own = {"iterations": 1} if method == "comboverse" else {}
    models = load_models(weights)  # of their own: they stay on the device
    return generate(*photo, models=models, method=method, device=device, steps=2, **own)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_on_an_accelerator_what_it_makes_on_the_processor(
    method, device, photo, tiny_weights
):
    here = made(method, photo, tiny_weights, "cpu")
    with install(device, float64=DEVICES[device]):
        there = made(method, photo, tiny_weights, device)
    assert there.provenance["device"] == device and here.provenance["device"] == "cpu"
    assert [f.label for f in there.failures] == [f.label for f in here.failures]
    for a, b in zip(here.instances, there.instances, strict=True):
        assert (a.label, a.seed) == (b.label, b.seed)
        np.testing.assert_allclose(b.box, a.box, atol=0.02)
        assert b.confidence == pytest.approx(a.confidence, abs=0.05)
