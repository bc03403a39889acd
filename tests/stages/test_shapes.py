"""A known shape, its surface in a depth map and its place belong together."""

import numpy as np
import pytest
import trimesh

from maquette.stages.frame import DepthPicture
from maquette.stages.known import known_shapes
from maquette.stages.shapes import (
    PlacedShape,
    as_measured,
    distance_of,
    placed_shapes,
    with_surfaces,
)
from maquette.stages.turned import TurnedBody
from tests.stages.vases import CUP, EYE, PHOTO, VASE, photographed, vase


@pytest.fixture(scope="module")
def seen_and_found():
    seen, labels = photographed(vase())
    return seen, known_shapes(seen, PHOTO, labels)


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
    near, far = (placed_shapes(view, bodies)[1].box for view in (seen, farther))
    assert far - EYE == pytest.approx(factor * (near - EYE), abs=1e-6)


def test_a_measured_depth_has_its_say(seen_and_found):
    """What it shows flat is no vase, and noise is none of its business."""
    seen, bodies = seen_and_found
    own = seen.picture.labels == 1
    flat = np.where(own, np.median(seen.depth[own]), seen.depth)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.003, seen.depth.shape))
    assert as_measured(seen, bodies) == bodies
    for depth, left in ((3 * seen.depth * noise, bodies), (flat, {})):
        assert as_measured(DepthPicture(seen.camera, seen.picture, depth), bodies) == left


def test_the_mirror_faces_the_eye():
    body = TurnedBody(np.array([0.0, -1.0]), VASE[1:5, 1], VASE[1:5, 0], np.eye(3))
    (plane,) = PlacedShape.at(body, EYE, 1.5).mirrors(EYE)
    axis = EYE[[0, 2]] + 1.5 * np.array([0.0, -1.0])
    image = plane.reflect(np.array([[axis[0], 0.0, axis[1] + 0.1]]))
    assert image[0] == pytest.approx([axis[0], 0.0, axis[1] - 0.1], abs=1e-9)


def test_the_inside_of_a_vessel_stays():
    cup = vase(profile=CUP)
    seen, labels = photographed(cup)
    bodies = known_shapes(seen, PHOTO, labels)
    own = seen.picture.labels == 1
    shown = with_surfaces(seen, bodies).depth[own]
    assert np.abs(shown / seen.depth[own] - 1).mean() < 0.006
    lid = trimesh.creation.cylinder(0.15, 0.002, sections=96)
    lid.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    closed, labels = photographed(
        trimesh.util.concatenate([cup, lid.apply_translation([0, 0.2, 0])])
    )
    flat = with_surfaces(closed, known_shapes(closed, PHOTO, labels)).depth[own]
    assert (shown - flat).max() > 0.1  # scene units: so deep is the cup
