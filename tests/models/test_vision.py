"""Vision transformers: equivalences that hold for any weights. What the originals compute is in
tests/golden.
"""

import pytest
import torch

from maquette.models.vision import (
    CLIP_MEAN,
    CLIP_STD,
    VisionConfig,
    VisionTransformer,
    clip_config,
    normalise_colours,
    trellis_tokens,
    widened_patches,
)

TINY = VisionConfig(image_size=42, width=24, blocks=2, heads=2, registers=2)


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    made = VisionTransformer(config).eval()
    for parameter in made.parameters():
        parameter.data = 0.2 * torch.randn_like(parameter)
    return made


def test_tokens_are_class_registers_and_patches_in_row_order():
    made = network()
    image = torch.rand(2, 3, 42, 42)
    assert made(image).shape == (2, TINY.tokens, 24) and TINY.tokens == 1 + 2 + 9
    patches = made.patch_embed(image).flatten(2).transpose(1, 2)
    seen = []
    made.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    made(image)
    torch.testing.assert_close(seen[0][:, 3:], patches + made.pos_embed[:, 1:])
    torch.testing.assert_close(
        seen[0][:, 1:3], made.register_tokens.expand(2, -1, -1)
    )  # registers have no position


def test_positions_are_stretched_only_for_other_sizes():
    made = network()
    assert made.positions((3, 3)) is made.pos_embed
    wide = made.positions((3, 5))
    assert wide.shape == (1, 16, 24) and torch.equal(wide[:, :1], made.pos_embed[:, :1])
    constant = network()
    constant.pos_embed.data[:, 1:] = 0.7
    torch.testing.assert_close(constant.positions((4, 6))[:, 1:], torch.full((1, 24, 24), 0.7))


def test_pictures_do_not_see_each_other():
    made = network()
    images = torch.rand(3, 3, 42, 42)
    torch.testing.assert_close(made(images)[1:2], made(images[1:2]), atol=1e-5, rtol=1e-5)


def test_a_zero_channel_of_a_wide_convolution_is_the_narrow_network():
    """Seven channels, of which the last four have no weight, see what three channels see."""
    narrow = network()
    wide = VisionTransformer(
        VisionConfig(image_size=42, width=24, blocks=2, heads=2, registers=2, channels=7)
    ).eval()
    weight = torch.cat([narrow.patch_embed.weight, torch.zeros(24, 4, 14, 14)], 1)
    wide.load_state_dict(narrow.state_dict() | {"patch_embed.weight": weight})
    image = torch.rand(1, 7, 42, 42)
    torch.testing.assert_close(wide(image), narrow(image[:, :3]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 6, 7, 10])
def test_full_groups_of_three_are_normalised_and_the_rest_is_not(channels):
    image = torch.rand(2, channels, 4, 4)
    found = normalise_colours(image, CLIP_MEAN, CLIP_STD)
    for c in range(channels):
        plain = (
            image[:, c]
            if c >= channels // 3 * 3
            else (image[:, c] - CLIP_MEAN[c % 3]) / CLIP_STD[c % 3]
        )
        torch.testing.assert_close(found[:, c], plain)


def test_widened_weights_repeat_the_colours():
    weight = torch.randn(5, 3, 2, 2)
    wide = widened_patches(weight, 10)
    assert wide.shape == (5, 10, 2, 2) and all(
        torch.equal(wide[:, c], weight[:, c % 3]) for c in range(10)
    )


def test_condition_tokens_have_mean_zero_and_variance_one():
    tokens = trellis_tokens(network(), torch.rand(1, 3, 42, 42))
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(tokens.shape[:2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        tokens.var(-1, correction=0), torch.ones(tokens.shape[:2]), atol=1e-3, rtol=0
    )


def test_clip_summarises_its_class_token():
    made = network(clip_config(width=24, blocks=2, heads=2, image_size=28, projection=10))
    image = torch.rand(2, 3, 28, 28)
    expected = made.norm(made(image))[:, 0] @ made.projection.weight.T
    assert made.summary(image).shape == (2, 10) and made.patch_embed.bias is None
    torch.testing.assert_close(made.summary(image), expected, atol=1e-6, rtol=1e-5)


def test_precision_follows_the_weights():
    image = torch.rand(1, 3, 42, 56)
    assert network().to(torch.bfloat16)(image).dtype == torch.bfloat16
    blocks_only = network()
    exact = network()
    blocks_only.blocks.to(torch.bfloat16)
    for block in blocks_only.blocks:
        block.norm1.float(), block.norm2.float()
    found = blocks_only.normed(image)
    expected = exact.normed(image)
    assert (
        found.dtype == torch.float32
        and 0 < (found - expected).abs().max() < 0.2 * expected.abs().max()
    )
