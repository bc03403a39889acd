import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.geometry.cameras import intrinsics_from_fov, lift, look_at
from maquette.render.rasterize import rasterize
from maquette.render.shade import (
    Lighting,
    albedo_for,
    dome,
    random_lighting,
    shade,
    shadow_maps,
    shadow_mask,
    visibility,
    with_ground,
)
from maquette.types import Camera

BOX = trimesh.creation.box((0.4, 0.6, 0.3))


def camera_at(position, size=64):
    return Camera(
        intrinsics_from_fov(0.9, size, size), look_at(np.array(position), np.zeros(3)), size, size
    )


def only_key(direction, level=0.5, **others):
    black = np.zeros(3)
    return Lighting(np.array(direction), key=np.full(3, level), sky=black, ground=black, **others)


def floor_points(height=-0.3, size=90, half=1.0):
    x, z = np.meshgrid(np.linspace(-half, half, size), np.linspace(-half, half, size))
    return np.stack([x, np.full_like(x, height), z], -1)


def hits_box(points, direction):
    """Independent implementation: the slab test of rays from points towards the light."""
    with np.errstate(divide="ignore"):
        near = (BOX.bounds[0] - points) / direction
        far = (BOX.bounds[1] - points) / direction
    return np.minimum(near, far).max(-1) < np.maximum(near, far).min(-1)


@pytest.mark.parametrize("direction", [(0.6, 1.0, 0.3), (-0.2, 0.7, 0.8), (0.01, 1.0, 0.0)])
def test_the_shadow_of_a_box_is_where_rays_to_the_light_hit_it(direction):
    points = floor_points(
        height=-0.35
    )  # a little below the box, as its own bottom is not the floor
    mask = shadow_mask(
        BOX.vertices, BOX.faces, points, np.array(direction), resolution=512, softness=0
    )
    expected = hits_box(points, np.array(direction) / np.linalg.norm(direction))
    assert expected.mean() > 0.02
    assert np.abs(mask - ~expected).mean() < 0.005
    assert mask[expected].mean() < 0.05 and mask[~expected].mean() > 0.99


