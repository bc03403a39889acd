"""The baseline: every object from its own pixels alone."""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.methods.base import Sampling
from maquette.methods.independent import INDEPENDENT, make_independent
from maquette.stages.crop import ZOOM_MARGIN
from maquette.stages.seeds import instance_seed
from tests.methods.worlds import FAST, result, world


def run(labels, seed=0):
    return result(make_independent, world().models, labels, dataclasses.replace(FAST, seed=seed))


def test_company_does_not_matter_at_all():
    both = {s.label: s for s in run([2, 1]).shapes}
    alone = run([1]).shapes[0]
    assert torch.equal(both[1].volume, alone.volume) and both[
        1
    ].seed == alone.seed == instance_seed(0, 1)


def test_an_object_stands_around_its_visible_surface_with_room_behind_it():
    for shape in run([1, 2]).shapes:
        seen = world().perception.visible_box(shape.label)
        side = shape.scene_from_cube[0, 0]
        low = shape.scene_from_cube[:3, 3] - side / 2
        high = shape.scene_from_cube[:3, 3] + side / 2
        longest = (seen[1] - seen[0]).max()
        assert (
            side == pytest.approx(ZOOM_MARGIN * longest)
            and (low < seen[0]).all()
            and (seen[1] < high).all()
        )
        np.testing.assert_allclose((low + high)[:2], (seen[0] + seen[1])[:2], atol=1e-6)
        assert high[2] - seen[1, 2] == pytest.approx(
            (ZOOM_MARGIN - 1) / 2 * longest
        )  # behind: the camera looks along -Z


def test_remaking_with_the_same_seed_makes_the_same():
    w = world()
    shape = run([1]).shapes[0]
    with torch.inference_mode():
        again, other = (
            INDEPENDENT.remake(w.models, w.perception, 1, shape.state, Sampling(2, 2, seed=seed))
            for seed in (0, 1)
        )
    assert torch.equal(again.volume, shape.volume) and not torch.equal(other.volume, shape.volume)


def test_an_object_without_pixels_fails_alone():
    outcome = run([1, 9])
    assert [s.label for s in outcome.shapes] == [1] and [f.label for f in outcome.failures] == [9]
