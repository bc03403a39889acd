"""The plane of things that have one, from their front alone; none for things that have none."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, maximum_filter

from maquette.geometry.volumes import TRUNCATION
from maquette.stages.mirror import MirrorPlane, VisibleMatter, mirrored_field, sampled

CELLS = 64
STEPS = (np.arange(CELLS) + 0.5) / CELLS - 0.5
GRID = np.stack(np.meshgrid(STEPS, STEPS, STEPS, indexing="ij"), axis=-1)
SIGHT = np.array([0.0, 0.0, 1.0])


def balls(*places):
    """Field of balls, each a centre and a radius."""
    distances = [np.linalg.norm(GRID - centre, axis=-1) - radius for centre, radius in places]
    return (np.minimum.reduce(distances) / TRUNCATION).clip(-1, 1)


def twins(plane, *places):
    """Balls and their mirror images."""
    every = []
    for centre, radius in places:
        image = plane.reflect(np.array([centre]))[0]
        every += [(np.array(centre), radius), (image, radius)]
    return balls(*every)


def seen_from_front(field):
    """What a camera far away in front sees: the first solid cell along -z."""
    solid = field < 0
    first = CELLS - 1 - solid[:, :, ::-1].argmax(2)
    x, y = np.nonzero(solid.any(2))
    points = np.stack([STEPS[x], STEPS[y], STEPS[first[x, y]] + 0.5 / CELLS], axis=1)
    front = maximum_filter(np.where(solid.any(2), STEPS[first], -1.0), 3)  # no edge within a cell
    outside = distance_transform_edt(~solid.any(2)) / CELLS

    def emptiness(places):
        column, row = ((places[:, :2] + 0.5) * CELLS).astype(int).clip(0, CELLS - 1).T
        beyond = (places[:, 2] - front[column, row]).clip(0)
        return np.where(solid.any(2)[column, row], beyond, outside[column, row])

    return VisibleMatter(field, points, emptiness, SIGHT)


@pytest.mark.parametrize("degrees", [20.0, 50.0, 130.0, 160.0])
def test_the_plane_is_found_from_the_front(degrees):
    plane = MirrorPlane(np.deg2rad(degrees), 0.03)
    away = 0.2 * plane.normal
    along = 0.2 * np.cross(plane.normal, [0, 1, 0])
    field = twins(plane, (away + [0, -0.1, 0], 0.14), (0.6 * away + along + [0, 0.2, 0], 0.1))
    found = seen_from_front(field).find_plane()
    assert found is not None
    turn = np.rad2deg(found.angle) - degrees
    assert min(abs(turn), abs(abs(turn) - 180)) < 4
    at = found.reflect(plane.reflect(GRID[::8, ::8, ::8].reshape(-1, 3)))
    assert np.abs(at - GRID[::8, ::8, ::8].reshape(-1, 3)).max() < 0.06


@pytest.mark.parametrize("degrees", [22.0, 26.3, 28.8, 31.0])
def test_the_plane_of_a_box_is_found_between_the_angles_that_are_tried(degrees):
    """Its flat faces contradict every other angle but that of its second plane."""
    plane = MirrorPlane(np.deg2rad(degrees), 0.0)
    across = np.abs(GRID @ plane.normal) - 0.3
    along = np.abs(GRID @ np.cross(plane.normal, [0, 1, 0])) - 0.2
    box = np.maximum.reduce([across, along, np.abs(GRID[..., 1]) - 0.25])
    found = seen_from_front((box / TRUNCATION).clip(-1, 1)).find_plane()
    assert found is not None
    turn = np.rad2deg(found.angle) - degrees
    assert abs((turn + 45) % 90 - 45) < 2


@pytest.mark.parametrize("degrees", [35.0, 60.0])
def test_a_table_has_a_second_plane_at_right_angles(degrees):
    """Four balls as its feet, which the camera sees over a corner."""
    first = MirrorPlane(np.deg2rad(degrees), 0.0)
    feet = [np.array([x, 0.0, z]) for x in (-0.22, 0.22) for z in (-0.15, 0.15)]
    level = np.array([first.normal, [0, 1, 0], np.cross(first.normal, [0, 1, 0])])
    matter = seen_from_front(balls(*((foot @ level, 0.1) for foot in feet)))
    second = matter.find_second(first)
    assert second is not None
    assert abs(second.normal @ first.normal) < 0.07 and abs(second.offset) < 0.02


def test_a_chair_has_no_second_plane():
    """Two low balls in front of two high ones, seen over a corner."""
    first = MirrorPlane(np.deg2rad(45.0), 0.0)
    level = np.array([first.normal, [0, 1, 0], np.cross(first.normal, [0, 1, 0])])
    low = [(np.array([x, -0.2, 0.2]) @ level, 0.1) for x in (-0.2, 0.2)]
    high = [(np.array([x, 0.2, -0.2]) @ level, 0.14) for x in (-0.2, 0.2)]
    matter = seen_from_front(balls(*low, *high))
    assert matter.find_plane() is not None and matter.find_second(first) is None


def test_a_thing_without_a_plane_has_none():
    places = [((-0.3, -0.3, 0.1), 0.1), ((-0.05, 0.3, -0.1), 0.14), ((0.3, 0.0, 0.2), 0.07)]
    crooked = balls(*((np.array(centre), radius) for centre, radius in places))
    assert seen_from_front(crooked).find_plane() is None


@pytest.mark.parametrize("count", [0, 10])
def test_next_to_nothing_seen_speaks_for_no_plane(count):
    field = balls((np.zeros(3), 0.3))
    matter = seen_from_front(field)
    few = VisibleMatter(field, matter.points[:count], matter.emptiness, SIGHT)
    assert matter.find_plane() is not None and few.find_plane() is None


def test_from_right_above_no_side_is_hidden_behind_another():
    matter = seen_from_front(balls((np.zeros(3), 0.3)))
    above = VisibleMatter(matter.field, matter.points, matter.emptiness, np.array([0.0, 1.0, 0.0]))
    assert above.find_plane() is None


def test_a_mirror_image_of_a_mirror_image_is_the_thing():
    plane = MirrorPlane(0.4, 0.02)
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert np.allclose(plane.reflect(plane.reflect(points)), points)
    assert np.allclose(
        np.linalg.norm(plane.reflect(points)[1:] - plane.reflect(points)[:-1], axis=1),
        np.linalg.norm(points[1:] - points[:-1], axis=1),
    )


def test_what_is_symmetric_stays():
    plane = MirrorPlane(0.0, 0.0)  # between two cells: the grid has the same plane
    field = twins(plane, (np.array([0.2, 0.0, 0.1]), 0.15))
    assert np.allclose(mirrored_field(field, plane), field, atol=1e-6)
    moved = mirrored_field(balls((np.array([0.2, 0.0, 0.0]), 0.15)), plane)
    assert sampled(moved, np.array([[-0.2, 0.0, 0.0]]))[0] < -0.9
    assert sampled(moved, np.array([[0.2, 0.0, 0.0]]))[0] > 0.9
