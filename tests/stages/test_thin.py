"""Thin upright parts: found, straight in space, as thick as wide; everything else stays."""

import numpy as np
import pytest

from maquette.geometry.cameras import lift
from maquette.stages.closeup import Closeup
from maquette.stages.thin import half_width, thin_parts
from tests.stages.balls import front_camera

SIZE = 240
SIDE = 1.2


def window(mask, depth):
    return Closeup(
        front_camera(SIZE),
        np.zeros((SIZE, SIZE, 3), np.uint8),
        mask,
        depth.astype(np.float32),
        np.full(mask.shape, np.inf, np.float32),
    )


def seat_on_a_leg():
    """A seat, and below it a leg of six pixels whose depth wavers."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[40:90, 40:200] = True
    leg = np.zeros_like(mask)
    leg[90:220, 100:106] = True
    rows = np.mgrid[:SIZE, :SIZE][0]
    depth = 2.0 + np.where(leg, 0.04 * np.sin(rows / 6), 0.0)
    return mask | leg, leg, depth


def test_a_wavering_leg_gets_straight_and_as_thick_as_wide_and_the_seat_stays():
    mask, leg, depth = seat_on_a_leg()
    seen = window(mask, depth)
    found = thin_parts(seen, seen.inwards(), SIDE)
    middle = leg & (np.mgrid[:SIZE, :SIZE][0] > 105)
    assert found.here[middle].all() and not found.here[:80].any()
    np.testing.assert_array_equal(found.depth[:80], seen.depth[:80])
    points = lift(seen.camera, found.depth.astype(np.float64))[middle]
    line = points - points.mean(0)
    _, lengths, _ = np.linalg.svd(line, full_matrices=False)
    width = 6 * 2.0 / seen.camera.intrinsics[0, 0]
    assert np.abs(line[:, 2]).max() < 0.02  # it wavered by 0.04
    assert lengths[2] / np.sqrt(len(line)) < 0.1 * width
    assert np.median(found.thickness[middle]) == pytest.approx(1.3 * width, rel=0.25)


def test_a_board_seen_edge_on_is_no_thin_part():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[100:106, 20:220] = True
    seen = window(mask, np.full(mask.shape, 2.0))
    found = thin_parts(seen, seen.inwards(), SIDE)
    assert not found.here.any() and np.isinf(found.thickness).all()
    np.testing.assert_array_equal(found.depth, seen.depth)


def test_a_part_far_from_any_line_is_left_alone():
    mask, leg, depth = seat_on_a_leg()
    jumps = depth + 0.5 * (np.mgrid[:SIZE, :SIZE][0] % 40 < 20) * leg
    seen = window(mask, jumps)
    np.testing.assert_array_equal(
        thin_parts(seen, seen.inwards(), SIDE).depth[leg], seen.depth[leg]
    )


@pytest.mark.parametrize("lean", [0.0, 0.2])
def test_a_pole_that_is_plumb_in_the_photo_is_straight_though_its_depth_is_all_wrong(lean):
    """lean: columns a row; what leans may be bent in depth as well, and is left alone."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    pole = (rows >= 20) & (rows < 220) & (np.abs(columns - 103 - lean * (rows - 120)) < 3)
    seen = window(pole, 2.0 + 0.2 * np.sign(np.sin(rows / 12)))
    depth = thin_parts(seen, seen.inwards(), SIDE).depth[pole]
    assert np.ptp(depth) < 0.15 if lean == 0.0 else np.ptp(depth) > 0.35


@pytest.mark.parametrize(("lean", "least", "most"), [(0.0, 0.0, 5e-5), (0.2, 1e-4, 2e-4)])
def test_a_leg_keeps_most_of_its_slope_unless_it_is_plumb_in_the_photo(lean, least, most):
    """lean: columns a row."""
    mask, leg, _ = seat_on_a_leg()
    rows, columns = np.mgrid[:SIZE, :SIZE]
    leg = (rows >= 90) & (rows < 220) & (np.abs(columns - 103 - lean * (rows - 90)) < 3)
    mask = (mask & (rows < 90)) | leg
    slanted = 1 / (0.5 + 2e-4 * (rows - 155.0))
    seen = window(mask, slanted)
    found = thin_parts(seen, seen.inwards(), SIDE)
    middle = leg & (rows > 105)
    slope = np.polyfit(rows[middle], 1 / found.depth[middle], 1)[0]
    assert least < slope < most  # towards the vertical


def test_the_width_of_a_strip_is_known_at_each_of_its_pixels():
    mask = np.zeros((100, 100), bool)
    mask[10:90, 40:52] = True
    inwards = window(mask, np.ones(mask.shape)).inwards()
    found = half_width(mask, inwards, 20.0)
    assert (found[20:80, 42:50] > 4.5).all() and found[mask].max() <= 6.0
    assert (found[~mask] == 0).all()


@pytest.mark.parametrize("bend", [0.0, 0.1])
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_a_measured_leg_loses_its_noise_and_nothing_else(bend, noise):
    mask, leg, _ = seat_on_a_leg()
    along = (np.mgrid[:SIZE, :SIZE][0] - 90) / 130
    slanted = 2.0 + np.where(leg, 0.3 * along + bend * np.sin(np.pi * along), 0.0)
    noisy = slanted * (1 + noise * np.random.default_rng(0).standard_normal(mask.shape))
    seen = window(mask, noisy)
    inner = leg & (np.mgrid[:SIZE, :SIZE][0] > 105)

    def error(depth):
        return np.sqrt(np.mean((depth[inner] - slanted[inner]) ** 2))

    found = error(thin_parts(seen, seen.inwards(), SIDE, measured=True).depth)
    believed = error(thin_parts(seen, seen.inwards(), SIDE).depth)
    assert found < 0.5 * believed and found < 0.004 + (0.008 if bend and noise else 0.0)
