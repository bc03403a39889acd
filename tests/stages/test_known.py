"""Which objects have a shape that their outlines tell, also half hidden and leaning; others are
left alone.
"""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from maquette.geometry.transforms import similarity
from maquette.models.conditioning import letterbox
from maquette.stages.frame import BACKGROUND_DEPTH, DepthPicture
from maquette.stages.known import known_shapes
from maquette.stages.shapes import placed_shapes
from maquette.stages.turned import TurnedBody
from tests.stages.vases import PHOTO, SIZE, leaning, photographed, vase


def found(*meshes):
    seen, labels = photographed(*meshes)
    return seen, known_shapes(seen, PHOTO, labels)


def off(placed, mesh):
    """Mean distance of a mesh's surface from a placed body's."""
    points = trimesh.sample.sample_surface(mesh, 4000, seed=0)[0]
    return float(np.abs(placed.distance(points)).mean())


def test_an_outline_tells_the_whole_shape():
    seen, bodies = found(vase())
    assert list(bodies) == [1]
    placed = placed_shapes(seen, bodies)[1]
    assert off(placed, vase()) < 0.004  # of a height of 0.4
    assert np.abs(placed.box - vase().bounds).max() < 0.02


def test_what_hides_half_of_it_does_not_change_the_shape():
    wall = trimesh.creation.box((0.2, 0.5, 0.02)).apply_translation([0.13, 0.0, 0.35])
    seen, bodies = found(vase(), wall)
    assert 1 in bodies and 2 not in bodies
    assert off(placed_shapes(seen, bodies)[1], vase()) < 0.006


def test_a_leaning_body_is_found_as_it_leans():
    lean = leaning(6)
    seen, bodies = found(vase(lean))
    assert list(bodies) == [1]
    axis = bodies[1].own_from_level.T @ [0, 1, 0]
    assert np.rad2deg(np.arccos(axis @ (lean[:3, :3] @ [0, 1, 0]))) < 2
    assert off(placed_shapes(seen, bodies)[1], vase(lean)) < 0.008


@pytest.mark.parametrize("turn", [0, 20, 45])
def test_boxes_are_no_bodies_of_revolution(turn):
    rotation = Rotation.from_euler("y", turn, degrees=True).as_matrix()
    crate = trimesh.creation.box((0.25, 0.4, 0.25)).apply_transform(similarity(1.0, rotation))
    _, bodies = found(crate)
    assert not any(isinstance(body, TurnedBody) for body in bodies.values())


def test_what_looks_flat_is_none_whatever_its_outline():
    seen, labels = photographed(vase())
    flat = np.where(labels > 0, 1.5, BACKGROUND_DEPTH)
    picture = DepthPicture(seen.camera, seen.picture, flat)
    assert not known_shapes(picture, PHOTO, labels)


def test_masks_that_tell_nothing_are_left_alone():
    seen, labels = photographed(vase())
    few = np.zeros_like(labels)
    few[100:105, 100:108] = 1
    everything = np.ones_like(labels)
    for mask in (few, everything):
        picture = DepthPicture(seen.camera, letterbox(PHOTO, mask, SIZE), np.full(mask.shape, 1.4))
        assert not known_shapes(picture, PHOTO, mask)
