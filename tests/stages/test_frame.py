"""The frame of a scene: objects move along their rays to where boxes and ground want them, and the
scene fills its cube.
"""

import numpy as np

from maquette.geometry.cameras import intrinsics_from_fov, lift, project, view_centric_rotation
from maquette.geometry.transforms import similarity
from maquette.models.conditioning import letterbox, letterboxed_camera
from maquette.stages.frame import (
    CONTACT_TOLERANCE,
    NEARER,
    UNIT_CUBE,
    DepthPicture,
    best,
    frame_of_picture,
    ground_factors,
    into_boxes,
    picture_in_frame,
)
from maquette.types import Camera


def square(labels):
    """A grey photo with labels (128, 128)."""
    return letterbox(np.zeros((128, 128, 3), np.uint8), labels, 128)


def test_what_brings_objects_onto_the_common_ground_is_found_and_what_floats_is_told():
    """Three cards on one ground, one of them estimated four per cent too far; a fourth floats high
    above.
    """
    camera = Camera(
        intrinsics_from_fov(0.9, 128, 128),
        similarity(1.0, view_centric_rotation(0.5), np.array([0, 1.0, 1.8])),
        128,
        128,
    )
    labels = np.zeros((128, 128), np.int32)
    depth = np.full((128, 128), 2.0, np.float32)
    rays = lift(camera, np.ones((128, 128))) - camera.position
    for label, (u, v), height in (
        (1, (30, 70), -0.3),
        (2, (64, 80), -0.3),
        (3, (95, 75), -0.3),
        (4, (64, 30), 0.25),
    ):
        rows = slice(v - 6, v + 6)
        columns = slice(u - 6, u + 6)
        labels[rows, columns] = label
        depth[rows, columns] = (height - camera.position[1]) / rays[
            v + 5, u, 1
        ]  # an upright card whose lower edge is at the height
    wrong = depth.copy()
    wrong[labels == 2] *= 1.04
    factors = ground_factors(DepthPicture(camera, square(labels), wrong))
    off = {label: float(np.log(wrong / depth)[labels == label].mean()) for label in (1, 2, 3)}
    assert all(abs(off[label] + factors[label]) < 0.012 for label in off)
    assert abs(factors[4]) > CONTACT_TOLERANCE


def test_objects_move_along_their_rays_into_their_boxes():
    camera = Camera(
        intrinsics_from_fov(0.8, 128, 128),
        similarity(1.0, view_centric_rotation(0.4), np.array([0, 0.9, 1.9])),
        128,
        128,
    )
    labels = np.zeros((128, 128), np.int32)
    labels[40:60, 20:50] = 3
    labels[70:90, 70:110] = 5
    picture = square(labels)
    depth = np.full((128, 128), 2.0, np.float32)
    points = lift(letterboxed_camera(camera, picture), depth)
    boxes = {
        k: np.stack([np.quantile(points[labels == k], q, axis=0) for q in (0.02, 0.98)])
        for k in (3, 5)
    }
    wrong = depth * np.where(
        labels == 3, np.exp(0.1), np.where(labels == 5, np.exp(-0.2), 1.0)
    ).astype(np.float32)
    seen = DepthPicture(camera, picture, wrong)
    np.testing.assert_allclose(into_boxes(seen, boxes).depth, depth, rtol=1e-3)
    np.testing.assert_array_equal(into_boxes(seen, {}).depth, wrong)


def test_the_frame_lies_half_way_between_the_cameras_and_the_boxes():
    camera = Camera(
        intrinsics_from_fov(0.8, 128, 128),
        similarity(1.0, view_centric_rotation(0.4), np.array([0, 0.8, 1.9])),
        128,
        128,
    )
    labels = np.zeros((128, 128), np.int32)
    labels[40:90, 45:85] = 1
    picture = square(labels)
    depth = np.full((128, 128), 2.0, np.float32)

    seen = DepthPicture(camera, picture, depth)

    def framed(boxes):
        return picture_in_frame(seen, frame_of_picture(seen, boxes))

    plain, plain_points = framed({})
    np.testing.assert_allclose(framed({1: UNIT_CUBE})[1], plain_points, atol=1e-6)  # they agree
    aside, aside_points = framed({1: UNIT_CUBE + [0.0, 0.1, -0.2]})
    np.testing.assert_allclose(
        (plain_points - aside_points)[labels > 0],
        np.broadcast_to([0.0, 0.05, -0.1], (2000, 3)),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        aside.camera.position, plain.camera.position - [0.0, 0.05, -0.1], atol=1e-9
    )
    smaller, smaller_points = framed({1: 0.64 * UNIT_CUBE})
    np.testing.assert_allclose(smaller_points, plain_points / 0.8, atol=1e-5)
    view = letterboxed_camera(smaller.camera, picture)
    y, x = np.nonzero(labels)
    pixel, _ = project(view, smaller_points[y, x].astype(np.float64))
    np.testing.assert_allclose(
        pixel, np.stack([x, y], -1) + 0.5, atol=1e-3
    )  # and the picture stays as it was


def test_the_best_candidate_is_taken_and_equally_good_ones_are_mixed():
    misfits = np.abs(np.log(NEARER) - np.log(NEARER[20]))
    assert np.isclose(best(NEARER, misfits), NEARER[20], rtol=1e-4)
    tie = np.minimum(np.abs(np.arange(71) - 10), np.abs(np.arange(71) - 60)).astype(float)
    assert np.isclose(best(NEARER, tie), (NEARER[10] + NEARER[60]) / 2)


def test_the_last_bit_of_a_depth_decides_nothing():
    """Two objects fit two grounds equally well; a change of rounding moves them no further."""
    camera = Camera(
        intrinsics_from_fov(0.9, 128, 128),
        similarity(1.0, view_centric_rotation(0.5), np.array([0, 1.0, 1.8])),
        128,
        128,
    )
    labels = np.zeros((128, 128), np.int32)
    for label, column in ((1, 20), (2, 60), (3, 100)):
        labels[60:80, column : column + 12] = label
    picture = square(labels)
    depth = np.full((128, 128), 2.0, np.float32)
    depth[labels == 2] = 2.14
    depth[labels == 3] = 2.3
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        noisy = depth * (1 + 2e-7 * rng.standard_normal(depth.shape)).astype(np.float32)
        seen = DepthPicture(camera, picture, noisy)
        low, high = (np.quantile(seen.points[labels == 1], q, axis=0) for q in (0.02, 0.98))
        box = np.stack([low - [0.3, 0.0, 0.0], high + [0.3, 0.0, 0.0]])  # too wide: fits anywhere
        moved = into_boxes(seen, {1: box})
        found.append(moved.depth[labels > 0])
    assert np.ptp(found, axis=0).max() < 1e-3
