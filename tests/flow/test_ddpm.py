"""The schedule and the sampler against closed forms: perfect denoisers give the data back,
Gaussians keep their moments.
"""

import pytest
import torch

from maquette.flow.ddpm import (
    LinearSchedule,
    add_noise,
    angular_velocity,
    data_from_angular,
    data_from_noise,
    ddim,
    noise_from_velocity,
)

SCHEDULE = LinearSchedule()
SIGNAL = SCHEDULE.signal()


def test_the_schedule_ends_in_noise_and_is_that_of_the_paper():
    assert SIGNAL[0] == pytest.approx(1 - 1e-4) and SIGNAL[-1] < 1e-4 and (SIGNAL.diff() < 0).all()
    assert SIGNAL[1] == pytest.approx((1 - 1e-4) * (1 - 1e-4 - (0.02 - 1e-4) / 999))
    assert SCHEDULE.level(0) == 0 and SCHEDULE.level(999) == 1


def test_noise_and_data_are_two_views_of_the_same():
    x0, eps = (
        torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
        .double()[:, :, None]
        .repeat(1, 1, 2, 1)
    )
    signal = SIGNAL[[0, 10, 400, 700, 999]]
    torch.testing.assert_close(data_from_noise(add_noise(x0, eps, signal), eps, signal), x0)


def test_noise_and_data_come_back_from_the_velocity():
    x0, eps = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(4)).double()
    signal = SIGNAL[[0, 10, 400, 700, 999]]
    x_t = add_noise(x0, eps, signal)
    velocity = angular_velocity(x0, eps, signal)
    torch.testing.assert_close(noise_from_velocity(x_t, velocity, signal), eps)
    torch.testing.assert_close(data_from_angular(x_t, velocity, signal), x0)
    error = data_from_angular(x_t, velocity + 0.1, signal) - x0
    assert (
        error.abs().max() <= 0.1
    )  # whatever the step; an error of eps would be multiplied by 1 / sqrt(a)


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_a_perfect_denoiser_gives_the_data_back(count):
    generator = torch.Generator().manual_seed(1)
    x0, noise = (torch.randn(4, 6, generator=generator).double() for _ in range(2))

    def perfect(x, step):
        return (x - SIGNAL[step].sqrt() * x0) / (1 - SIGNAL[step]).sqrt()

    torch.testing.assert_close(ddim(perfect, noise, SCHEDULE, count), x0, atol=1e-9, rtol=1e-9)


def test_the_best_denoiser_of_a_gaussian_samples_that_gaussian():
    mean = 1.5
    deviation = 0.2

    def best(x, step):  # E[eps | x_t] when x0 ~ N(mean, deviation^2)
        a = SIGNAL[step]
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * deviation**2 + 1 - a)

    drawn = ddim(
        best,
        torch.randn(20000, 1, generator=torch.Generator().manual_seed(2)).double(),
        SCHEDULE,
        1000,
    )
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.01) and float(
        drawn.std()
    ) == pytest.approx(deviation, rel=0.02)


def test_the_bound_holds_and_costs_nothing_when_it_is_wide():
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    assert ddim(lambda x, step: x * 0, noise, SCHEDULE, 10, bound=0.7).abs().max() <= 0.7
    torch.testing.assert_close(
        ddim(lambda x, step: x, noise, SCHEDULE, 10, bound=1e3),
        ddim(lambda x, step: x, noise, SCHEDULE, 10),
        atol=1e-3,
        rtol=1e-3,
    )


@pytest.mark.parametrize("count", [1, 5, 100])
def test_ddim_steps_descend_from_the_last_to_the_first(count):
    steps = SCHEDULE.ddim_steps(count)
    assert (
        len(steps) == count
        and steps[0] == 999
        and sorted(steps, reverse=True) == steps
        and (count == 1 or steps[-1] == 0)
    )


def test_every_step_is_told():
    seen = []
    ddim(
        lambda x, step: x, torch.ones(1, 1), SCHEDULE, 3, callback=lambda done, x: seen.append(done)
    )
    assert seen == [0, 1, 2]
