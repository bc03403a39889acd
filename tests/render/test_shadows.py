import numpy as np
import pytest
import trimesh

from maquette.render.lighting import dome
from maquette.render.shadows import shadow_maps, visibility

BOX = trimesh.creation.box((0.4, 0.6, 0.3))


def floor_points(height=-0.3, size=90, half=1.0):
    x, z = np.meshgrid(np.linspace(-half, half, size), np.linspace(-half, half, size))
    return np.stack([x, np.full_like(x, height), z], -1)


def hits_box(points, direction):
    """Independent implementation: the slab test of rays from points towards the light."""
    with np.errstate(divide="ignore"):
        near = (BOX.bounds[0] - points) / direction
        far = (BOX.bounds[1] - points) / direction
    return np.minimum(near, far).max(-1) < np.maximum(near, far).min(-1)


def shadow_mask(points, direction, resolution=256, softness=1):
    """How much of a light in a direction reaches points (H, W, 3) beside BOX: (H, W) in 0..1."""
    flat = points.reshape(-1, 3).astype(np.float32)
    maps = shadow_maps(BOX.vertices, BOX.faces, np.array([direction]), resolution)
    return visibility(maps, flat, np.zeros_like(flat), softness).reshape(points.shape[:-1])


@pytest.mark.parametrize("direction", [(0.6, 1.0, 0.3), (-0.2, 0.7, 0.8), (0.01, 1.0, 0.0)])
def test_the_shadow_of_a_box_is_where_rays_to_the_light_hit_it(direction):
    points = floor_points(
        height=-0.35
    )  # a little below the box, as its own bottom is not the floor
    mask = shadow_mask(points, direction, resolution=512, softness=0)
    expected = hits_box(points, np.array(direction) / np.linalg.norm(direction))
    assert expected.mean() > 0.02
    assert np.abs(mask - ~expected).mean() < 0.005
    assert mask[expected].mean() < 0.05 and mask[~expected].mean() > 0.99


def test_a_softer_shadow_darkens_the_same_amount_over_a_wider_edge():
    hard, soft = (
        shadow_mask(floor_points(), (0.6, 1.0, 0.3), resolution=128, softness=s) for s in (0, 4)
    )
    assert soft.sum() == pytest.approx(hard.sum(), rel=0.01)
    assert ((soft > 0.1) & (soft < 0.9)).sum() > 2 * ((hard > 0.1) & (hard < 0.9)).sum()


def test_what_faces_the_light_does_not_shadow_itself():
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    points = sphere.vertices.astype(np.float32)
    normals = sphere.vertex_normals.astype(np.float32)
    direction = np.array([0.5, 0.8, -0.2])
    lit = visibility(
        shadow_maps(sphere.vertices, sphere.faces, direction[None], 256), points, normals, 1
    )
    assert lit[normals @ direction > 0.15].min() > 0.999


def test_points_outside_of_the_map_are_lit():
    points = np.array([[[50.0, 0.0, 0.0], [0.0, -0.5, 0.0]]])
    mask = shadow_mask(points, (0.0, 1.0, 0.0))
    np.testing.assert_allclose(mask, [[1.0, 0.02 / 1.02]], atol=1e-6)


def test_the_foot_of_a_high_wall_sees_half_of_the_sky():
    wall = trimesh.creation.box((20.0, 20.0, 0.02))
    points = np.array([[0.0, 0.0, 0.15], [0.0, 9.9, 9.0]], np.float32)
    normals = np.array([[0.0, 1.0, 0.0]] * 2, np.float32)
    foot, far = visibility(
        shadow_maps(wall.vertices, wall.faces, dome(64), 512), points, normals, 0
    )
    assert foot == pytest.approx(0.5, abs=0.05)
    assert far > 0.95
