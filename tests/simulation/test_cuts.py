"""Straight cuts: what they find, what they keep, and that they take little time."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from maquette.geometry.transforms import rotation_y
from maquette.simulation.cuts import MOST_PARTS, cut_parts
from tests.simulation.test_parts import ell


def cut(mesh):
    return cut_parts(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def volume(parts):
    return sum(ConvexHull(points).volume for points in parts)


def are_inside(points, parts):
    """Of each of points (N, 3), how far it is outside of all hulls."""
    outside = np.full(len(points), np.inf)
    for corners in parts:
        planes = ConvexHull(corners).equations
        outside = np.minimum(outside, (points @ planes[:, :3].T + planes[:, 3]).max(1))
    return outside.max() < 1e-9


def table():
    """A board on four legs, as one closed surface (the union of its boxes on a grid)."""
    solid = np.zeros((12, 8, 12), bool)
    solid[1:11, 6:7, 1:11] = True
    for x in (1, 9):
        for z in (1, 9):
            solid[x : x + 2, 1:7, z : z + 2] = True
    filled = trimesh.voxel.ops.matrix_to_marching_cubes(solid)
    return filled.apply_scale(1 / np.ptp(filled.bounds, axis=0).max())


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_an_ell_and_a_table_are_their_boxes_however_they_are_turned(turn):
    for mesh, count in ((ell(), 2), (table(), 5)):
        mesh = mesh.copy()
        mesh.vertices = mesh.vertices @ rotation_y(turn).T
        parts = cut(mesh)
        assert count <= len(parts) < 2 * count
        assert volume(parts) < 1.25 * mesh.volume < 0.8 * ConvexHull(mesh.vertices).volume
        assert are_inside(np.asarray(mesh.vertices), parts)


def test_a_hollow_stays_with_what_is_around_it():
    outer = trimesh.creation.box((1, 1, 1))
    inner = trimesh.creation.box((0.8, 0.8, 0.8))
    inner.invert()
    (part,) = cut(trimesh.util.concatenate([outer, inner]))
    assert ConvexHull(part).volume == pytest.approx(1)


def test_what_is_cut_twice_is_not_taken_for_two_sheets():
    cross = trimesh.util.concatenate(
        [trimesh.creation.box((1, 0.2, 0.2)), trimesh.creation.box((0.2, 0.2, 1))]
    )
    parts = cut(cross)
    assert volume(parts) >= 0.99 * 0.072 and are_inside(np.asarray(cross.vertices), parts)


def test_there_are_never_too_many_and_flat_things_do_not_matter():
    balls = []
    for k in range(MOST_PARTS + 4):
        ball = trimesh.creation.icosphere(1, 0.02)
        ball.apply_translation((0.1 * (k % 8), 0.1 * (k // 8), 0))
        balls.append(ball)
    assert len(cut(trimesh.util.concatenate(balls))) == MOST_PARTS
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]])
    assert [len(points) for points in cut(sheet)] == [3]
