"""The algebra of the flow: identities, exact integration, guidance."""

import torch

from maquette.flow.guidance import guide, guide_pair
from maquette.flow.path import data_from_velocity, interpolate, logit_normal_times, velocity_target
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule


def test_velocity_round_trip():
    x0 = torch.randn(4, 3, 2)
    noise = torch.randn(4, 3, 2)
    t = torch.tensor([0.0, 0.3, 0.8, 1.0])
    x_t = interpolate(x0, noise, t)
    torch.testing.assert_close(
        data_from_velocity(x_t, velocity_target(x0, noise), t), x0, atol=1e-6, rtol=1e-5
    )


def test_velocity_is_the_derivative_of_the_path():
    x0 = torch.randn(2, 5, dtype=torch.float64)
    noise = torch.randn(2, 5, dtype=torch.float64)
    h = 1e-6
    t = torch.full((2,), 0.4, dtype=torch.float64)
    slope = (interpolate(x0, noise, t + h) - interpolate(x0, noise, t - h)) / (2 * h)
    torch.testing.assert_close(slope, velocity_target(x0, noise), atol=1e-8, rtol=1e-6)


def test_euler_is_exact_on_a_straight_path_for_any_schedule():
    x0 = torch.randn(2, 5)
    noise = torch.randn(2, 5)
    for steps, shift in ((1, 1.0), (7, 3.0)):
        out = euler(lambda x, t: noise - x0, noise, shifted_schedule(steps, shift))
        torch.testing.assert_close(out, x0, atol=1e-5, rtol=1e-5)


def test_euler_recovers_a_gaussian():
    """For data N(2, 0.5^2) the exact velocity is known; sampling must reproduce mean and spread."""

    def velocity(x, t):
        mean = (1 - t) * 2.0
        var = ((1 - t) * 0.5) ** 2 + t**2
        x0 = 2.0 + (1 - t) * 0.25 / var * (x - mean)
        return (x - x0) / max(t, 1e-6)

    out = euler(
        velocity,
        torch.randn(20000, generator=torch.Generator().manual_seed(0)),
        shifted_schedule(200, 1.0),
    )
    assert abs(float(out.mean()) - 2.0) < 0.02 and abs(float(out.std()) - 0.5) < 0.02


def test_schedule_ends_and_shift():
    schedule = shifted_schedule(10, 3.0)
    assert schedule[0] == 1 and schedule[-1] == 0 and (schedule.diff() < 0).all()
    torch.testing.assert_close(shifted_schedule(10, 1.0), torch.linspace(1, 0, 11))
    assert schedule[5] == 0.75  # 3 * .5 / (1 + 2 * .5)


def test_guidance_weight_one_is_off_and_two_extrapolates():
    calls = []
    velocity = guide(lambda x, t: x + 1, lambda x, t: calls.append(t) or x, 1.0)
    assert torch.equal(velocity(torch.zeros(2), 0.5), torch.ones(2)) and not calls
    assert torch.equal(
        guide(lambda x, t: x + 1, lambda x, t: x, 2.0)(torch.zeros(2), 0.5), torch.full((2,), 2.0)
    )
    assert torch.equal(
        guide(lambda x, t: x + 1, lambda x, t: x, 2.0, (0.6, 1.0))(torch.zeros(2), 0.5),
        torch.ones(2),
    )


def test_noise_of_an_instance_does_not_depend_on_the_others():
    assert torch.equal(seeded_noise((2, 3), [5, 9])[1], seeded_noise((2, 3), [1, 2, 9])[2])


def test_times_lie_in_the_open_interval_and_lean_to_noise():
    t = logit_normal_times(4000, torch.Generator().manual_seed(0))
    assert t.min() > 0 and t.max() < 1 and 0.65 < float(t.median()) < 0.8


def test_guidance_of_pairs_is_guidance_and_saves_the_second_pass_outside_the_interval():
    def conditional(x, t):
        return x + t

    def unconditional(x, t):
        return x - 2 * t

    pairs = []
    together = guide_pair(
        lambda x, t: pairs.append(t) or (conditional(x, t), unconditional(x, t)),
        conditional,
        3.0,
        (0.4, 1.0),
    )
    apart = guide(conditional, unconditional, 3.0, (0.4, 1.0))
    x = torch.randn(3)
    assert all(torch.equal(together(x, t), apart(x, t)) for t in (0.2, 0.4, 0.9)) and pairs == [
        0.4,
        0.9,
    ]
