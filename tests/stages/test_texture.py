"""The photo as a texture: it looks like the photo, and like nothing but the object."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from maquette.document.appearance import vertex_colors_of
from maquette.geometry.cameras import look_at
from maquette.stages.closeup import closeup
from maquette.stages.mirror import MirrorPlane
from maquette.stages.texture import LEAST_SIDE, pack, textured
from maquette.types import Camera, Instance, Scene
from tests.render.unlit import unlit
from tests.stages.balls import RADIUS, perceived_ball

SIZE = 400


def ball():
    return trimesh.creation.icosphere(5, radius=RADIUS)


def drawn(mesh, camera):
    return unlit(Scene((Instance(1, mesh, np.eye(4), 0),), camera))


def smooth_noise():
    noise = np.random.default_rng(0).random((SIZE, SIZE, 3))
    smooth = ndimage.gaussian_filter(noise, (4, 4, 0), mode="wrap")
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def test_seen_from_the_photos_camera_it_is_the_photo():
    seen = perceived_ball(SIZE, smooth_noise())
    picture, labels = drawn(textured(ball(), closeup(seen, 1, 1024)), seen.camera)
    inside = ndimage.binary_erosion(seen.label_map > 0, iterations=20) & (labels == 1)
    difference = np.abs(picture.astype(int) - seen.photo)[inside]
    assert difference.mean() < 1 and np.quantile(difference, 0.99) <= 4


def test_the_background_is_nowhere_on_it_even_if_the_mask_is_a_pixel_too_large():
    red_on_green = np.full((SIZE, SIZE, 3), (0, 220, 0), np.uint8)
    mask = perceived_ball(SIZE).label_map > 0
    red_on_green[ndimage.binary_erosion(mask)] = (220, 0, 0)
    seen = perceived_ball(SIZE, red_on_green)
    mesh = textured(ball(), closeup(seen, 1, 1024))
    behind = Camera(
        seen.camera.intrinsics, look_at(np.array([0.0, 0.5, -2.0]), np.zeros(3)), SIZE, SIZE
    )
    for camera in (seen.camera, behind):
        picture, labels = drawn(mesh, camera)
        assert picture[labels == 1][:, 1].max() < 30 and picture[labels == 1][:, 0].min() > 190


def test_what_is_hidden_looks_like_what_is_shown_next_to_it():
    halves = np.full((SIZE, SIZE, 3), (220, 0, 0), np.uint8)
    halves[: SIZE // 2] = (0, 0, 220)
    mesh = textured(ball(), closeup(perceived_ball(SIZE, halves), 1, 1024))
    colours = vertex_colors_of(mesh).astype(int)
    upper, lower = mesh.vertices[:, 1] > 0.1, mesh.vertices[:, 1] < -0.1
    assert (colours[upper, 2] > colours[upper, 0]).mean() > 0.98
    assert (colours[lower, 0] > colours[lower, 2]).mean() > 0.98


def test_a_mirror_plane_carries_colours_to_the_hidden_side():
    """A spot on the front is there behind as well, at its mirror image."""
    spotted = np.full((SIZE, SIZE, 3), (0, 0, 220), np.uint8)
    spotted[SIZE // 2 - 30 : SIZE // 2 + 30, SIZE // 2 + 30 : SIZE // 2 + 80] = (220, 0, 0)
    seen = closeup(perceived_ball(SIZE, spotted), 1, 1024)
    front_to_back = MirrorPlane(np.pi / 2, 0.0)
    side_to_side = MirrorPlane(0.0, 0.0)
    red_behind = [(front_to_back,), (side_to_side, front_to_back)]
    for planes in (*red_behind, (), (side_to_side,)):
        mesh = textured(ball(), seen, planes)
        colours = vertex_colors_of(mesh).astype(int)
        red = colours[:, 0] > colours[:, 2]
        spot = mesh.vertices[red & (mesh.vertices[:, 2] > 0)].mean(0)
        image = np.linalg.norm(mesh.vertices - spot * [1, 1, -1], axis=1).argmin()
        assert spot[0] > 0.05 and red[image] == (planes in red_behind)


def test_the_shape_stays_as_it_was_seams_aside():
    before = ball()
    mesh = textured(before, closeup(perceived_ball(SIZE), 1, 1024))
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], before.vertices[before.faces])
    assert mesh.visual.uv.min() >= 0 and mesh.visual.uv.max() <= 1
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight


@pytest.mark.parametrize("pixels", [16, 64])
def test_it_takes_no_more_pixels_than_asked_for(pixels):
    window = closeup(perceived_ball(SIZE), 1, pixels)
    width, height = textured(ball(), window).visual.material.image.size
    assert max(width, height) <= 2 * pixels + 20


def test_an_object_that_is_hardly_seen_keeps_its_colours():
    away = ball().apply_translation([5.0, 0.0, 0.0])
    away.visual.vertex_colors = [10, 20, 30, 255]
    assert textured(away, closeup(perceived_ball(SIZE), 1, 1024)) is away


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (40, 50)])
def test_pictures_of_any_shape_are_packed(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    atlas = pack(picture, np.ones(shape, bool))
    np.testing.assert_array_equal(atlas.image[: shape[0], : shape[1]], picture)
    ends = atlas.corners + atlas.scales * shape[::-1]
    assert (ends <= np.array(atlas.image.shape[1::-1]) + 1e-9).all()
    assert (ends - atlas.corners)[1:].min() >= LEAST_SIDE - 1e-9
