"""A body of revolution: the solid, its surface and its place belong together."""

import cv2
import numpy as np
import pytest
import trimesh

from maquette.geometry.transforms import similarity
from maquette.stages.frame import DepthPicture
from maquette.stages.profile import found_bodies
from maquette.stages.turned import (
    PlacedBody,
    TurnedBody,
    distance_of,
    placed_bodies,
    with_surfaces,
)
from tests.stages.vases import CUP, EYE, PHOTO, VASE, photographed, vase


@pytest.fixture(scope="module")
def seen_and_found():
    seen, labels = photographed(vase())
    return seen, found_bodies(seen, PHOTO, labels)


def test_its_surface_is_the_depth_of_its_pixels(seen_and_found):
    seen, bodies = seen_and_found
    shown = with_surfaces(seen, bodies)
    own = seen.picture.labels == 1
    assert np.abs(shown.depth[own] / seen.depth[own] - 1).mean() < 0.005
    assert np.array_equal(shown.depth[~own], seen.depth[~own])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_farther_away_is_larger(factor, seen_and_found):
    seen, bodies = seen_and_found
    farther = DepthPicture(seen.camera, seen.picture, seen.depth * factor)
    assert distance_of(farther, 1, bodies[1]) == pytest.approx(
        factor * distance_of(seen, 1, bodies[1]), rel=1e-6
    )
    near, far = (placed_bodies(view, bodies)[1].box for view in (seen, farther))
    assert far - EYE == pytest.approx(factor * (near - EYE), abs=1e-6)


def test_rays_meet_a_cylinder_where_they_should():
    cylinder = TurnedBody(
        np.array([0.0, -1.0]), np.linspace(-0.4, 0.4, 9), np.full(9, 0.2), np.eye(3)
    )
    rays = np.array([[0.0, 0.0, -1.0], [0.1, 0.0, -1.0], [0.5, 0.0, -1.0], [0.0, -1.0, -1.0]])
    at = (2 - np.sqrt(4 - 4 * 1.01 * 0.96)) / (2 * 1.01)
    assert cylinder.first_met(rays) == pytest.approx([0.8, at, np.inf, np.inf], abs=2e-3)


def test_distances_are_those_of_a_mesh():
    body = TurnedBody(np.array([0.0, -1.0]), VASE[1:5, 1], VASE[1:5, 0], np.eye(3))
    placed = PlacedBody.at(body, np.array([0.0, 0.0, 2.0]), 2.0)
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


def test_the_mirror_faces_the_eye():
    body = TurnedBody(np.array([0.0, -1.0]), VASE[1:5, 1], VASE[1:5, 0], np.eye(3))
    (plane,) = PlacedBody.at(body, EYE, 1.5).mirrors(EYE)
    axis = EYE[[0, 2]] + 1.5 * np.array([0.0, -1.0])
    image = plane.reflect(np.array([[axis[0], 0.0, axis[1] + 0.1]]))
    assert image[0] == pytest.approx([axis[0], 0.0, axis[1] - 0.1], abs=1e-9)


def test_the_inside_of_a_vessel_stays():
    cup = vase(profile=CUP)
    seen, labels = photographed(cup)
    bodies = found_bodies(seen, PHOTO, labels)
    own = seen.picture.labels == 1
    shown = with_surfaces(seen, bodies).depth[own]
    assert np.abs(shown / seen.depth[own] - 1).mean() < 0.006
    lid = trimesh.creation.cylinder(0.15, 0.002, sections=96)
    lid.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    closed, labels = photographed(
        trimesh.util.concatenate([cup, lid.apply_translation([0, 0.2, 0])])
    )
    flat = with_surfaces(closed, found_bodies(closed, PHOTO, labels)).depth[own]
    assert (shown - flat).max() > 0.1  # scene units: so deep is the cup
