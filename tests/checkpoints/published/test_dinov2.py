"""DINOv2: three names for the same numbers, the mask token that nobody needs, configurations."""

import pytest
import torch

from maquette.checkpoints.published import dinov2
from maquette.checkpoints.published.names import to_published
from maquette.errors import CheckpointError
from maquette.models.vision import VisionConfig, VisionTransformer
from tests.models.test_vision import network

CONFIG = VisionConfig(image_size=42, width=24, blocks=2, heads=2, registers=2)


def schemes(source):
    hub = to_published(source.state_dict(), dinov2.HUB_NAMES)
    four = to_published(source.state_dict(), dinov2.TRANSFORMERS_NAMES)
    five = {
        key.replace("attention.attention.query", "attention.q_proj")
        .replace("attention.attention.key", "attention.k_proj")
        .replace("attention.attention.value", "attention.v_proj")
        .replace("attention.output.dense", "attention.o_proj"): tensor
        for key, tensor in four.items()
    }
    return {"hub": hub, "transformers 4": four, "transformers 5": five}


@pytest.mark.parametrize("scheme", ["hub", "transformers 4", "transformers 5"])
def test_each_naming_scheme_gives_the_same_network(scheme):
    source = network(CONFIG)
    target = VisionTransformer(CONFIG)
    dinov2.load(target, schemes(source)[scheme])
    image = torch.rand(1, 3, 42, 42)
    assert torch.equal(target(image), source(image))


def test_the_mask_token_is_part_of_the_file_and_not_of_the_network():
    source = network(CONFIG)
    target = VisionTransformer(CONFIG)
    dinov2.load(target, schemes(source)["hub"] | {"mask_token": torch.zeros(1, 24)})
    assert (
        dinov2.hub_shapes(target)["mask_token"]
        == dinov2.transformers_shapes(target)["embeddings.mask_token"]
        == (1, 24)
    )


def test_a_missing_value_projection_is_named():
    tensors = schemes(network(CONFIG))["transformers 4"]
    del tensors["encoder.layer.1.attention.attention.value.weight"]
    with pytest.raises(CheckpointError, match="query, key and value"):
        dinov2.load(VisionTransformer(CONFIG), tensors)


def test_configurations_of_both_origins():
    hub = dinov2.hub_config(
        {
            "args": {
                "img_size": 42,
                "embed_dim": 24,
                "depth": 2,
                "num_heads": 2,
                "num_register_tokens": 2,
            }
        }
    )
    assert hub == CONFIG
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 42}
    other = dinov2.transformers_config({**sizes, "num_channels": 7})
    assert (other.channels, other.registers, other.antialias, other.eps) == (7, 0, False, 1e-6)
    assert dinov2.hub_config({}) == VisionConfig()


@pytest.mark.parametrize(
    "read, config",
    [
        (dinov2.hub_config, {"args": {"ffn_layer": "swiglu"}}),
        (dinov2.transformers_config, {"use_swiglu_ffn": True}),
    ],
)
def test_other_feed_forward_layers_are_refused(read, config):
    with pytest.raises(CheckpointError, match="not supported"):
        read(config)
