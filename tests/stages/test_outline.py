"""What is known of an object's outline: which pixels are background, and which may hide it."""

import numpy as np
import trimesh

from maquette.stages.outline import Outline
from tests.stages.vases import CAMERA, PHOTO, leaning, photographed, vase

WINDOW = 96


def outline_of(*meshes):
    seen, labels = photographed(*meshes)
    return Outline.of(seen, PHOTO, labels, 1, WINDOW)


def test_what_it_stands_before_hides_nothing_of_it():
    board = trimesh.creation.box((1.2, 0.8, 0.02)).apply_translation([0, 0, -0.5])
    outline = outline_of(vase(), board)
    assert not outline.unknown.any()


def test_what_stands_before_it_may_hide_it():
    wall = trimesh.creation.box((0.2, 0.5, 0.02)).apply_translation([0.13, 0.0, 0.35])
    outline = outline_of(vase(), wall)
    assert outline.unknown[:, -20:].any() and not outline.unknown[:, :20].any()
    assert not (outline.unknown & outline.own).any()


def test_what_a_mask_leaves_out_inside_is_not_background():
    seen, labels = photographed(vase())
    rows, columns = np.nonzero(labels)
    y, x = int(rows.mean()), int(columns.mean())
    labels[y - 3 : y + 3, x - 3 : x + 3] = 0
    outline = Outline.of(seen, PHOTO, labels, 1, WINDOW)
    assert outline.unknown.any()
    assert np.array_equal(outline.own | outline.unknown, outline_of(vase()).own)


def test_rays_pass_through_their_pixels():
    outline = outline_of(vase())
    seen = outline.rays @ CAMERA.rotation @ CAMERA.intrinsics.T
    assert np.allclose(seen[:, :2] / seen[:, 2:], outline.pixels)
    own = outline.own.reshape(-1)
    assert outline.holds(outline.rays[own]).all() and not outline.holds(outline.rays[~own]).any()


def test_background_is_beside_the_object():
    outline = outline_of(vase())
    assert len(outline.background) > 100
    assert not outline.holds(outline.background).any()
    assert not outline.holds(outline.outer_rays).any() and outline.holds(outline.inner_rays).all()


def test_the_lean_is_that_of_the_middles_of_its_rows():
    for degrees in (0, 5):
        turn = outline_of(vase(leaning(degrees))).lean()
        axis = leaning(degrees)[:3, :3] @ [0, 1, 0]
        assert np.rad2deg(np.arccos(min((turn @ axis)[1], 1.0))) < 2


def test_what_lies_does_not_lean():
    assert np.array_equal(outline_of(vase(leaning(60))).lean(), np.eye(3))
