from dataclasses import replace

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.protocols import RAW
from maquette.evaluate.score import score_scene
from maquette.evaluate.summary import bootstrap_interval, summarise
from tests.evaluate.scenes import room

QUICK = replace(RAW, points=200)


def test_means_count_every_scene_and_every_miss():
    truth = room()
    some = {name: truth[name] for name in ("chair", "ball")}
    scores = [
        score_scene(truth, truth, QUICK),
        score_scene(some, truth, QUICK),
        score_scene({}, truth, QUICK),
    ]
    summary = summarise(scores)
    assert (summary["scenes"], summary["objects"], summary["misses"], summary["extra"]) == (
        3,
        9,
        4,
        0,
    )
    assert summary["protocol"] == "raw/1"
    assert summary["metrics"]["iou_b"]["mean"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    for metric in summary["metrics"].values():
        assert metric["low"] <= metric["mean"] <= metric["high"]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        low, high = bootstrap_interval(rng.normal(size=(40, 1)), resamples=400, seed=trial)
        inside += low[0] <= 0.0 <= high[0]
    assert 0.88 <= inside / 200 <= 0.98


def test_interval_narrows_with_more_scenes_and_repeats():
    rng = np.random.default_rng(1)
    width = [
        float(np.subtract(*bootstrap_interval(rng.normal(size=(n, 1)))[::-1])[0]) for n in (25, 400)
    ]
    assert 2.5 < width[0] / width[1] < 6.5
    table = rng.normal(size=(10, 2))
    np.testing.assert_array_equal(bootstrap_interval(table), bootstrap_interval(table))


def test_scores_of_different_protocols_are_not_averaged():
    truth = room()
    one = score_scene(truth, truth, QUICK)
    with pytest.raises(InputError, match="raw/1"):
        summarise([one, replace(one, protocol="iscene/1")])
    with pytest.raises(InputError, match="0 scores"):
        summarise([])
