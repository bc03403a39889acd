"""Masses against formulas of mechanics."""

import numpy as np
import pytest
import trimesh

from maquette.simulation.hulls import convex_part
from maquette.simulation.mass import mesh_mass

DENSITY = 500.0
SIDES = np.array([0.4, 0.2, 0.1])


def mass_of(mesh):
    hull = convex_part(np.asarray(mesh.vertices), 1e-3)
    return mesh_mass(np.asarray(mesh.vertices), np.asarray(mesh.faces), hull, DENSITY)


def box_inertia(mass, sides):
    squares = np.square(sides)
    return np.diag(mass / 12 * (squares.sum() - squares))


@pytest.mark.parametrize("shift", [np.zeros(3), np.array([1.0, -2.0, 3.0])])
def test_a_box_has_the_mass_and_inertia_of_a_box(shift):
    box = trimesh.creation.box(SIDES)
    box.apply_translation(shift)
    body, remark = mass_of(box)
    assert remark == ""
    assert body.mass == pytest.approx(DENSITY * SIDES.prod())
    assert np.allclose(body.centre, shift)
    assert np.allclose(body.inertia, box_inertia(body.mass, SIDES), atol=1e-12)


def test_a_turned_box_has_the_turned_tensor():
    box = trimesh.creation.box(SIDES)
    turn = trimesh.transformations.euler_matrix(0.3, 0.5, 0.7)
    box.apply_transform(turn)
    body, _ = mass_of(box)
    rotation = turn[:3, :3]
    expected = rotation @ box_inertia(body.mass, SIDES) @ rotation.T
    assert np.allclose(body.inertia, expected)
    moments, axes = body.principal()
    assert np.allclose(axes @ np.diag(moments) @ axes.T, expected)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_a_surface_inside_out_has_the_same_mass():
    box = trimesh.creation.box(SIDES)
    box.invert()
    body, _ = mass_of(box)
    assert body.mass == pytest.approx(DENSITY * SIDES.prod())
    assert (np.diag(body.inertia) > 0).all()


def test_faces_that_share_no_vertices_are_welded():
    box = trimesh.creation.box(SIDES)
    box.unmerge_vertices()
    assert mass_of(box)[1] == ""


def test_a_ring_is_lighter_than_its_hull():
    ring = trimesh.creation.annulus(0.1, 0.2, 0.1, sections=64)
    body, remark = mass_of(ring)
    polygon = 64 / 2 * np.sin(2 * np.pi / 64)
    assert remark == ""
    assert body.mass == pytest.approx(DENSITY * polygon * (0.2**2 - 0.1**2) * 0.1)


def test_holes_are_closed_for_the_mass():
    box = trimesh.creation.box(SIDES)
    box.update_faces(np.abs(box.face_normals[:, 2] - 1) > 0.1)  # without its lid
    body, remark = mass_of(box)
    assert "holes" in remark
    assert body.mass == pytest.approx(DENSITY * SIDES.prod())


def test_a_surface_that_touches_itself_along_an_edge_encloses_its_volume():
    box = trimesh.creation.box(SIDES)
    beside = box.copy()
    beside.apply_translation([SIDES[0], SIDES[1], 0])
    body, remark = mass_of(trimesh.util.concatenate([box, beside]))
    assert remark == ""
    assert body.mass == pytest.approx(2 * DENSITY * SIDES.prod())


@pytest.mark.parametrize("kind", ["sheet", "mixed"])
def test_what_encloses_nothing_counts_as_its_hull(kind):
    box = trimesh.creation.box(SIDES)
    if kind == "sheet":
        box.vertices[:, 2] = 0
    else:
        box.faces[::2] = box.faces[::2, ::-1]
    body, remark = mass_of(box)
    assert "convex hull" in remark
    assert body.mass > 0 and np.linalg.eigvalsh(body.inertia).min() > 0


def test_another_mass_scales_the_tensor():
    body, _ = mass_of(trimesh.creation.box(SIDES))
    heavy = body.of_mass(3 * body.mass)
    assert np.allclose(heavy.inertia, 3 * body.inertia) and heavy.mass == 3 * body.mass


def test_under_a_linear_map_the_mass_is_that_of_the_mapped_surface():
    mesh = trimesh.creation.box(SIDES)
    mesh.apply_translation((0.3, -0.1, 0.5))
    linear = np.array([[-0.4, 0.1, 0.0], [0.0, 0.7, 0.2], [0.1, 0.0, 0.5]])  # mirrors
    mapped = trimesh.Trimesh(mesh.vertices @ linear.T, mesh.faces[:, ::-1])
    expected, _ = mass_of(mapped)
    found = mass_of(mesh)[0].transformed(linear)
    assert found.mass == pytest.approx(expected.mass)
    assert np.allclose(found.centre, expected.centre)
    assert np.allclose(found.inertia, expected.inertia)
