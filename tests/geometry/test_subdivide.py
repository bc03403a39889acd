"""A divided surface is the same surface, closed, with shorter edges."""

import numpy as np
import pytest
import trimesh

from maquette.geometry.subdivide import LONG, flat_share, with_short_edges


def edges(vertices, faces):
    corners = vertices[faces]
    return np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.box((1.0, 0.6, 0.3)),
        trimesh.creation.cylinder(0.3, 1.0),
        trimesh.creation.icosphere(1),
    ],
    ids=["box", "cylinder", "ball"],
)
def test_the_surface_stays_and_its_edges_get_short(mesh):
    vertices, faces = with_short_edges(mesh.vertices, mesh.faces, 100_000)
    made = trimesh.Trimesh(vertices, faces, process=False)
    assert made.is_watertight and made.is_winding_consistent
    assert made.volume == pytest.approx(mesh.volume) and made.area == pytest.approx(mesh.area)
    assert np.array_equal(vertices[: len(mesh.vertices)], mesh.vertices)
    assert edges(vertices, faces).max() <= LONG * np.ptp(mesh.vertices, axis=0).max() * 1.5
    assert flat_share(vertices, faces) < flat_share(mesh.vertices, mesh.faces)


@pytest.mark.parametrize("most", [12, 100, 1000])
def test_there_are_never_more_triangles_than_asked_for(most):
    box = trimesh.creation.box()
    vertices, faces = with_short_edges(box.vertices, box.faces, most)
    assert len(faces) <= most
    assert trimesh.Trimesh(vertices, faces, process=False).is_watertight
    if most == 100:  # the longest are divided first
        lengths = edges(vertices, faces)
        assert lengths.max() < 0.8 * edges(box.vertices, box.faces).max()


def test_a_fine_surface_stays_as_it_is():
    ball = trimesh.creation.icosphere(5)
    vertices, faces = with_short_edges(ball.vertices, ball.faces, 10**6)
    assert vertices is ball.vertices or np.array_equal(vertices, ball.vertices)
    assert len(faces) == len(ball.faces) and flat_share(vertices, faces) == 0
    assert flat_share(*(np.asarray(part) for part in parts_of_a_box())) == 1


def parts_of_a_box():
    box = trimesh.creation.box()
    return box.vertices, box.faces
