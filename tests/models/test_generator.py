"""The generator as a whole: who sees whom, and that a condition is encoded once for all steps."""

import pytest
import torch

from maquette.models.generator import Generator
from tests.tiny import FLOW, GENERATOR, ball_vae

SIDE = FLOW.resolution


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    generator = Generator(GENERATOR).eval()
    for parameter in generator.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return generator, ball_vae()


def given(rows):
    draw = torch.Generator().manual_seed(rows)
    crops = torch.randn(rows, 5, 32, 32, generator=draw)
    lifted = torch.randn(
        rows,
        FLOW.lift_channels,
        FLOW.lift_resolution,
        FLOW.lift_resolution,
        FLOW.lift_resolution,
        generator=draw,
    )
    return crops, lifted, torch.randn(rows, FLOW.channels, SIDE, SIDE, SIDE, generator=draw)


@torch.no_grad()
def test_velocity_is_the_network_at_one_noise_level(made):
    generator, vae = made
    crops, lifted, x = given(2)
    condition = generator.encode(crops, lifted, vae)
    torch.testing.assert_close(
        generator.velocity(condition)(x, 0.3),
        generator(x, torch.full((2,), 0.3), condition),
        atol=0,
        rtol=0,
    )
    assert (
        generator.velocity(condition)(x, 0.9) - generator.velocity(condition)(x, 0.3)
    ).abs().max() > 1e-4


@torch.no_grad()
def test_without_a_scene_nobody_sees_another(made):
    generator, vae = made
    crops, lifted, x = given(3)
    together = generator.velocity(generator.encode(crops, lifted, vae))(x, 0.5)
    order = torch.tensor([2, 0, 1])
    turned = generator.velocity(generator.encode(crops[order], lifted[order], vae))(x[order], 0.5)
    torch.testing.assert_close(turned, together[order], atol=1e-4, rtol=1e-4)
    alone = generator.velocity(generator.encode(crops[:1], lifted[:1], vae))(x[:1], 0.5)
    torch.testing.assert_close(alone[0], together[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_instances_see_the_scene_and_not_each_other(made):
    generator, vae = made
    crops, lifted, x = given(3)
    scene_of = torch.tensor([-1, 0, 0])

    def velocity(x, scene_of=scene_of):
        return generator.velocity(generator.encode(crops, lifted, vae), scene_of)(x, 0.5)

    plain = velocity(x)
    other = x.clone()
    other[2] += 1.0
    torch.testing.assert_close(velocity(other)[:2], plain[:2], atol=1e-5, rtol=0)
    other = x.clone()
    other[0] += 1.0
    assert (velocity(other)[1:] - plain[1:]).abs().amax((1, 2, 3, 4)).min() > 1e-4
    torch.testing.assert_close(
        velocity(x)[0], velocity(x, None)[0], atol=1e-5, rtol=0
    )  # the scene is itself alone