def test_a_softer_shadow_darkens_the_same_amount_over_a_wider_edge():
    hard, soft = (
        shadow_mask(
            BOX.vertices,
            BOX.faces,
            floor_points(),
            np.array([0.6, 1.0, 0.3]),
            resolution=128,
            softness=s,
        )
        for s in (0, 4)
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


def test_points_outside_of_the_map_and_points_at_infinity_are_lit():
    points = np.array([[[50.0, 0.0, 0.0], [np.inf, 0.0, 0.0], [0.0, -0.5, 0.0]]])
    mask = shadow_mask(BOX.vertices, BOX.faces, points, np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(mask, [[1.0, 1.0, 0.02 / 1.02]], atol=1e-6)


def test_the_foot_of_a_high_wall_sees_half_of_the_sky():
    wall = trimesh.creation.box((20.0, 20.0, 0.02))
    points = np.array([[0.0, 0.0, 0.15], [0.0, 9.9, 9.0]], np.float32)
    normals = np.array([[0.0, 1.0, 0.0]] * 2, np.float32)
    foot, far = visibility(
        shadow_maps(wall.vertices, wall.faces, dome(64), 512), points, normals, 0
    )
    assert foot == pytest.approx(0.5, abs=0.05)
    assert far > 0.95


def test_a_white_surface_has_the_brightness_of_the_srgb_standard_and_lamberts_law():
    quad = np.array([[-5.0, 0.0, -5.0], [5.0, 0.0, -5.0], [5.0, 0.0, 5.0], [-5.0, 0.0, 5.0]])
    camera = camera_at((0.1, 2.0, 0.0), 16)
    buffers = rasterize(quad, np.array([[0, 1, 2], [0, 2, 3]]), camera)
    for angle in (0.0, np.pi / 3):
        light = 0.5 * np.cos(angle)
        image = shade(buffers, camera, only_key([np.sin(angle), np.cos(angle), 0.0]))
        assert np.abs(image - 255 * (1.055 * light ** (1 / 2.4) - 0.055)).max() <= 1.0
    lighting = dataclasses.replace(
        only_key([0.0, 1.0, 0.0], level=0.0), sky=np.full(3, 0.2), ground=np.ones(3)
    )
    assert (
        np.abs(shade(buffers, camera, lighting) - 255 * (1.055 * 0.2 ** (1 / 2.4) - 0.055)).max()
        <= 1.0
    )


def test_a_floor_with_the_albedo_for_a_picture_looks_like_the_picture():
    camera = camera_at((0.1, 2.0, 0.0), 32)
    picture = np.random.default_rng(0).integers(20, 225, (32, 32, 3)).astype(np.uint8)
    lighting = dataclasses.replace(
        only_key([0.4, 1.0, 0.0], level=0.6), sky=np.array([0.6, 0.7, 0.8])
    )
    light = lighting.sky + lighting.key / np.sqrt(1.16)
    nothing = rasterize(np.zeros((0, 3)), np.zeros((0, 3)), camera)
    image = shade(with_ground(nothing, camera, 0.0, albedo_for(picture, light)), camera, lighting)
    assert np.abs(image.astype(int) - picture).max() <= 2


def test_ground_lies_at_its_height_behind_the_objects_and_receives_their_shadow():
    camera = camera_at((0.8, 0.9, 1.4))
    objects = rasterize(BOX.vertices, BOX.faces, camera)
    buffers = with_ground(objects, camera, -0.3, np.ones(3), reach=4.0)
    seen = np.isfinite(buffers.depth)
    ground = seen & (buffers.instance < 0)
    points = lift(camera, np.where(seen, buffers.depth, 1.0))
    np.testing.assert_allclose(points[ground][:, 1], -0.3, atol=1e-5)
    np.testing.assert_array_equal(buffers.instance == 0, objects.instance == 0)
    assert buffers.depth[ground].max() < 4.0 < camera.position[1] / 0.1
    lighting = only_key([0.6, 1.0, 0.3])
    (sun,) = shadow_maps(BOX.vertices, BOX.faces, lighting.direction[None], 256)
    image = shade(buffers, camera, lighting, sun=sun)
    dark = hits_box(points + [0.0, -0.02, 0.0], lighting.direction)
    assert image[ground & dark].mean() < 0.2 * image[ground & ~dark].mean()


def test_coarse_ambient_occlusion_is_close_to_the_fine_one():
    camera = camera_at((0.8, 0.9, 1.4), 161)  # odd: the last row and column have no partner
    buffers = with_ground(rasterize(BOX.vertices, BOX.faces, camera), camera, -0.3, np.ones(3))
    lighting = dataclasses.replace(only_key([0.0, 1.0, 0.0], level=0.0), sky=np.full(3, 0.7))
    sky = shadow_maps(BOX.vertices, BOX.faces, dome(64), 128)
    fine, coarse, none = (
        shade(buffers, camera, lighting, sky=maps, supersampled=coarsely).astype(float)
        for maps, coarsely in ((sky, False), (sky, True), ((), False))
    )
    assert np.abs(fine - coarse).mean() < 0.2 * np.abs(fine - none).mean()


def test_random_lighting_is_reproducible_varied_and_well_exposed():
    lights = [random_lighting(np.random.default_rng(seed)) for seed in range(200)]
    again = random_lighting(np.random.default_rng(7))
    np.testing.assert_array_equal(again.direction, lights[7].direction)
    np.testing.assert_array_equal(again.key, lights[7].key)
    towards = np.array([light.direction for light in lights])
    np.testing.assert_allclose(np.linalg.norm(towards, axis=1), 1.0)
    assert towards[:, 1].min() > 0.3 and np.abs(towards.mean(0)[[0, 2]]).max() < 0.15
    brightest = np.array([light.key + 0.8 * light.sky for light in lights])
    assert brightest.min() > 0.5 and brightest.max() < 1.8
    assert min(light.key.min() for light in lights) > 0.1
