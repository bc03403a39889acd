"""Rows: what the networks see of a label, and that rows of a batch do not mix."""

import torch

from maquette.geometry.transforms import similarity
from maquette.models.generator import Condition
from maquette.scene.latents import CHUNK, CubeRow, Sampling, encode, label_noise, sample
from tests.methods.worlds import world


def test_rows_are_encoded_each_on_its_own_in_any_number():
    w = world()
    rows = [CubeRow(1 + k % 2, similarity(1.0 - 0.1 * k)) for k in range(CHUNK + 2)]
    with torch.inference_mode():
        together = encode(w.models, w.perception, rows)
        last = encode(w.models, w.perception, rows[-1:])
    torch.testing.assert_close(together.context[-1:], last.context, atol=1e-4, rtol=1e-4)
    for many, one in zip(together.lift, last.lift):
        torch.testing.assert_close(many[-1:], one, atol=1e-4, rtol=1e-4)


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
