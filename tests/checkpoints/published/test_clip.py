"""CLIP's image tower: names, the optional position ids, the activation of the file."""

import pytest
import torch

from maquette.checkpoints.published import clip
from maquette.checkpoints.published.names import to_published
from maquette.errors import CheckpointError
from tests.models.test_vision import network

CONFIG = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "projection_dim": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def test_the_round_trip_is_exact_with_and_without_position_ids():
    source = network(clip.vision_config(CONFIG))
    published = to_published(source.state_dict(), clip.NAMES)
    image = torch.rand(2, 3, 28, 28)
    for extra in ({}, {clip.OPTIONAL: torch.arange(5)[None]}):
        target = clip.build(CONFIG)
        clip.load(target, published | extra)
        assert torch.equal(target.summary(image), source.summary(image))
    assert clip.shapes(source) == {key: tuple(tensor.shape) for key, tensor in published.items()}


def test_the_activation_is_read_from_the_file():
    quick, exact = (
        clip.vision_config({**CONFIG, "hidden_act": name}) for name in ("quick_gelu", "gelu")
    )
    assert clip.vision_config(CONFIG) == quick != exact and exact.activation == "gelu"
    with pytest.raises(CheckpointError, match="'relu'"):
        clip.vision_config({"hidden_act": "relu"})


def test_run_summarises():
    made = network(clip.vision_config(CONFIG))
    image = torch.rand(1, 3, 28, 28)
    assert torch.equal(
        clip.run(made, {"pixel_values": image}, CONFIG)["image_embeds"], made.summary(image)
    )
