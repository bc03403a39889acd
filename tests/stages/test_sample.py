"""Rows: what the networks see of a label, and that rows of a batch do not mix."""

import torch

from maquette.models.generator import Condition
from maquette.stages.sample import Sampling, label_noise, sample
from tests.methods.worlds import world


def test_noise_is_the_seeds_and_the_labels():
    a, b, c = (label_noise(world().models, *given) for given in ((7, [3, 4]), (7, [4]), (8, [4])))
    assert torch.equal(a[1:], b) and not torch.equal(a[:1], b) and not torch.equal(b, c)


def test_sampling_starts_at_the_guess_with_the_noise_that_start_says():
    condition = Condition(
        torch.zeros(2, 1, 1),
        (torch.zeros(2, 1, 1), torch.full((2, 3, 2, 2, 2), 0.7), torch.zeros(2, 4, 4, 4, 4)),
    )
    noise = torch.randn(2, 3, 2, 2, 2)
    seen = []

    def velocity_of(condition):
        return lambda x, t: seen.append((t, x)) or torch.zeros_like(x)

    sample(velocity_of, condition, noise, 2, Sampling(start=0.5, temperature=1.0))
    assert [t for t, _ in seen] == [0.5, 0.25]
    torch.testing.assert_close(seen[0][1], 0.35 + 0.5 * noise)
    seen.clear()
    # Nothing is lifted: from noise alone.
    sample(
        velocity_of,
        Condition(condition.context, None),
        noise,
        2,
        Sampling(start=0.5, temperature=1.0),
    )
    assert seen[0][0] == 1.0 and torch.equal(seen[0][1], noise)
    seen.clear()
    sample(velocity_of, condition, noise, 1, Sampling(start=0.5, temperature=0.2))
    torch.testing.assert_close(seen[0][1], 0.35 + 0.1 * noise)
