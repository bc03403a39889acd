"""Multi-instance attention on the generator: one instance is the base model, order does not matter,
strangers do not meet.
"""

import pytest
import torch

from maquette.models.generator import Condition, Generator
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.nn.layers import middle_blocks
from tests.tiny import GENERATOR


def lively(model, scale=0.05):
    """Weights without the zeros that networks start with, which would hide what the inputs do."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def network(**changes):
    torch.manual_seed(0)
    return lively(
        MultiInstanceGenerator(
            MultiInstanceConfig(GENERATOR, **{"joint_blocks": 1, "tuned_blocks": 1} | changes)
        )
    )


@pytest.fixture(scope="module")
def given():
    torch.manual_seed(2)
    flow = GENERATOR.flow
    latent = (4, flow.channels, *(flow.resolution,) * 3)
    lift = (
        torch.randn(4, (flow.resolution // flow.patch) ** 3, flow.width),
        torch.randn(latent),
        None,
    )
    return (
        torch.randn(latent),
        torch.rand(4),
        Condition(torch.randn(4, GENERATOR.picture.tokens, flow.context_width), lift),
    )


def rows(given, index):
    x, t, condition = given
    lift = condition.lift[0][index], condition.lift[1][index], None
    return x[index], t[index], Condition(condition.context[index], lift)


@torch.no_grad()
def test_one_instance_is_the_base_model(given):
    model = network()
    base = Generator(GENERATOR).eval()
    base.load_state_dict(model.base.state_dict())
    for k in range(4):
        x, t, condition = rows(given, [k])
        assert torch.equal(model(x, t, condition, [1]), base(x, t, condition))


@torch.no_grad()
def test_without_joint_blocks_everyone_is_alone_and_with_them_nobody_is(given):
    model = network(joint_blocks=0)
    together = model(*given, [4])
    torch.testing.assert_close(
        together, torch.cat([model(*rows(given, [k]), [1]) for k in range(4)]), atol=1e-5, rtol=1e-5
    )
    joint = network()(*given, [4])
    assert ((joint - together).abs().amax((1, 2, 3, 4)) > 1e-3).all()


@torch.no_grad()
def test_permuting_the_instances_permutes_the_result(given):
    model = network(joint_blocks=2)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        model(*rows(given, order), [4]), model(*given, [4])[order], atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_scenes_of_a_batch_do_not_see_each_other(given):
    model = network()
    both = model(*given, [3, 1])
    torch.testing.assert_close(both[:3], model(*rows(given, [0, 1, 2]), [3]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both[3:], model(*rows(given, [3]), [1]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_scene_picture_adds_tokens_only_when_it_is_wanted(given):
    pictures = torch.randn(2, 5, GENERATOR.picture.size, GENERATOR.picture.size)
    condition = given[2]
    model = network()
    scene_of = torch.tensor([0, 1, 1, 0])
    seen = model.with_scene(condition, pictures, scene_of).context
    assert torch.equal(seen[:, : GENERATOR.picture.tokens], condition.context)
    torch.testing.assert_close(
        seen[0, GENERATOR.picture.tokens :], seen[3, GENERATOR.picture.tokens :]
    )
    assert not torch.allclose(
        seen[0, GENERATOR.picture.tokens :], seen[1, GENERATOR.picture.tokens :]
    )
    blind = network(scene_image=False)
    assert (
        blind.with_scene(condition, pictures, scene_of) is condition and blind.scene_token is None
    )


def test_only_attention_of_the_middle_blocks_is_tuned():
    model = network().freeze()
    tuned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    block = f"base.flow.blocks.{middle_blocks(2, 1)[0]}."
    assert "scene_token" in tuned and len(tuned) > 1
    assert all(
        name == "scene_token" or name.startswith((f"{block}self_attn", f"{block}cross_attn.to_kv"))
        for name in tuned
    )


@pytest.mark.parametrize(
    "blocks, count, expected",
    [(21, 5, range(8, 13)), (6, 3, range(2, 5)), (6, 6, range(6)), (6, 0, range(0))],
)
def test_the_middle_is_that_of_the_paper(blocks, count, expected):
    assert list(middle_blocks(blocks, count)) == list(expected)
