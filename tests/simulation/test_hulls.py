"""Convex shapes: closed, outward, few vertices, never flat, and as large as what they stand for."""

import numpy as np
import pytest
import trimesh

from maquette.simulation.hulls import ConvexPart, box_part, convex_part, overlap_along

THICKNESS = 0.01


def mesh_of(part):
    return trimesh.Trimesh(part.vertices, part.faces, process=False)


@pytest.mark.parametrize("count", [5, 100, 2000])
def test_hulls_are_closed_face_outward_and_keep_their_box(count):
    points = np.random.default_rng(count).normal(size=(count, 3))
    part = convex_part(points, THICKNESS)
    mesh = mesh_of(part)
    assert mesh.is_watertight and mesh.volume == pytest.approx(part.volume) and part.volume > 0
    assert len(part.vertices) <= 64
    assert np.allclose(mesh.bounds, [points.min(0), points.max(0)])


def test_a_hull_of_few_corners_is_the_exact_hull():
    points = np.random.default_rng(0).normal(size=(40, 3))
    exact = trimesh.convex.convex_hull(points)
    assert convex_part(points, 0.0).volume == pytest.approx(exact.volume)


def turned(points):
    return points @ trimesh.transformations.euler_matrix(0.3, 0.5, 0.7)[:3, :3].T


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((3, 3)),
        np.linspace(0, 1, 5)[:, None] * [1, 0, 0],
        np.random.default_rng(1).uniform(size=(30, 3)) * [1, 1, 0],
        turned(np.random.default_rng(1).uniform(size=(30, 3)) * [1, 1, 0]),
        turned(np.random.default_rng(1).uniform(size=(30, 3)) * [1, 1, 1e-5]),
    ],
    ids=["point", "line", "sheet", "turned sheet", "nearly a sheet"],
)
def test_what_is_flat_gets_a_thickness(points):
    part = convex_part(points, THICKNESS)
    mesh = mesh_of(part)
    assert mesh.is_watertight and mesh.volume > 0
    smallest = trimesh.bounds.oriented_bounds(mesh)[1].min()
    assert smallest == pytest.approx(THICKNESS, rel=0.05)


def test_boxes_are_boxes():
    part = box_part(np.array([[0, 0, 0], [1, 2, 0]]), 0.1)
    assert part.volume == pytest.approx(0.2)
    assert len(part.vertices) == 8


def test_a_mirror_image_still_faces_outward():
    part = box_part(np.array([[0, 0, 0], [1, 2, 3]]), 0.1)
    assert part.transformed(np.diag([-1.0, 2.0, 1.0])).volume == pytest.approx(12)


@pytest.mark.parametrize("gap", [-0.3, 0.0, 0.2])
def test_overlap_along_a_direction_is_what_one_must_move(gap):
    one = box_part(np.array([[0, 0, 0], [1, 1, 1.0]]), 1e-3)
    away = np.array([0.6, 0.0, 0.8])
    other = ConvexPart(one.vertices + (0.0, 0.5, 1.0 + gap), one.faces)
    found = overlap_along([one], [other, other], away)
    assert found == pytest.approx(max(-gap, 0) / 0.8, abs=1e-6)
    apart = ConvexPart(one.vertices - (found + 1e-6) * away, one.faces)
    assert overlap_along([apart], [other], away) == 0
