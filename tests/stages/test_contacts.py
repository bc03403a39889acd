"""All contacts at once: distances that were wrong become those that stand on each other."""

from dataclasses import replace

import numpy as np
import pytest

from maquette.stages.contacts import in_contact
from maquette.stages.frame import bottom_height
from maquette.types import GROUND, Support
from tests.stages.test_support import CRATE, CUP, TABLE, block, seen

SUPPORTS = {1: Support(GROUND), 2: Support(1), 3: Support(GROUND)}


def disturbed(picture, factors):
    depth = picture.depth.copy()
    for label, factor in factors.items():
        depth[picture.picture.labels == label] *= factor
    return replace(picture, depth=depth)


def error(found, truth, label):
    own = truth.picture.labels == label
    return float(np.abs(np.log(found.depth[own] / truth.depth[own])).mean())


def test_what_is_right_stays():
    truth, _ = seen({1: TABLE, 2: CUP, 3: CRATE})
    found = in_contact(truth, truth, SUPPORTS)
    assert max(error(found, truth, label) for label in (1, 2, 3)) < 0.01


@pytest.mark.parametrize("factor", [0.93, 1.08])
def test_a_cup_comes_nearer_to_its_table(factor):
    truth, _ = seen({1: TABLE, 2: CUP, 3: CRATE})
    wrong = disturbed(truth, {2: factor})
    found = in_contact(wrong, wrong, SUPPORTS)
    assert error(found, truth, 2) < 0.65 * error(wrong, truth, 2)
    assert max(error(found, truth, label) for label in (1, 3)) < 0.02


def test_objects_share_a_ground_and_chains_need_no_special_case():
    saucer = block((0.25, 0.06, 0.25), (0.1, -0.12, 0.05))
    cup = block((0.1, 0.1, 0.1), (0.1, -0.04, 0.05))
    truth, _ = seen({1: TABLE, 2: saucer, 3: cup, 4: CRATE})
    supports = {1: Support(GROUND), 2: Support(1), 3: Support(2), 4: Support(GROUND)}
    wrong = disturbed(truth, {1: 1.03, 2: 0.97, 3: 1.06, 4: 0.97})
    found = in_contact(wrong, wrong, supports)
    assert sum(error(found, truth, k) for k in supports) < 0.6 * sum(
        error(wrong, truth, k) for k in supports
    )
    bottoms = [bottom_height(found.points[found.picture.labels == k]) for k in (1, 4)]
    true = [bottom_height(truth.points[truth.picture.labels == k]) for k in (1, 4)]
    assert bottoms[0] - bottoms[1] == pytest.approx(true[0] - true[1], abs=0.02)


def test_an_object_starts_between_what_was_seen_and_its_box():
    """With nothing below it to be solved for, that is where it stays."""
    truth, _ = seen({1: TABLE, 2: CUP, 3: CRATE})
    raw = disturbed(truth, {2: 1.1})
    boxed = disturbed(truth, {2: 0.9})
    unseen = {2: Support(3)}  # nothing of the crate is below the cup
    found = in_contact(raw, boxed, unseen)
    own = truth.picture.labels == 2
    assert np.allclose(found.depth[own], np.sqrt(1.1 * 0.9) * truth.depth[own])


def test_nothing_known_changes_nothing():
    truth, _ = seen({1: TABLE, 2: CUP, 3: CRATE})
    found = in_contact(truth, truth, {1: Support(None), 2: Support(None)})
    assert np.array_equal(found.depth, truth.depth)
