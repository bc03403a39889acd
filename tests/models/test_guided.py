"""Guided passes: one batch says what two passes say, and what does not change is made once."""

import dataclasses

import pytest
import torch

from maquette.models.guided import Kept, for_parts, guided_velocity, with_constants
from maquette.models.savings import ALL, PLAIN


def passes(parts):
    """Conditional velocities are t x, unconditional ones x - t."""
    return lambda x, t: torch.stack([x * t if conditional else x - t for conditional in parts])


def test_one_batch_and_two_passes_say_what_the_formula_says():
    x = torch.randn(2, 3)
    expected = (x - 0.7) + 4.0 * (0.7 * x - (x - 0.7))
    for savings in (ALL, dataclasses.replace(ALL, one_batch=False)):
        velocity = guided_velocity(passes, 4.0, (0.5, 1.0), savings)
        torch.testing.assert_close(velocity(x, 0.7), expected)
        torch.testing.assert_close(velocity(x, 0.4), 0.4 * x)


def test_the_unconditional_part_sees_zeros_or_one_of_them():
    tokens = torch.randn(2, 5, 3)
    seen, unseen = for_parts(tokens, (True, False))
    assert torch.equal(seen, tokens) and not unseen.any()
    attended, constant = with_constants(tokens, (True, False))
    assert torch.equal(attended, tokens) and torch.equal(constant, torch.zeros(2, 1, 3))
    assert with_constants(tokens, (True,))[1] is None
    assert with_constants(tokens, (False,))[0] is None


@pytest.mark.parametrize("savings, contexts, levels", [(ALL, 1, 2), (PLAIN, 3, 3)])
def test_contexts_are_made_once_and_modulations_once_for_each_level(savings, contexts, levels):
    made = []
    asked = []
    kept = Kept(
        lambda: made.append(1) or [len(made)],
        lambda t: asked.append(float(t)),
        torch.device("cpu"),
        savings.cache,
    )
    for t in (1.0, 0.5, 1.0):
        kept.contexts()
        kept.modulations(t)
    assert (len(made), len(asked)) == (contexts, levels)
