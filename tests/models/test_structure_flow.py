"""The generator's promises: the statements of I-Scene as executable laws, on tiny random
weights.
"""

import torch

from maquette.models.generator import Condition, Generator, GeneratorConfig
from maquette.models.image_encoder import PictureEncoderConfig
from maquette.models.structure_flow import StructureFlow, StructureFlowConfig, guess_velocity

TINY = StructureFlowConfig(
    resolution=4,
    channels=4,
    width=48,
    blocks=4,
    heads=2,
    context_width=16,
    scene_context_blocks=2,
    lift_resolution=16,
    lift_widths=(8, 16),
)


def tiny_flow(seed=0, **changes):
    torch.manual_seed(seed)
    flow = StructureFlow(StructureFlowConfig(**{**TINY.__dict__, **changes}))
    for parameter in flow.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return flow.eval()


def to_latent(volume):
    """A stand-in for the VAE's encoder: four channels on a coarser grid."""
    return torch.nn.functional.adaptive_avg_pool3d(volume, 4)


def inputs(rows, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, 4, 4, 4, generator=g)
    context = torch.randn(rows, 5, 16, generator=g)
    return (
        x,
        torch.full((rows,), 0.7),
        context,
        torch.randn(rows, TINY.lift_channels, 16, 16, 16, generator=g),
    )


def test_identical_scene_and_instance_equal_the_base_model():
    flow = tiny_flow()
    x, t, c, lifted = (y.repeat(2, *[1] * (y.ndim - 1)) for y in inputs(1))
    lift = flow.encode_lift(lifted, to_latent)
    with_scene = flow(x, t, c, lift, torch.tensor([-1, 0]))
    torch.testing.assert_close(with_scene[1], flow(x, t, c, lift)[1], atol=1e-5, rtol=1e-5)


def test_without_scene_instances_are_independent():
    flow = tiny_flow()
    x, t, c, lifted = inputs(3)
    lift = flow.encode_lift(lifted, to_latent)
    together = flow(x, t, c, lift, torch.tensor([-1, -1, -1]))
    for i in range(3):
        alone = flow(x[i : i + 1], t[:1], c[i : i + 1], tuple(y[i : i + 1] for y in lift))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_scene_matters_when_there_is_one():
    flow = tiny_flow()
    x, t, c, lifted = inputs(2)
    lift = flow.encode_lift(lifted, to_latent)
    assert (
        flow(x, t, c, lift, torch.tensor([-1, 0]))[1] - flow(x, t, c, lift)[1]
    ).abs().max() > 1e-4


def test_permuting_instances_permutes_the_output_and_adding_one_changes_none():
    flow = tiny_flow()
    x, t, c, lifted = inputs(4)
    lift = flow.encode_lift(lifted, to_latent)
    scene_of = torch.tensor([-1, 0, 0, 0])
    order = [0, 3, 1, 2]
    out = flow(x, t, c, lift, scene_of)
    permuted = flow(x[order], t, c[order], tuple(y[order] for y in lift), scene_of)
    torch.testing.assert_close(permuted, out[order], atol=1e-5, rtol=1e-5)
    fewer = flow(x[:3], t[:3], c[:3], tuple(y[:3] for y in lift), scene_of[:3])
    torch.testing.assert_close(fewer, out[:3], atol=1e-5, rtol=1e-5)


def test_no_scene_context_blocks_is_the_ablation():
    flow = tiny_flow(scene_context_blocks=0)
    x, t, c, lifted = inputs(2)
    lift = flow.encode_lift(lifted, to_latent)
    assert torch.equal(flow(x, t, c, lift, torch.tensor([-1, 0])), flow(x, t, c, lift))


def test_scene_context_sits_in_the_middle_as_published():
    assert list(StructureFlowConfig(blocks=24, scene_context_blocks=5).scene_context_range) == [
        10,
        11,
        12,
        13,
        14,
    ]


def test_guess_velocity_is_the_posterior_mean_of_a_gaussian():
    """Monte Carlo: regress eps - x0 on x_t for x0 ~ N(guess, variance)."""
    g = torch.Generator().manual_seed(0)
    guess = 0.7
    variance = 0.25
    t = 0.6
    x0 = guess + variance**0.5 * torch.randn(400_000, generator=g)
    eps = torch.randn(400_000, generator=g)
    x_t = (1 - t) * x0 + t * eps
    v = eps - x0
    slope = ((x_t - x_t.mean()) * (v - v.mean())).mean() / x_t.var()
    at = torch.tensor([0.3, 1.2]).reshape(2, 1, 1, 1, 1)
    expected = v.mean() + slope * (at - x_t.mean())
    out = guess_velocity(at, torch.full((2,), t), torch.full_like(at, guess), variance)
    torch.testing.assert_close(out, expected, atol=0.02, rtol=0.02)


def test_untrained_generator_samples_around_its_guess():
    torch.manual_seed(0)
    model = Generator(
        GeneratorConfig(
            flow=TINY, picture=PictureEncoderConfig(size=16, width=16, widths=(8,), blocks=1)
        )
    ).eval()
    from maquette.flow.sample import euler
    from maquette.flow.schedule import shifted_schedule

    with torch.no_grad():
        tokens = model.picture(torch.randn(1, 5, 16, 16))
        condition = Condition(
            tokens,
            model.flow.encode_lift(
                torch.randn(1, model.flow.config.lift_channels, 16, 16, 16), to_latent
            ),
        )
        condition = Condition(
            condition.context.expand(64, -1, -1),
            tuple(y.expand(64, *y.shape[1:]) for y in condition.lift),
        )
        out = euler(model.velocity(condition), torch.randn(64, 4, 4, 4, 4), shifted_schedule(40))
    spread = (out - condition.lift[1]).std()
    assert (
        abs(float(spread) - TINY.guess_variance**0.5) < 0.05
    )  # the output layer starts at zero, so only the skip is at work
