"""Volumes to meshes: place, cleaning, colours."""

import numpy as np
import torch
import trimesh

from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres
from maquette.stages.decode import drop_specks, mesh_from_volume


def ball_volume(resolution=32, radius=0.3):
    distance = (cell_centres(resolution).norm(dim=-1) - radius) * 16
    colour = torch.stack(
        [
            cell_centres(resolution)[..., 0] * 2,
            torch.full_like(distance, -1),
            torch.full_like(distance, 1),
        ]
    )
    return torch.cat([distance.clamp(-1, 1)[None], colour])


def test_mesh_stands_where_its_cube_stands():
    mesh = mesh_from_volume(ball_volume(), similarity(0.5, None, np.array([0.1, 0.2, -0.1])))
    np.testing.assert_allclose(mesh.bounds, [[-0.05, 0.05, -0.25], [0.25, 0.35, 0.05]], atol=4e-3)
    assert mesh.is_watertight and mesh.volume > 0


def test_colours_come_from_the_volume():
    mesh = mesh_from_volume(ball_volume(), np.eye(4))
    colours = np.asarray(mesh.visual.vertex_colors)
    assert (colours[:, 1] == 0).all() and (colours[:, 2] == 255).all()
    np.testing.assert_allclose(colours[:, 0], (mesh.vertices[:, 0] * 2 + 1) * 127.5, atol=3)


def test_nothing_inside_is_no_mesh():
    assert mesh_from_volume(torch.ones(4, 8, 8, 8), np.eye(4)) is None


def test_specks_go_and_large_parts_stay():
    big, second, speck = (
        trimesh.creation.icosphere(2, radius=r).apply_translation([x, 0, 0])
        for r, x in ((1, 0), (0.6, 3), (0.05, 6))
    )
    joined = trimesh.util.concatenate([big, second, speck])
    vertices, faces = drop_specks(np.asarray(joined.vertices), np.asarray(joined.faces))
    kept = trimesh.Trimesh(vertices, faces, process=False)
    assert kept.body_count == 2 and len(vertices) == len(big.vertices) + len(second.vertices)
    np.testing.assert_allclose(kept.volume, big.volume + second.volume)


def test_a_surface_is_smooth_and_as_large_as_in_its_volume():
    cells = cell_centres(32)
    bumpy = (
        cells.norm(dim=-1)
        - 0.3
        + 0.01 * torch.randn(32, 32, 32, generator=torch.Generator().manual_seed(0))
    )
    volume = torch.cat([(bumpy / 0.1).clamp(-1, 1)[None], torch.zeros(3, 32, 32, 32)])
    mesh = mesh_from_volume(volume, np.eye(4))
    radii, rough = (
        np.linalg.norm(vertices, axis=1)
        for vertices in (mesh.vertices, extract_isosurface(volume[0].numpy())[0])
    )
    assert (
        abs(radii.mean() - 0.3) < 0.002 and radii.std() < 0.75 * rough.std() and mesh.is_watertight
    )
