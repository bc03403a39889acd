"""From photo to network input: letterboxing keeps geometry, cameras survive the round trip through
five numbers.
"""

import numpy as np
import pytest

from maquette.geometry.cameras import intrinsics_from_fov, project, view_centric_rotation
from maquette.geometry.transforms import similarity
from maquette.models.conditioning import (
    camera_from_parameters,
    camera_parameters,
    geometry_input,
    instance_crop,
    letterbox,
    letterboxed_camera,
    with_focal,
)
from maquette.types import Camera


def photo(height, width):
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 90)], -1).astype(np.uint8)
    labels = np.zeros((height, width), np.int32)
    labels[height // 4 : height // 2, width // 4 : width // 2] = 3
    return image, labels


@pytest.mark.parametrize("size", [(60, 200), (200, 60), (33, 32), (500, 700)])
def test_letterbox_keeps_colours_and_labels_in_place(size):
    image, labels = photo(*size)
    square = letterbox(image, labels, 64)
    assert square.image.shape == (64, 64, 3) and square.inside.any()
    y, x = np.nonzero(square.inside)
    px = (x + 0.5 - square.offset[0]) / square.scale
    py = (y + 0.5 - square.offset[1]) / square.scale
    expected = np.stack([(px - 0.5) / size[1], (py - 0.5) / size[0]], -1) * 2 - 1
    assert np.abs(square.image[y, x, :2] - expected).mean() < 0.03
    assert (
        square.labels[y, x]
        == labels[py.astype(int).clip(0, size[0] - 1), px.astype(int).clip(0, size[1] - 1)]
    ).all()
    assert (square.labels[~square.inside] == 0).all() and (square.image[~square.inside] == 0).all()


def test_letterboxed_camera_sees_points_where_the_square_shows_them():
    image, labels = photo(90, 160)
    camera = Camera(
        intrinsics_from_fov(0.9, 160, 90),
        similarity(1.0, view_centric_rotation(0.3), np.array([0, 0.6, 1.9])),
        160,
        90,
    )
    square = letterbox(image, labels, 64)
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (30, 3))
    pixel, _ = project(camera, points)
    seen, _ = project(letterboxed_camera(camera, square), points)
    np.testing.assert_allclose(seen, pixel * square.scale + np.array(square.offset), atol=1e-9)


def test_camera_survives_its_parameters():
    camera = Camera(
        intrinsics_from_fov(0.9, 160, 90),
        similarity(1.0, view_centric_rotation(0.35), np.array([0.2, 0.7, 2.1])),
        160,
        90,
    )
    again = camera_from_parameters(camera_parameters(camera), 160, 90)
    np.testing.assert_allclose(again.world_from_camera, camera.world_from_camera, atol=1e-5)
    np.testing.assert_allclose(again.intrinsics, camera.intrinsics, atol=1e-3)


def test_geometry_input_marks_objects_and_outlines():
    image, labels = photo(64, 64)
    planes = geometry_input(letterbox(image, labels, 64))
    assert planes.shape == (6, 64, 64)
    assert (
        (planes[3] == (labels > 0)).all()
        and planes[4][16, 16] == 1
        and planes[4][20, 20] == 0
        and planes[5].all()
    )


def test_crop_is_centred_on_the_instance_and_blind_to_the_rest():
    image, labels = photo(120, 80)
    crop = instance_crop(image, labels, 3, 32)
    assert crop.shape == (5, 32, 32)
    own = crop[3] > 0.99
    rows, columns = np.nonzero(own)
    assert abs(rows.mean() - 15.5) < 1 and abs(columns.mean() - 15.5) < 1
    assert rows.max() - rows.min() + 1 == pytest.approx(
        32 / 1.2, abs=2.5
    )  # the longer side fills the crop up to the margin
    assert (crop[:3][:, crop[3] == 0] == 0).all()


def test_crop_at_the_border_is_padded():
    image, labels = photo(40, 40)
    labels[:] = 0
    labels[0:6, 0:6] = 1
    crop = instance_crop(image, labels, 1, 16)
    assert np.isfinite(crop).all() and crop[3].max() > 0.9


def test_a_known_focal_length_is_a_dolly_zoom():
    parameters = np.array([0.4, np.log(1.2), 0.1, -0.05, -0.3])
    relative = np.array([-0.2, 0.0, 0.15], np.float32)
    same, unchanged = with_focal(parameters, relative, 1.2)
    np.testing.assert_allclose(same, parameters)
    np.testing.assert_allclose(unchanged, relative, atol=1e-6)
    nearer, stretched = with_focal(parameters, relative, 0.6)
    before, after = (camera_from_parameters(p, 300, 200) for p in (parameters, nearer))
    assert after.intrinsics[0, 0] == pytest.approx(0.6 * 300)
    origin = np.zeros(3)
    (pixel, far) = project(before, origin)
    (moved_pixel, near) = project(after, origin)
    np.testing.assert_allclose(moved_pixel, pixel)  # the centre stays where the photo shows it
    assert near == pytest.approx(far / 2)  # half the focal length: half the distance
    # What lies behind the centre lies as far behind it as before, in scene units.
    np.testing.assert_allclose(
        near * np.expm1(stretched), far * np.expm1(relative), rtol=1e-4, atol=1e-6
    )
