"""What is to be expected of a shape: the cues are what they say, and the rule follows them."""

from dataclasses import replace

import numpy as np
import pytest

from maquette.stages.estimate import (
    BULK,
    CUES,
    CUT,
    KNOWN_F_SCORE,
    MEAN_F_SCORE,
    RELIEF,
    USUAL,
    cues_of,
    shape_estimate,
)
from maquette.types import ShapeEstimate
from tests.methods.worlds import world


@pytest.fixture(scope="module")
def perception():
    return world().perception


def label_of(perception) -> int:
    return int(np.unique(perception.picture.labels)[1])


def test_an_object_that_nobody_sees_has_no_estimate(perception):
    assert shape_estimate(perception, 99) is None


def test_bulk_is_the_ratio_of_the_visible_extents_and_relief_does_not_know_the_unit(perception):
    label = label_of(perception)
    bulk, relief, _ = cues_of(perception, label)
    points = perception.points[perception.picture.labels == label]
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    assert bulk == pytest.approx(np.log((high - low).min() / (high - low).max()))
    larger = replace(perception, points=3 * perception.points, depth=3 * perception.depth)
    assert cues_of(larger, label)[:2] == pytest.approx((bulk, relief), rel=1e-4)


def test_only_nearer_neighbours_cut_an_object(perception):
    label = label_of(perception)
    labels = np.zeros_like(perception.label_map)
    labels[10:30, 10:30] = label
    labels[10:30, 30:40] = label + 1  # along one of four sides
    depth = np.where(labels == label, 2.0, 3.0).astype(np.float32)
    behind = replace(perception, label_map=labels, given_depth=depth)
    assert cues_of(behind, label)[2] == 0.0
    depth = np.where(labels == label, 2.0, 1.0).astype(np.float32)
    before = replace(perception, label_map=labels, given_depth=depth)
    assert cues_of(before, label)[2] == pytest.approx(1 / 4, abs=0.05)


def test_the_worst_cue_is_the_reason(perception, monkeypatch):
    average = tuple(cue.mean for cue in CUES)
    for place, cue in enumerate((BULK, RELIEF, CUT)):
        for far, counted in ((-2, -2), (2, 2), (-9, -USUAL), (9, USUAL)):
            found = list(average)
            found[place] += far * cue.spread
            monkeypatch.setattr("maquette.stages.estimate.cues_of", lambda *_, found=found: found)
            made = shape_estimate(perception, 1)
            assert made.f_score == pytest.approx(np.clip(MEAN_F_SCORE + counted * cue.gain, 0, 1))
            assert made.reason == (cue.reason if far * cue.gain < 0 else "")


def test_a_known_shape_is_as_good_as_known_shapes_are(perception):
    label = label_of(perception)
    known = replace(perception, shapes={label: None})
    assert shape_estimate(known, label) == ShapeEstimate(KNOWN_F_SCORE)
    assert KNOWN_F_SCORE > MEAN_F_SCORE
