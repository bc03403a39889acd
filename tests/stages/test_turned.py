"""A body of revolution: its surface is where its distance is nought, and that is a mesh's."""

import cv2
import numpy as np
import pytest
import trimesh

from maquette.geometry.transforms import similarity
from maquette.stages.shapes import PlacedShape
from maquette.stages.turned import TurnedBody
from tests.stages.vases import VASE, vase


def test_rays_meet_a_cylinder_where_they_should():
    cylinder = TurnedBody(
        np.array([0.0, -1.0]), np.linspace(-0.4, 0.4, 9), np.full(9, 0.2), np.eye(3)
    )
    rays = np.array([[0.0, 0.0, -1.0], [0.1, 0.0, -1.0], [0.5, 0.0, -1.0], [0.0, -1.0, -1.0]])
    at = (2 - np.sqrt(4 - 4 * 1.01 * 0.96)) / (2 * 1.01)
    assert cylinder.first_met(rays) == pytest.approx([0.8, at, np.inf, np.inf], abs=2e-3)


def test_distances_are_those_of_a_mesh():
    body = TurnedBody(np.array([0.0, -1.0]), VASE[1:5, 1], VASE[1:5, 0], np.eye(3))
    placed = PlacedShape.at(body, np.array([0.0, 0.0, 2.0]), 2.0)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 3))
    turned = np.column_stack([np.hypot(points[:, 0], points[:, 2]), points[:, 1]]) / 2.0
    polygon = VASE.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(polygon, row.tolist(), False) > 0 for row in turned])
    away = placed.distance(points)
    clear = np.abs(away) > 0.01
    assert np.array_equal(away[clear] < 0, inside[clear])
    mesh = vase().apply_transform(similarity(2.0))
    on = trimesh.sample.sample_surface(mesh, 500, seed=0)[0]
    assert np.abs(placed.distance(on)).max() < 0.01
