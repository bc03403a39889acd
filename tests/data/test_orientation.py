import numpy as np
import pytest
import trimesh

from maquette.data.orientation import flipped, orient

pytest.importorskip("igl")


def test_orient_cancels_opposite_twins_and_turns_closed_patches_outward():
    mesh = trimesh.creation.icosphere(1)
    faces = np.concatenate([mesh.faces[:, ::-1], [[0, 1, 2], [2, 1, 0]]])
    turned = orient(np.asarray(mesh.vertices), faces)
    assert len(turned) == len(mesh.faces)
    assert trimesh.Trimesh(mesh.vertices, turned, process=False).volume == pytest.approx(
        mesh.volume
    )


def test_faces_that_were_turned_at_random_are_the_flipped_ones():
    mesh = trimesh.creation.icosphere(2)
    vertices = np.asarray(mesh.vertices)
    turned = np.random.default_rng(0).random(len(mesh.faces)) < 0.4
    faces = np.where(turned[:, None], mesh.faces[:, ::-1], mesh.faces)
    assert (flipped(vertices, faces) == turned).all()
    assert flipped(vertices, faces[:0]).shape == (0,)


def test_an_open_patch_keeps_the_direction_of_most_of_its_area():
    mesh = trimesh.creation.icosphere(2)
    half = mesh.faces[mesh.triangles_center[:, 1] > 0]
    inward = half[:, ::-1]
    assert not flipped(np.asarray(mesh.vertices), inward).any()
    few = np.arange(len(half)) % 5 == 0
    mixed = np.where(few[:, None], half, inward)
    assert (flipped(np.asarray(mesh.vertices), mixed) == few).all()
