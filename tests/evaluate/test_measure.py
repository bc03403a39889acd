from dataclasses import replace

import numpy as np
import pytest

from maquette.evaluate.measure import (
    aligned_box_iou,
    chamfer_of,
    compare,
    compare_all,
    compare_object,
    miss_distance,
)
from maquette.evaluate.metrics import chamfer_distance, mean_distance, surface_distances
from maquette.evaluate.protocols import GEN3DSR, ISCENE, PIX3D, RAW
from maquette.evaluate.surfaces import pooled, sample_mesh
from maquette.geometry.transforms import rotation_y, similarity
from tests.evaluate.scenes import all_moved, chair, moved, room


def sampled(meshes, count=400, seed=0):
    return {
        name: sample_mesh(mesh, count, np.random.default_rng(seed)) for name, mesh in meshes.items()
    }


def test_raw_distances_are_those_of_the_points_and_threads_change_nothing():
    predicted = sampled(all_moved(room(), similarity(1.1)), seed=1)
    truth = sampled(room())
    pairs = {name: name for name in truth}
    whole, each = compare_all(predicted, truth, pairs, RAW, 1)
    expected = surface_distances(
        pooled(predicted.values(), 0).points, pooled(truth.values(), 0).points
    )
    np.testing.assert_allclose(whole.raw.to_truth, expected.to_truth)
    again, each_again = compare_all(predicted, truth, pairs, RAW, 3)
    np.testing.assert_array_equal(again.aligned.to_predicted, whole.aligned.to_predicted)
    assert each.keys() == each_again.keys() == truth.keys()
    assert compare_all({}, truth, {}, RAW, 1) == (None, {})


def test_objects_are_compared_in_the_protocols_own_units():
    truth = sampled(room())["chair"]
    larger = sample_mesh(
        moved(room()["chair"], similarity(3.0, None, [5, 5, 5])), 400, np.random.default_rng(1)
    )
    half = [compare_object(larger, truth, replace(RAW, object_half=h)).raw for h in (0.95, 0.475)]
    assert chamfer_distance(half[0]) == pytest.approx(4 * chamfer_distance(half[1]))
    assert (
        chamfer_distance(half[0])
        < 0.02
        < chamfer_distance(compare_object(larger, truth, GEN3DSR).raw)
    )  # "scene": as it stands
    assert PIX3D.object_half == 0.5


def test_normals_turn_with_the_alignment():
    truth = sample_mesh(chair(), 1500, np.random.default_rng(0))
    turned = sample_mesh(
        moved(chair(), similarity(1.0, rotation_y(0.8))), 1500, np.random.default_rng(1)
    )
    found = compare(turned, truth, "robust-icp", ISCENE)
    assert found.normals > 0.8 > compare(turned, truth, "none", ISCENE).normals


def test_the_protocol_chooses_its_chamfer_distance_and_what_a_miss_costs():
    distances = surface_distances(
        np.random.default_rng(0).random((50, 3)), np.random.default_rng(1).random((60, 3))
    )
    assert chamfer_of(distances, ISCENE) == chamfer_distance(distances) and chamfer_of(
        distances, GEN3DSR
    ) == mean_distance(distances)
    assert (
        miss_distance(0.5, ISCENE) == 0.5
        and miss_distance(0.5, GEN3DSR) == 0.5
        and miss_distance(1.0, ISCENE) == 2.0
    )


def test_flat_boxes_have_an_iou():
    surface = sampled(room())["box"]
    flat = type(surface)(
        surface.points * [1, 0, 1], surface.normals, surface.corners * [1, 0, 1], 1.0
    )
    assert aligned_box_iou(flat, flat, np.eye(4), RAW) == pytest.approx(1.0)
    assert aligned_box_iou(flat, flat, similarity(1.0, None, [0, 1, 0]), RAW) == 0.0
