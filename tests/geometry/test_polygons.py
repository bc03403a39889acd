"""Polygons cut into triangles: their areas add up to the polygon's, whatever its shape."""

import numpy as np
import pytest

from maquette.geometry.polygons import area_vector, ear_clipped, fan_covers

BRACKET = ((0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3))
ARROW = ((0, 0), (2, 1), (0, 2), (1, 1))
RINGED = ((0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1))
WITH_MIDPOINTS = ((0, 0), (1, 0), (2, 0), (2, 2), (1, 1), (0, 2), (0, 1))


def star(points: int, seed: int) -> np.ndarray:
    """A jagged star (2 * points, 2), far from convex."""
    radius = np.random.default_rng(seed).uniform(0.2, 1.0, 2 * points)
    angle = np.arange(2 * points) * np.pi / points
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def in_space(polygon, seed: int) -> np.ndarray:
    """The polygon somewhere in space, turned at random."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(polygon, float) @ rotation[:2] + rng.normal(size=3)


POLYGONS = [BRACKET, BRACKET[::-1], ARROW, RINGED, WITH_MIDPOINTS, *(star(9, k) for k in range(6))]


@pytest.mark.parametrize("polygon", POLYGONS)
def test_triangles_cover_the_polygon_exactly_once(polygon):
    """No triangle turns back, and the areas add up, so none overlaps another or leaves a gap."""
    corners = in_space(polygon, len(polygon))
    triangles = ear_clipped(corners)
    assert triangles.shape == (len(corners) - 2, 3)
    whole = area_vector(corners)
    parts = area_vector(corners[triangles])
    assert (parts @ whole >= -1e-12).all()
    assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(np.linalg.norm(whole))


def test_every_side_of_the_polygon_stays_a_side_of_a_triangle():
    triangles = ear_clipped(in_space(star(7, 1), 0))
    sides = {(a, b) for t in triangles.tolist() for a, b in zip(t, t[1:] + t[:1])}
    assert {(k, (k + 1) % 14) for k in range(14)} <= sides


def test_a_fan_is_right_for_convex_polygons_from_any_corner_and_for_some_others():
    hexagon = [(np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3]
    turned = np.stack([in_space(np.roll(hexagon, k, axis=0), k) for k in range(6)])
    assert fan_covers(turned).all()
    arrows = np.stack([in_space(np.roll(ARROW, -k, axis=0), 0) for k in range(4)])
    assert fan_covers(arrows).tolist() == [False, True, False, True]  # from its notch or its tip


def test_the_area_vector_is_the_sum_of_any_triangles():
    corners = in_space(BRACKET, 3)
    assert np.linalg.norm(area_vector(corners)) == pytest.approx(7.0)
    assert np.allclose(area_vector(corners), area_vector(corners[ear_clipped(corners)]).sum(0))


def test_a_polygon_that_crosses_itself_or_has_no_area_still_ends_in_triangles():
    bow_tie = in_space([(0, 0), (1, 1), (1, 0), (0, 1), (0.5, 3)], 1)
    line = in_space([(k, 0) for k in range(5)], 2)
    assert len(ear_clipped(bow_tie)) == len(ear_clipped(line)) == 3
