"""Iso-surface: a sphere comes back where it is, outward and closed, also when it is cut by the
cube.
"""

import numpy as np
import pytest
import trimesh

from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.volumes import cell_centres


def sphere(centre, radius, resolution=32):
    return np.linalg.norm(cell_centres(resolution).numpy() - np.asarray(centre), axis=-1) - radius


def test_sphere_has_its_place_volume_and_outward_faces():
    vertices, faces = extract_isosurface(sphere([0.1, -0.05, 0.2], 0.2))
    mesh = trimesh.Trimesh(vertices, faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(
        4 / 3 * np.pi * 0.2**3, rel=0.02
    )  # negative if the faces pointed inward
    np.testing.assert_allclose(mesh.bounds.mean(0), [0.1, -0.05, 0.2], atol=2e-3)


def test_surface_cut_by_the_cube_is_closed():
    vertices, faces = extract_isosurface(sphere([0.5, 0.0, 0.0], 0.3))
    assert trimesh.Trimesh(vertices, faces).is_watertight


def test_nothing_inside_gives_an_empty_mesh():
    vertices, faces = extract_isosurface(np.ones((8, 8, 8)))
    assert len(vertices) == 0 and len(faces) == 0
