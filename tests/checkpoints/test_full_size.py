"""The networks at their published size, on the meta device: every key and shape of the released
files, and nothing else.
"""

import json
from pathlib import Path

import pytest
import torch

from maquette.checkpoints.full_size import CONFIGS
from maquette.checkpoints.verify import model_of

KEYS = Path(__file__).parents[1] / "golden" / "keys"
NAMES = [name for name in CONFIGS if (KEYS / f"{name}.json").exists()]


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_shapes_are_those_of_the_release(name):
    config = CONFIGS[name]
    model = model_of(config, name)
    with torch.device("meta"):
        network = model.build(config)
    published = {
        key: tuple(shape)
        for key, (shape, _) in json.loads((KEYS / f"{name}.json").read_text()).items()
    }
    assert model.shapes(network) == published


def test_every_list_of_keys_is_used():
    assert {path.stem for path in KEYS.glob("*.json")} == set(NAMES)
