"""From a volume to the mesh that people get."""

import numpy as np
import pytest
import torch

from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.stages.finish import LEAST_TRIANGLES, Finish, finished_mesh
from tests.stages.balls import RADIUS, perceived_ball

pytestmark = pytest.mark.usefixtures("coarse_fields")


def ball_volume():
    distance = cell_centres(64).norm(dim=-1) - RADIUS
    return torch.cat([(distance / TRUNCATION).clamp(-1, 1)[None], torch.zeros(3, 64, 64, 64)])


def made(**asked):
    return finished_mesh(ball_volume(), perceived_ball(256), 1, np.eye(4), Finish(**asked))


def test_the_photo_is_the_texture_unless_colours_per_vertex_are_asked_for():
    usual = made()
    assert usual.visual.kind == "texture"
    plain = made(texture="none")
    assert plain.visual.kind == "vertex" and len(plain.faces) > len(usual.faces)
    small = made(texture=32)
    assert max(small.visual.material.image.size) < max(usual.visual.material.image.size)


@pytest.mark.parametrize("triangles", [300, 3000])
def test_triangles_are_bounded_and_the_surface_stays_closed_and_in_place(triangles):
    mesh = made(triangles=triangles, texture="none")
    assert 0.5 * triangles < len(mesh.faces) <= 1.05 * triangles
    assert mesh.is_watertight and mesh.body_count == 1
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), RADIUS, atol=0.02)


def test_a_small_object_gets_fewer_triangles_than_a_large_one():
    seen = perceived_ball(256)
    small = seen.label_map.copy()
    small[:, 130:] = 0
    small[120:] = 0
    half = perceived_ball(256)
    half.label_map[:] = small
    few = finished_mesh(ball_volume(), half, 1, np.eye(4), Finish(fit=False))
    many = finished_mesh(ball_volume(), seen, 1, np.eye(4), Finish(fit=False))
    assert 0.9 * LEAST_TRIANGLES < len(few.faces) < len(many.faces)


def test_an_empty_volume_is_no_mesh():
    empty = torch.ones(4, 64, 64, 64)
    assert finished_mesh(empty, perceived_ball(256), 1, np.eye(4), Finish(fit=False)) is None
