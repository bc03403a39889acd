import numpy as np
import pytest
import trimesh

from maquette.data.assets import Asset
from maquette.data.fields import (
    CELL,
    FIELD_CLIP,
    FIELD_EXTENT,
    AssetField,
    compute_field,
    grid_points,
)

pytest.importorskip("igl")

CELLS = grid_points()


def asset(mesh: trimesh.Trimesh, colors: np.ndarray | None = None) -> Asset:
    tint = np.full((len(mesh.vertices), 3), 128, np.uint8) if colors is None else colors
    return Asset(
        "test", np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32), tint
    )


def sdf(mesh: trimesh.Trimesh) -> np.ndarray:
    return compute_field(asset(mesh)).sdf.astype(np.float64).reshape(-1)


def box_distance(
    size: tuple[float, float, float], center: tuple[float, float, float] = (0, 0, 0)
) -> np.ndarray:
    q = np.abs(CELLS - center) - np.array(size) / 2
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)


def test_grid_is_indexed_xyz_with_the_extent_in_the_contract():
    assert np.allclose(
        CELLS.reshape(64, 64, 64, 3)[3, 0, 63],
        ((np.array([3, 0, 63]) + 0.5) / 64 - 0.5) * FIELD_EXTENT,
    )


@pytest.mark.compiles
def test_sphere_is_exact_in_the_band_and_close_beyond():
    field = sdf(trimesh.creation.icosphere(4, radius=0.5))
    exact = np.linalg.norm(CELLS, axis=1) - 0.5
    assert (
        np.abs(field - exact)[np.abs(exact) < 3 * CELL].max() < 1.5e-3
    )  # the polyhedron itself is 0.8e-3 inside of the sphere
    assert np.abs(field - np.clip(exact, -FIELD_CLIP, FIELD_CLIP)).max() < CELL


def test_box_agrees_with_the_formula():
    field = sdf(trimesh.creation.box((1.0, 0.5, 0.3)))
    exact = box_distance((1.0, 0.5, 0.3))
    assert np.abs(field - exact)[np.abs(exact) < 3 * CELL].max() < 1e-4
    assert np.abs(field - np.clip(exact, -FIELD_CLIP, FIELD_CLIP)).max() < 0.5 * CELL


def test_random_orientation_of_faces_changes_nothing():
    mesh = trimesh.creation.box((1.0, 0.5, 0.3)).subdivide()
    faces = np.array(mesh.faces)
    turned = np.random.default_rng(0).random(len(faces)) < 0.5
    faces[turned] = faces[turned][:, ::-1]
    assert (sdf(mesh) == sdf(trimesh.Trimesh(mesh.vertices, faces, process=False))).all()


def test_overlapping_parts_are_a_union_also_when_one_is_inside_out():
    first = trimesh.creation.box((1.0, 0.5, 0.3))
    second = trimesh.creation.box((0.2, 0.8, 0.2))
    second.invert()
    field = sdf(trimesh.util.concatenate([first, second]))
    union = np.minimum(box_distance((1.0, 0.5, 0.3)), box_distance((0.2, 0.8, 0.2)))
    assert ((field < 0) == (union < 0)).all()
    assert np.abs(field - union)[(union > 0) & (union < 3 * CELL)].max() < 1e-4


def test_walls_buried_in_a_solid_are_no_surface():
    outer = trimesh.creation.box((1.0, 0.6, 0.6))
    buried = trimesh.creation.box((0.2, 0.2, 0.2))
    assert (
        np.abs(
            sdf(trimesh.util.concatenate([outer, buried]))
            - np.clip(box_distance((1.0, 0.6, 0.6)), -0.5, 0.5)
        ).max()
        < CELL
    )


def test_a_missing_bottom_leaves_a_solid():
    mesh = trimesh.creation.box((1.0, 0.6, 0.8))
    mesh.update_faces(mesh.face_normals[:, 1] > -0.5)
    field = sdf(mesh)
    exact = box_distance((1.0, 0.6, 0.8))
    assert ((field < 0) == (exact < 0)).mean() > 0.97
    assert (field[(exact < 0) & (CELLS[:, 1] > -0.1)] < 0).all()


def test_a_sealed_room_of_separate_double_sided_walls_is_solid():
    mesh = trimesh.creation.box((0.8, 0.6, 1.0))
    walls = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
    field = sdf(trimesh.Trimesh(mesh.vertices, walls, process=False))
    exact = box_distance((0.8, 0.6, 1.0))
    assert (field[exact < 0] < 0).all()
    assert (field[exact > 1.2 * CELL] > 0).all()


@pytest.mark.parametrize("normal", [(0, 1, 0), (1, 1, 0), (1, 2, 3)])
def test_a_single_sheet_keeps_about_one_cell_of_thickness_and_no_holes(normal):
    n = np.array(normal) / np.linalg.norm(normal)
    basis = np.linalg.svd(n[None])[2][1:]
    corners = 0.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ basis * 0.9 + 0.003 * n
    field = sdf(trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False))
    across = (CELLS - 0.003 * n) @ n
    along = np.abs(CELLS @ basis.T).max(1)
    exact = np.abs(across) - 0.5 * CELL
    middle = (along < 0.4) & (np.abs(across) < 2.5 * CELL)
    assert np.abs(field - exact)[middle].max() < 1e-3
    samples = np.random.default_rng(1).uniform(-0.4, 0.4, (500, 2)) @ basis + 0.003 * n
    nearest = np.floor((samples / FIELD_EXTENT + 0.5) * 64).astype(int)
    cube = field.reshape(64, 64, 64)
    assert all(
        cube[tuple(slice(max(i - 1, 0), i + 2) for i in index)].min() < 0 for index in nearest
    )


def test_thin_plates_do_not_vanish():
    field = sdf(trimesh.creation.box((1.0, 0.3 * CELL, 1.0))).reshape(64, 64, 64)
    assert (field[6:58, :, 6:58].min(1) < 0).all()


def test_an_open_half_of_a_sphere_is_not_inside_out():
    mesh = trimesh.creation.icosphere(3, radius=0.5)
    mesh.update_faces(mesh.triangles_center[:, 1] > -0.3)
    field = sdf(mesh)
    exact = np.linalg.norm(CELLS, axis=1) - 0.5
    assert (field[(exact < -CELL) & (CELLS[:, 1] > 0)] < 0).all()
    assert (field[exact > 2 * CELL] > 0).all()


def test_colours_come_from_the_closest_surface_point():
    mesh = trimesh.creation.box((1.0, 0.5, 0.5))
    colors = np.rint((np.asarray(mesh.vertices) + 0.5) * 200).astype(np.uint8)
    field: AssetField = compute_field(asset(mesh, colors))
    closest = np.clip(CELLS, [-0.5, -0.25, -0.25], [0.5, 0.25, 0.25])
    outside = (box_distance((1.0, 0.5, 0.5)) > 0) & (box_distance((1.0, 0.5, 0.5)) < 3 * CELL)
    difference = np.abs(
        field.rgb.reshape(-1, 3)[outside].astype(float) - (closest[outside] + 0.5) * 200
    )
    assert difference.max() <= 1.0
