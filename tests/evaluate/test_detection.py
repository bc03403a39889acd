import numpy as np
import pytest

from maquette.evaluate.detection import (
    Detection,
    average_precision,
    class_of,
    detections,
    precision_recall,
)
from maquette.geometry.oriented_boxes import yaw_box


def cube(x, scene="a", label="chair", confidence=1.0, yaw=0.0):
    return Detection(scene, label, yaw_box([x, 0, 0], [1, 1, 1], yaw), confidence)


def test_perfect_boxes_have_ap_100_in_any_order():
    truth = [cube(0), cube(5), cube(0, "b"), cube(9, label="bed")]
    assert average_precision(truth[::-1], truth) == {"bed": 100.0, "chair": 100.0, "mean": 100.0}


def test_a_hit_needs_scene_class_and_overlap():
    truth = [cube(0)]
    assert average_precision([cube(0, "b")], truth)["mean"] == 0.0
    assert average_precision([cube(0, label="bed")], truth)["mean"] == 0.0
    limit = (1 - 0.15) / 1.15  # IoU of two unit cubes a distance d apart: (1 - d) / (1 + d)
    assert average_precision([cube(limit - 1e-6)], truth)["mean"] == 100.0
    assert average_precision([cube(limit + 1e-3)], truth)["mean"] == 0.0


def test_only_the_first_on_a_true_box_is_a_hit():
    result = precision_recall([cube(0), cube(0.1), cube(5)], [cube(0), cube(5)])
    assert result.hits.tolist() == [True, False, True]
    np.testing.assert_allclose(result.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(result.recall, [1 / 2, 1 / 2, 1])
    assert result.average == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_confidence_orders_the_detections():
    truth = [cube(0)]
    sure = [cube(9, confidence=0.9), cube(0, confidence=0.1)]
    unsure = [cube(9, confidence=0.1), cube(0, confidence=0.9)]
    assert average_precision(sure, truth)["mean"] == pytest.approx(50.0)
    assert average_precision(unsure, truth)["mean"] == pytest.approx(100.0)


def test_nothing_found_and_nothing_true():
    assert average_precision([], [cube(0)]) == {"chair": 0.0, "mean": 0.0}
    assert average_precision([cube(0)], []) == {}


def test_names_give_classes():
    assert [class_of(n) for n in ("chair_2", "chair.002", "night stand 3", "bed", "007")] == [
        "chair",
        "chair",
        "night stand",
        "bed",
        "007",
    ]
    found = detections("s", {"chair_1": cube(0).box, "chair_2": cube(3).box}, {"chair_2": 0.5})
    assert [(d.label, d.confidence) for d in found] == [("chair", 1.0), ("chair", 0.5)]
