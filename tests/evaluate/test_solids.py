import numpy as np
import pytest
import trimesh

from maquette.evaluate.solids import (
    contains,
    grid,
    overlap_volume,
    solid_of,
    volume_and_centre,
    volumetric_iou,
)
from tests.evaluate.scenes import chair


def box(sides=(1, 1, 1), at=(0, 0, 0)):
    return trimesh.creation.box(sides).apply_translation(at)


def test_two_shifted_boxes_have_the_known_iou_and_overlap():
    a = box()
    b = box(at=(0.5, 0, 0))
    assert volumetric_iou(a, b, 32) == pytest.approx(1 / 3, abs=0.03)
    assert overlap_volume(solid_of(a), solid_of(b)) == pytest.approx(0.5, rel=1e-6)
    assert overlap_volume(solid_of(a), solid_of(box(at=(1.5, 0, 0)))) == 0.0


def test_identity_is_one_and_disjoint_is_zero():
    assert volumetric_iou(chair(), chair(), 32) == 1.0
    assert volumetric_iou(box(), box(at=(3, 0, 0)), 32) == 0.0


def test_iou_does_not_depend_on_units_vertex_order_or_subdivision():
    a = chair()
    b = chair().apply_translation([0.05, 0.02, 0.0])
    plain = volumetric_iou(a, b, 32)
    assert 0.2 < plain < 0.9
    assert volumetric_iou(
        a.copy().apply_scale(1000), b.copy().apply_scale(1000), 32
    ) == pytest.approx(plain, abs=0.01)
    assert volumetric_iou(a.subdivide(), b, 32) == pytest.approx(plain, abs=0.02)
    shuffled = trimesh.Trimesh(a.vertices, a.faces[::-1], process=False)
    assert volumetric_iou(shuffled, b, 32) == pytest.approx(plain, abs=0.02)


def test_open_meshes_are_closed_and_sheets_hold_nothing():
    ball = trimesh.creation.icosphere(3, 1.0)
    holed = trimesh.Trimesh(
        ball.vertices, ball.faces[ball.triangles_center[:, 1] < 0.85], process=False
    )
    assert volumetric_iou(holed, ball, 32) > 0.97
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]], process=False)
    assert volumetric_iou(sheet, ball, 32) == 0.0 == volumetric_iou(sheet, sheet, 32)
    volume, centre = volume_and_centre(solid_of(sheet))
    assert volume == 0.0 and centre == pytest.approx([1 / 3, 0, 1 / 3])


def test_volume_and_centre_agree_with_the_exact_ones_of_trimesh():
    cone = trimesh.creation.cone(0.5, 1.0)
    volume, centre = volume_and_centre(solid_of(cone), 48)
    assert volume == pytest.approx(cone.volume, rel=0.02)
    np.testing.assert_allclose(centre, cone.center_mass, atol=0.01)


def test_overlapping_parts_are_not_counted_twice():
    assert volume_and_centre(solid_of(trimesh.util.concatenate([box(), box()])))[
        0
    ] == pytest.approx(1.0, rel=1e-6)


def test_grid_cells_fill_the_box():
    cells, volume = grid(np.array([[0, 0, 0], [4.0, 2.0, 1.0]]), 8)
    assert len(cells) == 8 * 4 * 2 and volume * len(cells) == pytest.approx(8.0)
    np.testing.assert_allclose(
        [cells.min(0), cells.max(0)], [[0.25, 0.25, 0.25], [3.75, 1.75, 0.75]]
    )


def test_nothing_is_inside_of_nothing():
    line = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    for mesh in (trimesh.Trimesh(), line):
        assert not contains(solid_of(mesh), np.zeros((2, 3))).any()
        assert (
            volumetric_iou(mesh, box(), 8)
            == 0.0
            == overlap_volume(solid_of(mesh), solid_of(box()), 8)
        )
