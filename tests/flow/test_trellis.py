"""TRELLIS's conventions: its guidance, interval, noise levels and data prediction, in maquette's
terms.
"""

import torch

from maquette.flow.trellis import (
    TrellisSampling,
    integrate,
    levels,
    predict_data,
    sample_guided,
    sampling_from_config,
)

RELEASED = {
    "name": "FlowEulerGuidanceIntervalSampler",
    "args": {"sigma_min": 1e-5},
    "params": {"steps": 25, "cfg_strength": 5.0, "cfg_interval": [0.5, 1.0], "rescale_t": 3.0},
}


def test_the_released_settings_are_read():
    assert sampling_from_config(RELEASED) == TrellisSampling()
    assert sampling_from_config({"cls": "FlowEulerSampler", "steps": 5}).weight == 1.0


def test_the_ninth_level_of_twelve_is_one_half():
    assert float(TrellisSampling(steps=12).schedule[9]) == 0.5


def test_strength_means_one_plus_s_times_conditional_minus_s_times_unconditional():
    noise = torch.randn(1, 3)
    sampling = TrellisSampling(steps=1, strength=2.0, interval=(0.0, 1.0))
    found = sample_guided(
        lambda x, t: torch.full_like(x, 5.0), lambda x, t: torch.full_like(x, 1.0), noise, sampling
    )
    torch.testing.assert_close(found, noise - (3 * 5.0 - 2 * 1.0))


def test_predicted_data_of_the_exact_velocity_is_the_data():
    x0 = torch.randn(4)
    eps = torch.randn(4)
    s = 1e-5
    t = 0.7
    x_t = (1 - t) * x0 + (s + (1 - s) * t) * eps
    torch.testing.assert_close(predict_data(x_t, (1 - s) * eps - x0, t, s), x0, atol=1e-6, rtol=0)


def test_every_step_is_traced():
    seen = []
    integrate(
        lambda x, t: x,
        torch.ones(1),
        TrellisSampling(steps=3),
        lambda step, x, x0: seen.append((step, float(x))),
    )
    assert [step for step, _ in seen] == [0, 1, 2] and seen[0][1] > seen[2][1]


def test_levels_keep_double_precision():
    assert levels(0.1, 3).dtype == torch.float64 and levels(0.1, 3).tolist() == [0.1] * 3
