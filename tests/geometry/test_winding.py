import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.winding import build_triangle_tree, inside, winding_number

POINTS = np.random.default_rng(0).uniform(-1.5, 1.5, (3000, 3))


def tree_of(mesh):
    return build_triangle_tree(mesh.vertices, mesh.faces)


def exact(mesh, points):
    """Every triangle by itself."""
    return winding_number(tree_of(mesh), points, accuracy=np.inf)


@pytest.mark.compiles
def test_a_ball_is_one_inside_and_zero_outside():
    ball = trimesh.creation.icosphere(4, 1.0)
    radius = np.linalg.norm(POINTS, axis=1)
    clear = np.abs(radius - 1) > 0.02
    np.testing.assert_allclose(
        winding_number(tree_of(ball), POINTS)[clear], (radius < 1)[clear], atol=0.03
    )
    np.testing.assert_array_equal(inside(tree_of(ball), POINTS)[clear], (radius < 1)[clear])


def test_groups_change_little_against_the_sum_over_all_triangles():
    torus = trimesh.creation.torus(0.8, 0.3, 64, 32)
    np.testing.assert_allclose(
        winding_number(tree_of(torus), POINTS), exact(torus, POINTS), atol=0.05
    )
    half_space = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    np.testing.assert_allclose(
        winding_number(tree_of(half_space), POINTS), exact(half_space, POINTS), atol=0.03
    )


def test_a_single_triangle_covers_one_eighth_of_the_sky_of_its_corner_point():
    octant = trimesh.Trimesh([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 2]], process=False)
    assert exact(octant, np.zeros((1, 3)))[0] == pytest.approx(1 / 8)


def test_holes_are_closed_and_inside_out_counts_as_itself():
    ball = trimesh.creation.icosphere(4, 1.0)
    holed = trimesh.Trimesh(
        ball.vertices, ball.faces[ball.triangles_center[:, 1] < 0.8], process=False
    )  # without its cap
    flipped = trimesh.Trimesh(ball.vertices, ball.faces[:, ::-1], process=False)
    truth = inside(tree_of(ball), POINTS)
    assert (inside(tree_of(holed), POINTS) == truth).mean() > 0.99
    np.testing.assert_array_equal(inside(tree_of(flipped), POINTS), truth)


def test_overlapping_parts_count_as_their_union():
    low = trimesh.creation.box((1, 1, 1))
    high = trimesh.creation.box((1, 1, 1)).apply_translation([0.3, 0.4, 0.2])
    both = inside(tree_of(trimesh.util.concatenate([low, high])), POINTS)
    union = (np.abs(POINTS) < 0.5).all(1) | (np.abs(POINTS - [0.3, 0.4, 0.2]) < 0.5).all(1)
    np.testing.assert_array_equal(both, union)


def test_a_sheet_has_no_inside_and_no_area_is_refused():
    sheet = trimesh.Trimesh(
        [[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], [[0, 1, 2], [0, 2, 3]], process=False
    )
    assert not inside(tree_of(sheet), POINTS[np.abs(POINTS[:, 1]) > 0.05]).any()
    with pytest.raises(InputError, match="without area"):
        build_triangle_tree(np.zeros((3, 3)), np.array([[0, 1, 2]]))
