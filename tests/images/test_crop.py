import numpy as np
import pytest

from maquette.geometry.cameras import intrinsics_from_fov, project
from maquette.images.crop import crop_camera, crop_resize, pixel_from_crop, square_box
from maquette.types import Camera
from tests.images.pictures import disc, photo


def test_the_square_box_is_centred_on_the_mask():
    mask = np.zeros((50, 80), bool)
    mask[10:20, 30:70] = True
    assert square_box(mask, 0.0) == (30, -5, 70, 35)
    x0, y0, x1, y1 = square_box(mask, 0.25)
    assert (x1 - x0, y1 - y0) == (60, 60) and (x0 + x1, y0 + y1) == (100, 30)


def test_a_whole_pixel_crop_is_a_slice():
    crop, affine = crop_resize(photo(), (5, 7, 25, 27), 20)
    assert (crop == photo()[7:27, 5:25]).all()
    assert (affine == [[1, 0, 5], [0, 1, 7], [0, 0, 1]]).all()


@pytest.mark.parametrize("box, size", [((3.3, 2.7, 40.1, 39.5), 24), ((10.2, 8.1, 22.7, 20.6), 32)])
def test_a_linear_picture_is_sampled_at_the_pixel_centres(box, size):
    # A linear function tells where the pixels lie: exactly when enlarging, without bias when a
    # sampled filter averages.
    y, x = np.mgrid[0:48, 0:64] + 0.5
    crop, affine = crop_resize((2 * x - 3 * y).astype(np.float32), box, size)
    v, u = np.mgrid[0:size, 0:size] + 0.5
    points = np.stack([u, v, np.ones_like(u)], axis=-1) @ affine.T
    inner = np.s_[2:-2, 2:-2]  # at the rim of the box the filter is cut off
    error = (crop - (2 * points[..., 0] - 3 * points[..., 1]))[inner]
    assert np.abs(error).max() < (1e-3 if affine[0, 0] < 1 else 0.25) and abs(error.mean()) < 0.02


def test_reducing_keeps_the_mean_and_beyond_the_picture_lies_the_fill():
    crop, _ = crop_resize(photo(), (-64, -64, 128, 128), 48, fill=(9, 8, 7))
    assert crop[0, 0].tolist() == [9, 8, 7]
    everywhere, _ = crop_resize(photo(), (200, 200, 210, 210), 8, fill=50)
    assert (everywhere == 50).all()
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    small, _ = crop_resize(noise, (0, 0, 64, 64), 8)
    assert abs(small.mean() - noise.mean()) < 0.01 and small.std() < 0.3 * noise.std()


def test_a_mask_becomes_its_coverage():
    mask = disc(64, 64, 32, 32, 20)
    crop, affine = crop_resize(mask, square_box(mask, 0.1), 32)
    area = crop.sum() * affine[0, 0] * affine[1, 1]
    assert crop.dtype == np.float32 and crop.min() >= 0 and crop.max() <= 1
    assert area == pytest.approx(mask.sum(), rel=0.01)


def test_channels_are_independent():
    stack = np.dstack([photo(), photo()[..., :2]])
    crop, _ = crop_resize(stack, (3.5, 2.5, 40.5, 39.5), 16)
    for c in range(5):
        single, _ = crop_resize(stack[..., c].copy(), (3.5, 2.5, 40.5, 39.5), 16)
        assert np.abs(crop[..., c].astype(int) - single).max() <= 1


def test_the_cropped_camera_sees_the_same_points():
    pose = np.eye(4)
    pose[:3, 3] = 0.3, -0.2, 0.1
    camera = Camera(intrinsics_from_fov(0.9, 64, 48), pose, 64, 48)
    box = (7.5, -3.25, 40.5, 29.75)
    size = 56
    points = np.random.default_rng(0).normal(0, 0.3, (20, 3)) + [0.3, 0, 3]
    pixels, depth = project(camera, points)
    cropped, cropped_depth = project(crop_camera(camera, box, size), points)
    affine = pixel_from_crop(box, size)
    assert np.allclose(cropped @ affine[:2, :2].T + affine[:2, 2], pixels) and np.allclose(
        depth, cropped_depth
    )
