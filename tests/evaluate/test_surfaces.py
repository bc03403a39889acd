import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.surfaces import (
    joined,
    normalised,
    sample_mesh,
    stream,
    triangle_areas,
    why_no_surface,
)
from maquette.geometry.transforms import rotation_y, similarity
from tests.evaluate.scenes import chair


def test_samples_are_uniform_by_area_and_lie_on_the_mesh():
    """A box with sides 1, 2, 4: the share of points on each pair of faces is that of their area."""
    sides = np.array([1.0, 2.0, 4.0])
    surface = sample_mesh(trimesh.creation.box(sides), 40_000, np.random.default_rng(0))
    on_face = np.isclose(np.abs(surface.points), sides / 2, rtol=0, atol=1e-12)
    assert on_face.any(1).all()
    areas = np.array([8.0, 4.0, 2.0])
    np.testing.assert_allclose(on_face.mean(0), areas / areas.sum(), atol=0.01)
    np.testing.assert_allclose(surface.points.mean(0), 0.0, atol=0.02)
    np.testing.assert_array_equal(np.abs(surface.normals) > 0.5, on_face)


def test_points_of_one_triangle_have_its_moments():
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    points = sample_mesh(triangle, 50_000, np.random.default_rng(1)).points
    np.testing.assert_allclose(points.mean(0), [1 / 3, 1 / 3, 0], atol=0.005)
    np.testing.assert_allclose(points[:, 0].var(), 1 / 18, rtol=0.03)


def test_faces_without_area_and_unused_vertices_play_no_part():
    mesh = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]],
        [[0, 0, 1], [0, 1, 2], [2, 2, 2]],
        process=False,
    )
    surface = sample_mesh(mesh, 1000, np.random.default_rng(2))
    assert np.isfinite(surface.normals).all()
    np.testing.assert_array_equal(surface.box, [[0, 0, 0], [1, 1, 0]])


def test_transform_moves_points_and_normals():
    matrix = similarity(2.0, rotation_y(np.pi / 2), [1.0, 2.0, 3.0])
    plate = trimesh.Trimesh([[0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 2]], process=False)
    surface = sample_mesh(plate, 500, np.random.default_rng(3), matrix)
    np.testing.assert_allclose(surface.points[:, 2], 3.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(surface.normals @ [0, 0, 1]), 1.0)


@pytest.mark.parametrize(
    "unit, sides", [("per-axis", [1.9, 1.9, 1.9]), ("longest", [0.5, 1.0, 1.9])]
)
def test_normalised_boxes_have_the_promised_sides(unit, sides):
    mesh = trimesh.creation.box([0.5, 1.0, 1.9]).apply_translation([5, 6, 7])
    surface = normalised(sample_mesh(mesh, 2000, np.random.default_rng(4)), 0.95, unit)
    np.testing.assert_allclose(surface.box, np.array([[-0.5], [0.5]]) * sides, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0)


def test_stretched_normals_stay_perpendicular():
    """The normals of a stretched sphere are the gradient of the ellipsoid's equation."""
    ball = trimesh.creation.icosphere(4, 1.0)
    ball.vertices *= [1.0, 2.0, 4.0]
    surface = normalised(sample_mesh(ball, 3000, np.random.default_rng(5)), 1.0, "per-axis")
    assert ((surface.normals * surface.points).sum(1) > 0.99).all()


def test_flat_axes_are_left_alone():
    plate = trimesh.Trimesh([[0, 3, 0], [2, 3, 0], [0, 3, 1]], [[0, 1, 2]], process=False)
    surface = normalised(sample_mesh(plate, 100, np.random.default_rng(6)), 0.95, "per-axis")
    np.testing.assert_allclose(surface.box, [[-0.95, 0, -0.95], [0.95, 0, 0.95]])


def test_streams_depend_on_seed_role_and_name_only():
    draws = {
        (s, r, n): stream(s, r, n).random()
        for s in (0, 1)
        for r in ("truth", "predicted")
        for n in ("a", "b")
    }
    assert len(set(draws.values())) == 8
    assert draws[0, "truth", "a"] == stream(0, "truth", "a").random()


def test_joined_keeps_everything():
    parts = [sample_mesh(chair(), n, np.random.default_rng(7)) for n in (10, 20)]
    whole = joined(parts)
    assert whole.points.shape == whole.normals.shape == (30, 3)
    np.testing.assert_array_equal(whole.points[10:], parts[1].points)


def test_what_is_wrong_with_a_mesh_is_said():
    mesh = chair()
    assert why_no_surface(mesh, "chair") == ""
    assert "no faces" in why_no_surface(trimesh.Trimesh(mesh.vertices), "chair")
    assert "no area" in why_no_surface(
        trimesh.Trimesh([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2]], process=False), "chair"
    )
    broken = mesh.vertices.copy()
    broken[3] = np.nan
    with pytest.raises(InputError, match="'chair': 1 of 56 vertices"):
        why_no_surface(trimesh.Trimesh(broken, mesh.faces, process=False), "chair")


def test_areas():
    np.testing.assert_allclose(
        triangle_areas(np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0]]), np.array([[0, 1, 2]])), [6.0]
    )
