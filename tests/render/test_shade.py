import dataclasses

import numpy as np
import pytest

from maquette.geometry.cameras import intrinsics_from_fov, lift, look_at
from maquette.render.lighting import Lighting, dome
from maquette.render.rasterize import rasterize
from maquette.render.shade import albedo_for, shade, with_ground_plane
from maquette.render.shadows import shadow_maps
from maquette.types import Camera
from tests.render.test_shadows import BOX, hits_box


def camera_at(position, size=64):
    return Camera(
        intrinsics_from_fov(0.9, size, size), look_at(np.array(position), np.zeros(3)), size, size
    )


def only_key(direction, level=0.5, **others):
    black = np.zeros(3)
    return Lighting(np.array(direction), key=np.full(3, level), sky=black, ground=black, **others)


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
    image = shade(
        with_ground_plane(nothing, camera, 0.0, albedo_for(picture, light)), camera, lighting
    )
    assert np.abs(image.astype(int) - picture).max() <= 2


@pytest.mark.compiles
def test_ground_lies_at_its_height_behind_the_objects_and_receives_their_shadow():
    camera = camera_at((0.8, 0.9, 1.4))
    objects = rasterize(BOX.vertices, BOX.faces, camera)
    buffers = with_ground_plane(objects, camera, -0.3, np.ones(3), reach=4.0)
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
    buffers = with_ground_plane(
        rasterize(BOX.vertices, BOX.faces, camera), camera, -0.3, np.ones(3)
    )
    lighting = dataclasses.replace(only_key([0.0, 1.0, 0.0], level=0.0), sky=np.full(3, 0.7))
    sky = shadow_maps(BOX.vertices, BOX.faces, dome(64), 128)
    fine, coarse, none = (
        shade(buffers, camera, lighting, sky=maps, supersampled=coarsely).astype(float)
        for maps, coarsely in ((sky, False), (sky, True), ((), False))
    )
    assert np.abs(fine - coarse).mean() < 0.2 * np.abs(fine - none).mean()
