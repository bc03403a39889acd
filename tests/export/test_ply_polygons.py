"""PLY files with polygons: what belongs to a face or a corner stays with it."""

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.export.ply_polygons import ply_of_triangles
from tests.export.polygons import AREA, COLOURS, ply, read


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_the_colour_of_a_face_is_that_of_its_triangles(tmp_path, order):
    mesh = read(tmp_path, "ply", ply(order))
    expected = np.repeat(COLOURS, [6, 1, 2], axis=0)
    assert (mesh.visual.face_colors[:, :3] == expected).all()


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_texture_coordinates_stay_with_their_corners(tmp_path, order):
    mesh = read(tmp_path, "ply", ply(order, texture=True))
    assert mesh.area == pytest.approx(AREA)
    np.testing.assert_allclose(mesh.visual.uv, mesh.vertices[:, :2] / 7, atol=1e-6)


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_faces_of_equal_length_are_read_as_well(tmp_path, order):
    squares = [[11, 12, 13, 14], [8, 9, 13, 14]]
    assert len(read(tmp_path, "ply", ply(order, squares)).faces) == 4


def test_a_cut_off_file_is_an_input_error(tmp_path):
    for order in ("", "<", ">"):
        content = ply(order)
        for size in range(content.index(b"end_header") + 12, len(content) - 60, 17):
            with pytest.raises(InputError):
                read(tmp_path, "ply", content[:size])


def test_what_consists_of_triangles_is_left_to_trimesh():
    ball = trimesh.creation.icosphere(1)
    for encoding in ("ascii", "binary"):
        assert ply_of_triangles(ball.export(file_type="ply", encoding=encoding)) is None
    assert ply_of_triangles(b"ply\nnothing") is None
