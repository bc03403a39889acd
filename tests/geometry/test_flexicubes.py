"""FlexiCubes against geometry: the case table, closed oriented surfaces of the right size, means at
corners.
"""

import numpy as np
import pytest
import torch
import trimesh

from maquette.geometry.flexicubes import (
    CORNERS,
    EDGES,
    WEIGHTS,
    ambiguous_cases,
    corner_index,
    faces_of_a_cell,
    loops_of_cases,
    mesh_of_cells,
    surface_cells,
)


def grid(resolution):
    return torch.cartesian_prod(*[torch.arange(resolution + 1)] * 3) / resolution - 0.5


def described(distance, resolution, attributes=6, cells=None):
    """Features of cells (all of them by default) whose corners have the distances of a function of
    position.
    """
    cells = torch.cartesian_prod(*[torch.arange(resolution)] * 3) if cells is None else cells
    corners = distance(grid(resolution))[corner_index(cells, resolution)] + 1.0 / resolution
    return cells, torch.cat(
        [corners, torch.zeros(len(cells), 24 + WEIGHTS + 8 * attributes)], dim=1
    )


def ball(points, radius=0.3):
    return points.norm(dim=1) - radius


def test_every_sign_change_belongs_to_exactly_one_loop():
    for case, loops in enumerate(loops_of_cases()):
        crossing = [i for i, (a, b) in enumerate(EDGES) if (case >> a ^ case >> b) & 1]
        assert sorted(edge for loop in loops for edge in loop) == crossing


def test_the_table_has_the_known_counts():
    """Nielson 2004: at most four vertices per cell; two empty cases; 36 cases need a neighbour."""
    counts = [len(loops) for loops in loops_of_cases()]
    assert counts.count(0) == 2 and max(counts) == 4 and len(ambiguous_cases()) == 36
    assert all(len(loop) >= 3 for loops in loops_of_cases() for loop in loops)


def test_opposite_cases_have_loops_over_the_same_edges():
    for case, loops in enumerate(loops_of_cases()):
        assert sorted(e for loop in loops for e in loop) == sorted(
            e for loop in loops_of_cases()[255 - case] for e in loop
        )


def test_faces_have_neighbouring_corners():
    for face in faces_of_a_cell():
        assert all(
            sum(abs(a - b) for a, b in zip(CORNERS[face[i]], CORNERS[face[i - 1]])) == 1
            for i in range(4)
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_ball_is_closed_oriented_and_of_the_right_size(seed):
    resolution = 24
    g = torch.Generator().manual_seed(seed)
    cells, features = described(ball, resolution)
    features[:, 8:32] = 2 * torch.randn(
        24, generator=g
    )  # one deformation for all: the grid moves, the distances with it
    features[:, 32:53] = torch.randn(len(cells), WEIGHTS, generator=g)
    mesh = mesh_of_cells(cells, features, resolution)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert abs(solid.volume / (4 / 3 * np.pi * 0.3**3) - 1) < 0.2


def test_without_weights_vertices_lie_on_the_plane():
    normal = torch.nn.functional.normalize(torch.tensor([1.0, 0.4, -0.3]), dim=0)
    cells, features = described(lambda p: p @ normal - 0.03, 10)
    mesh = mesh_of_cells(cells, features, 10)
    torch.testing.assert_close(
        mesh.vertices @ normal, torch.full((len(mesh.vertices),), 0.03), atol=1e-6, rtol=0
    )
    triangles = mesh.vertices[mesh.faces]
    facing = torch.linalg.cross(
        triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    )
    assert (facing @ normal > 0).all()  # outwards


def test_cells_away_from_the_surface_may_be_left_out():
    """The decoder knows a shell only: the mesh is the same, because corners without a cell are
    outside of it or have no sign change.
    """
    resolution = 16
    cells, features = described(lambda p: ball(p), resolution)
    centre = (cells + 0.5) / resolution - 0.5
    outer = centre.norm(dim=1) < 0.3 + 3 / resolution
    full = mesh_of_cells(cells, features, resolution)
    shell = mesh_of_cells(cells[outer], features[outer], resolution)
    assert torch.equal(full.faces, shell.faces)
    torch.testing.assert_close(full.vertices, shell.vertices)


def test_corners_take_the_mean_of_their_cells():
    resolution = 8
    cells, features = described(ball, resolution)
    noisy = features.clone()
    noise = torch.randn(len(cells), 8, generator=torch.Generator().manual_seed(0)) * 0.01
    noisy[:, :8] += noise
    corners = corner_index(cells, resolution).flatten()
    mean = torch.zeros((resolution + 1) ** 3).index_add_(
        0, corners, noise.flatten()
    ) / torch.bincount(corners)
    expected = mesh_of_cells(*described(lambda p: ball(p) + mean, resolution), resolution)
    found = mesh_of_cells(cells, noisy, resolution)
    assert torch.equal(found.faces, expected.faces)
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-5, rtol=1e-5)


def test_attributes_are_interpolated_between_their_sigmoids():
    cells, features = described(ball, 8)
    features[:, 53:] = torch.tensor([-2.0, 0.0, 3.0, 1.0, 0.5, 9.0]).repeat(8)
    found = mesh_of_cells(cells, features, 8).attributes
    torch.testing.assert_close(
        found,
        torch.tensor([-2.0, 0.0, 3.0, 1.0, 0.5, 9.0]).sigmoid().expand_as(found),
        atol=1e-6,
        rtol=1e-5,
    )


def test_no_surface_is_an_empty_mesh():
    cells, features = described(lambda p: torch.ones(len(p)), 4)
    mesh = mesh_of_cells(cells, features, 4)
    assert (
        mesh.vertices.shape == (0, 3)
        and mesh.faces.shape == (0, 3)
        and mesh.attributes.shape == (0, 6)
    )


def test_random_signs_give_closed_surfaces():
    """All ambiguous configurations occur; inside the grid no edge of the mesh may be open."""
    g = torch.Generator().manual_seed(0)
    resolution = 10
    values = torch.rand((resolution + 1) ** 3, generator=g) - 0.5
    values[(grid(resolution).abs() > 0.45).any(1)] = 1.0
    cells, features = described(lambda p: values, resolution)
    mesh = mesh_of_cells(cells, features, resolution)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, counts = torch.unique(torch.sort(edges, dim=1).values, dim=0, return_counts=True)
    assert (counts % 2 == 0).all()
    assert torch.equal(torch.unique(mesh.faces), torch.arange(len(mesh.vertices)))


def test_surface_cells_are_those_with_both_signs():
    inside = torch.rand(6, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.2
    found = surface_cells(inside)
    signs = torch.stack([inside[tuple((found + torch.tensor(c)).T)] for c in CORNERS], dim=1)
    assert (signs.any(1) & ~signs.all(1)).all()
    expected = sum(
        bool(block.any()) and not bool(block.all())
        for x in range(5)
        for y in range(5)
        for z in range(5)
        for block in [inside[x : x + 2, y : y + 2, z : z + 2]]
    )
    assert len(found) == expected
