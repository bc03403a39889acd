"""A window of the photo belongs to the photo: camera, mask and depth agree with it."""

import dataclasses

import cv2
import numpy as np
import pytest
from scipy import ndimage

from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import project
from maquette.stages.closeup import closeup, distance_within
from tests.stages.balls import RADIUS, ball_depth, perceived_ball


@pytest.fixture(scope="module")
def seen():
    return perceived_ball(700)


@pytest.mark.parametrize("resolution", [100, 2000])
def test_it_is_the_same_view_at_a_bounded_resolution(seen, resolution):
    window = closeup(seen, 1, resolution)
    assert window.scale <= resolution + 1 and window.photo.shape[:2] == window.mask.shape
    points = np.random.default_rng(0).normal(size=(50, 3)) * 0.1
    pixel, depth = project(window.camera, points)
    in_photo, depth_in_photo = project(seen.camera, points)
    focals = (camera.intrinsics.diagonal()[:2] for camera in (window.camera, seen.camera))
    factor = np.divide(*focals)
    np.testing.assert_allclose(pixel - pixel[0], (in_photo - in_photo[0]) * factor)
    middle = project(window.camera, np.zeros(3))[0]
    np.testing.assert_allclose(
        middle, np.array(pixel_box(window.mask)).reshape(2, 2).mean(0), atol=0.6
    )
    np.testing.assert_allclose(depth, depth_in_photo)


def test_depth_is_that_of_the_surface_and_goes_on_beyond_the_outline(seen):
    window = closeup(seen, 1, 300)
    exact, _ = ball_depth(window.camera)
    inside = window.inwards() > 0.1 * window.scale
    assert np.abs(window.depth - exact)[inside].max() < 0.02 * RADIUS
    assert window.depth.max() < 2.0 and window.depth.min() > 2.0 - 1.02 * RADIUS


def test_distances_from_the_outline_are_signed_and_the_photos_border_is_none(seen):
    window = closeup(seen, 1, 300)
    inwards = window.inwards()
    np.testing.assert_array_equal(inwards > 0, window.mask)
    assert inwards.max() == pytest.approx(150, abs=2)
    whole = perceived_ball(300)
    whole.label_map[:] = 1
    assert (closeup(whole, 1, 300).inwards() >= 300 - 1).all()


def test_a_box_makes_the_window_larger_and_other_objects_have_their_depth(seen):
    labels = seen.label_map.copy()
    small = closeup(seen, 1, 300)
    large = closeup(seen, 1, 300, np.array([[0.0, 0.0], [700.0, 100.0]]))
    assert large.camera.width > small.camera.width and np.isinf(large.others).all()
    labels[:, :300] = 2 * (labels[:, :300] > 0)
    other = perceived_ball(700)
    other.label_map[:] = labels
    others = closeup(other, 1, 300, np.array([[0.0, 0.0], [700.0, 700.0]])).others
    assert np.isfinite(others).any() and np.isinf(others).any()


def test_a_measured_depth_is_even_along_the_outline(seen):
    """Where the outline cuts a pixel decides how far it is; the rest is as it was measured."""
    exact, inside = ball_depth(seen.camera)
    measured = dataclasses.replace(seen, given_depth=exact)
    window = closeup(measured, 1, 2000)
    rim = np.argwhere(window.mask & (window.inwards() < 1))
    angle = np.argsort(np.arctan2(*(rim - rim.mean(0)).T))
    around = tuple(rim[angle].T)
    offset = np.argwhere(inside)[0] - np.argwhere(window.mask)[0]
    whole = exact[offset[0] :, offset[1] :][: len(window.mask), : window.mask.shape[1]]
    steps = [np.abs(np.diff(depth[around])).mean() for depth in (window.depth, whole)]
    assert steps[0] < 0.4 * steps[1]
    within = window.inwards() > 2
    np.testing.assert_array_equal(window.depth[within], whole[within])


def test_a_mask_without_pixels_is_said():
    with pytest.raises(ValueError, match="no pixel"):
        pixel_box(np.zeros((4, 4), bool))


@pytest.mark.parametrize("threads", [1, 2])
def test_distances_are_the_exact_ones_whatever_the_threads(threads):
    inside = np.random.default_rng(0).random((290, 310)) > 0.002
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    found = distance_within(inside)
    cv2.setNumThreads(before)
    assert np.array_equal(found, ndimage.distance_transform_edt(inside).astype(np.float32))
