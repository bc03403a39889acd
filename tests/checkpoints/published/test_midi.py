"""MIDI-3D's four folders as one: what belongs where. The golden folder checks the numbers, end to
end.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maquette.checkpoints.published import midi
from maquette.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "golden" / "midi_pipeline"


@pytest.fixture(scope="module")
def config():
    return json.loads((GOLDEN / "config.json").read_text())


def test_every_part_has_its_prefix(config):
    with torch.device("meta"):
        networks = midi.build(config)
    tensors = load_file(GOLDEN / "model.safetensors")
    assert midi.shapes(networks) == {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    midi.load(networks, tensors)
    models = midi.models_of(networks, None, None)
    assert models.dino.config.channels == 7 and models.clip.projection is not None
    assert models.flow.config.joint_blocks == (1, 2, 3)


def test_tensors_of_no_part_are_named(config):
    networks = midi.build(config)
    with pytest.raises(CheckpointError, match="text_encoder"):
        midi.load(
            networks,
            load_file(GOLDEN / "model.safetensors") | {"text_encoder.weight": torch.zeros(1)},
        )
