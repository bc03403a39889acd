"""The profile of a body of revolution follows from its outline."""

import numpy as np
import pytest

from maquette.stages.outline import Outline
from maquette.stages.profile import LEAST_IOU, WINDOW, fitted, from_axis
from tests.stages.vases import PHOTO, photographed, vase


def test_a_fit_covers_its_mask():
    seen, labels = photographed(vase())
    outline = Outline.of(seen, PHOTO, labels, 1, WINDOW)
    fit = fitted(outline)
    assert fit.iou > LEAST_IOU
    met = np.isfinite(fit.shortened().body.first_met(outline.rays)).reshape(outline.own.shape)
    assert (met & outline.own).sum() > 0.96 * (met | outline.own).sum()


def test_rays_meet_a_level_plane_at_their_distance_from_the_axis():
    rays = np.array([[0.0, -1.0, -1.0], [0.0, -0.5, -1.0], [0.0, 0.5, -1.0]])
    found = from_axis(rays, np.array([-0.5]), np.array([0.0, -1.0]))
    assert found[:, 0] == pytest.approx([0.5, 0.0, np.inf])  # the last looks up
