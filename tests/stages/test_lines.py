"""Straight lines tell the camera: drawn boxes of which everything is known."""

import cv2
import numpy as np
import pytest

from maquette.geometry.cameras import project
from maquette.geometry.transforms import rotation_y, similarity
from maquette.models.conditioning import camera_from_parameters
from maquette.stages.lines import LineSegments, seen_by_lines

WIDTH, HEIGHT = 640, 480
PITCH, FOCAL = np.deg2rad(25.0), 0.9
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
EDGES = [(a, b) for a in range(8) for b in range(a) if (CORNERS[a] != CORNERS[b]).sum() == 1]
# Middle, size and yaw of each box.
BOXES = (
    ((-0.35, 0.0, 0.1), (0.3, 0.5, 0.3), 0.4),
    ((0.3, -0.05, -0.2), (0.4, 0.35, 0.25), 1.1),
    ((0.05, -0.15, 0.45), (0.25, 0.2, 0.2), 0.1),
)


def drawn(scale=1.0):
    """A photo of wooden frames, and its labels."""
    parameters = np.array([PITCH, np.log(FOCAL), 0.02, 0.03, np.log(1.7)])
    width, height = round(WIDTH * scale), round(HEIGHT * scale)
    camera = camera_from_parameters(parameters, width, height)
    photo = np.full((height, width, 3), 200, np.uint8)
    labels = np.zeros((height, width), np.int32)
    for label, (middle, size, yaw) in enumerate(BOXES, 1):
        placed = similarity(1.0, rotation_y(yaw), np.array(middle))
        corners = (CORNERS * size) @ placed[:3, :3].T + placed[:3, 3]
        pixels, _ = project(camera, corners)
        hull = cv2.convexHull(pixels.astype(np.float32)).round().astype(int)
        cv2.fillConvexPoly(labels, hull, label)
        for a, b in EDGES:
            ends = [tuple(np.round(8 * pixels[k]).astype(int)) for k in (a, b)]
            cv2.line(photo, *ends, (60, 40, 20), round(3 * scale), cv2.LINE_AA, shift=3)
    return photo, labels


@pytest.mark.parametrize("turned, longer", [(6.0, 0.25), (-6.0, -0.25), (5.0, -0.2), (0.0, 0.0)])
def test_boxes_bring_a_camera_that_is_off_back(turned, longer):
    pitch, focal = seen_by_lines(*drawn(), PITCH + np.deg2rad(turned), FOCAL * np.exp(longer))
    assert abs(np.rad2deg(pitch - PITCH)) < 1.5
    assert abs(np.log(focal / FOCAL)) < 0.08


def test_a_known_focal_length_is_not_touched():
    pitch, focal = seen_by_lines(*drawn(), PITCH + 0.1, FOCAL, is_known=True)
    assert focal == FOCAL
    assert abs(np.rad2deg(pitch - PITCH)) < 1.0


def test_where_nothing_is_straight_the_network_is_believed():
    photo = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    empty = seen_by_lines(photo, labels, 0.3, 0.8)
    assert empty == pytest.approx((0.3, 0.8), abs=1e-12)
    rng = np.random.default_rng(0)
    for label, (x, y) in enumerate(((200, 200), (420, 260)), 1):
        cv2.circle(labels, (x, y), 90, label, -1)
        for radius in rng.integers(8, 80, 12):
            cv2.circle(photo, (x, y), int(radius), (90, 60, 30), 1, cv2.LINE_AA)
    pitch, focal = seen_by_lines(photo, labels, 0.3, 0.8)
    assert abs(np.rad2deg(pitch - 0.3)) < 2.0
    assert abs(np.log(focal / 0.8)) < 0.15


def test_the_mirror_image_has_the_same_camera():
    photo, labels = drawn()
    start = (PITCH + 0.08, FOCAL * 1.2)
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in (photo, labels)]
    seen, turned = seen_by_lines(photo, labels, *start), seen_by_lines(*mirrored, *start)
    assert abs(np.rad2deg(seen[0] - turned[0])) < 0.5
    assert abs(np.log(seen[1] / turned[1])) < 0.03


def test_a_photo_twice_as_large_has_the_same_camera():
    start = (PITCH + 0.08, FOCAL * 1.2)
    small, large = (seen_by_lines(*drawn(scale), *start) for scale in (1.0, 2.0))
    assert abs(np.rad2deg(small[0] - large[0])) < 0.5
    assert abs(np.log(small[1] / large[1])) < 0.05


def test_a_segment_speaks_for_the_direction_that_it_has():
    rng = np.random.default_rng(1)
    for _ in range(20):
        direction = rng.normal(size=3)
        start = rng.normal(size=3) * 0.3 + [0.0, 0.0, 3.0]
        pictures = [FOCAL * p[:2] / p[2] for p in (start, start + 0.2 * direction)]
        along = pictures[1] - pictures[0]
        segment = LineSegments(
            ((pictures[0] + pictures[1]) / 2)[None],
            (along / np.linalg.norm(along))[None],
            np.array([0.02]),
        )
        others = rng.normal(size=(50, 3))
        directions = np.concatenate([direction[None], others])
        found = segment.towards(directions, np.array([FOCAL]))[0, 0]
        assert found[0] == pytest.approx(found.max(), rel=1e-6)
