"""Undersides: what a slanted, ragged or missing one is made into, and that nothing else changes."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import Delaunay

from maquette.evaluate.physics import margin_in_hull
from maquette.geometry.boxes import bounding_box
from maquette.simulation.footing import (
    Standing,
    beyond,
    footed,
    levelled,
    with_base,
    with_hollow,
    with_patch,
)
from maquette.simulation.hulls import convex_part

EYE = np.array([0.0, 1.0, 5.0])


def of(mesh):
    vertices = np.asarray(mesh.vertices, np.float64)
    return Standing(vertices, np.asarray(mesh.faces), (convex_part(vertices, 1e-4),))


def block(sides=(1.0, 1.0, 1.0)):
    return of(trimesh.creation.box(sides).subdivide().subdivide())


def margin(made):
    """Of the centre of mass in its contacts."""
    corners = made.corners
    low = corners[:, 1].min()
    contacts = corners[corners[:, 1] < low + 1e-6]
    return margin_in_hull(made.centre[[0, 2]], contacts[:, [0, 2]])


def test_a_block_stays_as_it_is():
    given = block()
    made = footed(levelled(given, EYE), 0.3, -np.inf, 0.0)
    assert np.allclose(made.vertices, given.vertices) and len(made.parts) == 1
    assert made.parts[0].volume == pytest.approx(1)


@pytest.mark.parametrize("slope", [(0.2, 0.0), (0.0, -0.2), (0.1, 0.15)])
def test_a_slanted_underside_becomes_level_and_the_top_stays(slope):
    mesh = trimesh.creation.box((1.0, 1.0, 1.0)).subdivide()
    vertices = mesh.vertices.copy()
    is_low = vertices[:, 1] == -0.5
    vertices[is_low, 1] += vertices[is_low][:, [0, 2]] @ slope
    given = of(trimesh.Trimesh(vertices, mesh.faces))
    made = levelled(given, EYE)
    assert np.array_equal(made.vertices, given.vertices)  # what is seen
    ((before, after),) = [(a.vertices, b.vertices) for a, b in zip(given.parts, made.parts)]
    low = after[:, 1] < 0.45
    assert low.sum() == 4 and np.ptp(after[low, 1]) < 1e-9
    assert np.allclose(bounding_box(after)[1], bounding_box(before)[1])
    front = after[low][after[low, 2] == 0.5]
    assert min(np.linalg.norm(before - corner, axis=1).min() for corner in front) < 1e-9


def test_a_steep_underside_is_no_underside():
    wedge = of(trimesh.Trimesh([[0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]], None).convex_hull)
    assert np.array_equal(levelled(wedge, EYE).vertices, wedge.vertices)


def tripod_without_a_leg():
    top = trimesh.creation.box((1.0, 0.1, 1.0)).subdivide().subdivide().subdivide()
    legs = []
    for x in (-0.4, 0.4):
        leg = trimesh.creation.box((0.1, 1.0, 0.1))
        leg.apply_translation((x, -0.5, 0.4))
        legs.append(leg)
    return of(trimesh.util.concatenate([top, *legs]))


@pytest.mark.parametrize("reach", [0.2, 0.5])
def test_a_table_without_hind_legs_gets_one_and_stands(reach):
    given = tripod_without_a_leg()
    assert margin(given) < 0
    made = footed(levelled(given, EYE), reach, -np.inf, 0.0)
    assert margin(made) > 0.9 * reach * 0.5 * np.cos(np.pi / 16)
    assert len(made.parts) > len(given.parts)
    assert np.array_equal(made.vertices, given.vertices)  # nobody sees it
    low = given.vertices[:, 1].min()
    for leg in made.parts[1:]:
        assert leg.vertices[:, 1].min() == pytest.approx(low)
        assert leg.vertices[:, 1].max() < 0.06


def test_what_stands_on_something_thin_gets_feet_that_touch_the_ground_too():
    """A thin sole is thickened by what simulators need, not below the feet."""
    top = trimesh.creation.box((1.0, 0.1, 1.0)).subdivide().subdivide()
    sole = trimesh.creation.box((0.1, 1e-5, 0.1)).apply_translation((0.3, -0.5, 0.0))
    whole = of(trimesh.util.concatenate([top, sole]))
    parts = tuple(convex_part(one.vertices, 2e-3) for one in (top, sole))
    made = footed(Standing(whole.vertices, whole.faces, parts), 0.3, -np.inf, 0.0)
    assert margin(made) > 0.9 * 0.3 * 0.5 * np.cos(np.pi / 64)
    assert len(made.parts) < 2 + 12


def test_what_is_a_little_below_the_floor_is_raised_to_it_and_what_is_far_is_not():
    given = block()
    made = footed(given, 0.3, -0.4, 0.0)
    for points in (made.vertices, made.corners):
        assert points[:, 1].min() == pytest.approx(-0.4)
        assert np.ptp(points[:, 1]) == pytest.approx(0.9)
    assert footed(given, 0.3, 0.0, 0.0).vertices[:, 1].min() == pytest.approx(-0.5)


def test_contacts_reach_down_to_a_floor_that_is_near_and_what_is_seen_stays():
    given = block()
    made = footed(given, 0.3, -0.55, 0.1)
    assert made.corners[:, 1].min() == pytest.approx(-0.55)
    assert np.array_equal(made.vertices, given.vertices)
    for floor, gap in ((-0.55, 0.0), (-0.7, 0.1)):
        far = footed(given, 0.3, floor, gap)
        assert far.corners[:, 1].min() == pytest.approx(-0.5)


@pytest.mark.parametrize("place", [-0.3, 0.0, 0.2])
def test_a_convex_part_falls_into_what_is_on_both_sides_of_a_plane(place):
    (part,) = block().parts
    direction = np.array([0.6, 0.0, 0.8])
    ((upper,), (lower,)) = beyond(part, direction, place), beyond(part, -direction, -place)
    assert upper.volume + lower.volume == pytest.approx(1)
    assert (upper.vertices @ direction).min() == pytest.approx(place)
    assert (lower.vertices @ direction).max() == pytest.approx(place)
    assert beyond(part, direction, 0.71) == []


def test_a_pole_gets_a_leg_and_a_base_on_which_it_stands():
    shade = trimesh.creation.box((0.3, 0.2, 0.3))
    pole = trimesh.creation.box((0.02, 0.5, 0.02))
    for _ in range(5):
        pole = pole.subdivide()
    pole.apply_translation((0.02, -0.35, 0.0))
    given = of(trimesh.util.concatenate([shade, pole]))
    made = with_base(given, -0.8, 0.3)
    assert made.vertices[:, 1].min() == pytest.approx(-0.8)
    assert made.corners[:, 1].min() == pytest.approx(-0.8)
    above = given.vertices[:, 1] > -0.5
    assert np.array_equal(made.vertices[above], given.vertices[above])
    assert np.ptp(made.vertices[np.abs(made.vertices[:, 1] + 0.65) < 0.1], axis=0)[0] < 0.03
    assert margin(given) < margin(made)


def test_a_patch_levels_what_is_under_a_base_and_nothing_else():
    bumpy = trimesh.creation.box((1, 0.5, 1)).subdivide().subdivide().subdivide()
    top = bumpy.vertices[:, 1] > 0.249
    bumpy.vertices[top, 1] += 0.03 * np.sin(40 * bumpy.vertices[top, 0])
    part = convex_part(np.asarray(bumpy.vertices), 1e-3)
    given = Standing(np.asarray(bumpy.vertices), np.asarray(bumpy.faces), (part,))
    base = np.array([[x, 0.28, z] for x in (-0.2, 0.2) for z in (-0.2, 0.2)])
    made = with_patch(given, base)
    patch = made.parts[-1]
    assert len(made.parts) == 2 and np.isclose(patch.vertices[:, 1].max(), 0.28)
    assert np.allclose(bounding_box(patch.vertices)[:, [0, 2]], [[-0.2, -0.2], [0.2, 0.2]])
    assert np.array_equal(made.vertices, given.vertices)


def test_there_is_no_patch_where_nothing_is_near_below_or_the_base_is_a_line():
    box = trimesh.creation.box((1, 0.5, 1)).subdivide().subdivide()
    given = Standing(np.asarray(box.vertices), np.asarray(box.faces), ())
    base = np.array([[x, 0.25 + 0.2, z] for x in (-0.2, 0.2) for z in (-0.2, 0.2)])
    assert with_patch(given, base) is given
    assert with_patch(given, base[:2]) is given


def test_a_hollow_leaves_out_what_is_in_a_box_and_nothing_else():
    given = block()
    box = np.array([[-0.2, 0.1, -0.1], [0.3, 0.4, 0.2]])
    made = with_hollow(given, box)
    solids = [Delaunay(part.vertices) for part in made.parts]
    whole = sum(part.volume for part in made.parts)
    assert whole == pytest.approx(1 - 0.5 * 0.3 * 0.3, abs=1e-6)
    inside = np.array([[0.0, 0.11, 0.0], [0.29, 0.39, 0.19]])
    outside = np.array([[0.0, 0.09, 0.0], [0.31, 0.35, 0.0], [0.0, 0.45, 0.01]])
    for points, expected in ((inside, 0), (outside, 1)):
        found = [solid.find_simplex(points) >= 0 for solid in solids]
        assert (np.sum(found, axis=0) == expected).all()
    (beside,) = with_hollow(given, box + (2.0, 0.0, 0.0)).parts
    assert beside is given.parts[0]
    assert made.vertices is given.vertices
    low = [part.vertices[:, 1].min() for part in made.parts]
    assert np.sum(np.isclose(low, -0.5)) == 1  # more would each be in contact with the ground
