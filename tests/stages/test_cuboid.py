"""Boxes: six numbers from an outline, and a solid with the surface and distances of a box."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from maquette.geometry.transforms import similarity
from maquette.stages.cuboid import LEAST_IOU, Cuboid, fitted_box
from maquette.stages.known import known_shapes
from maquette.stages.outline import Outline
from maquette.stages.shapes import placed_shapes, with_surfaces
from tests.stages.vases import EYE, PHOTO, photographed, vase

SIDES = np.array([0.3, 0.22, 0.16])
WINDOW = 96


def turned(degrees):
    return similarity(1.0, Rotation.from_euler("y", degrees, degrees=True).as_matrix())


def box(degrees, sides=SIDES):
    return trimesh.creation.box(sides).apply_transform(turned(degrees))


def found(*meshes):
    seen, labels = photographed(*meshes)
    return seen, known_shapes(seen, PHOTO, labels)


@pytest.mark.parametrize("degrees", [15, 40, 70])
def test_an_outline_tells_all_of_a_box(degrees):
    seen, bodies = found(box(degrees))
    placed = placed_shapes(seen, bodies)[1]
    assert isinstance(placed.shape, Cuboid)
    points = trimesh.sample.sample_surface(box(degrees), 2000, seed=0)[0]
    assert np.abs(placed.distance(points)).mean() < 0.005
    assert np.abs(placed.box - box(degrees).bounds).max() < 0.02


def test_what_stands_before_it_does_not_change_it():
    wall = trimesh.creation.box((0.06, 0.3, 0.02)).apply_translation([0.2, 0.0, 0.4])
    seen, bodies = found(box(40), wall)
    points = trimesh.sample.sample_surface(box(40), 2000, seed=0)[0]
    assert np.abs(placed_shapes(seen, bodies)[1].distance(points)).mean() < 0.01


def test_other_outlines_are_no_boxes():
    for mesh in (vase(), trimesh.creation.icosphere(radius=0.2), trimesh.creation.cone(0.15, 0.3)):
        seen, labels = photographed(mesh)
        _, iou = fitted_box(Outline.of(seen, PHOTO, labels, 1, WINDOW))
        assert iou < LEAST_IOU


def test_its_surface_is_the_depth_of_its_pixels():
    seen, bodies = found(box(40))
    own = seen.picture.labels == 1
    shown = with_surfaces(seen, bodies).depth[own]
    assert np.abs(shown / seen.depth[own] - 1).mean() < 0.004


def test_rays_meet_it_where_its_distance_is_nought():
    solid = Cuboid(np.array([[-0.2, -0.3, -1.1], [0.2, 0.1, -0.9]]), turned(25)[:3, :3])
    rng = np.random.default_rng(0)
    rays = np.column_stack([rng.uniform(-0.6, 0.6, (200, 2)), np.full(200, -1.0)])
    met = solid.first_met(rays)
    there = np.isfinite(met)
    places = (met[there, None] * rays[there]) @ solid.own_from_level.T
    assert 20 < there.sum() < 180
    assert np.abs(solid.distance(places)).max() < 1e-9
    along = np.linspace(0.5, 1.6, 400)[:, None, None] * rays[~there]
    assert (solid.distance(along.reshape(-1, 3) @ solid.own_from_level.T) > 0).all()


def test_distances_are_those_to_the_nearest_point():
    solid = Cuboid(np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]), np.eye(3))
    points = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.9, 0.0]])
    assert solid.distance(points) == pytest.approx([-1.0, 1.0, np.sqrt(2), -0.1])


def test_its_mirrors_leave_it_as_it_is():
    seen, bodies = found(box(40))
    placed = placed_shapes(seen, bodies)[1]
    points = trimesh.sample.sample_surface(box(40), 500, seed=0)[0]
    planes = placed.mirrors(EYE)
    assert len(planes) == 2
    for plane in planes:
        assert np.abs(placed.distance(plane.reflect(points))).mean() < 0.01
    first, second = planes
    assert abs(first.normal @ second.normal) < 1e-9
