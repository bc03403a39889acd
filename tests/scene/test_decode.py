"""Volumes to meshes: place, cleaning, colours."""

import numpy as np
import torch
import trimesh

from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres
from maquette.scene.decode import _hidden_colours, drop_specks, mesh_from_volume
from maquette.scene.place import ground_height, instance_seed, place


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


def test_placing_centres_the_mesh_and_remembers_where():
    mesh = trimesh.creation.box([0.2, 0.4, 0.1]).apply_translation([0.3, -0.1, 0.2])
    instance = place(4, mesh, seed=9)
    np.testing.assert_allclose(instance.mesh.bounds.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(instance.box, mesh.bounds, atol=1e-6)
    assert instance.node_name == "instance_4"


def test_ground_is_the_lowest_bottom_unless_one_of_many_sank():
    boxes = [
        place(k, trimesh.creation.box([0.1, 0.1, 0.1]).apply_translation([0, y, 0]), 0)
        for k, y in enumerate([-0.3, -0.1, 0.0])
    ]
    assert abs(ground_height(boxes) + 0.35) < 1e-6
    many = [
        place(k, trimesh.creation.box([0.1, 0.1, 0.1]).apply_translation([0, -0.3, 0]), 0)
        for k in range(20)
    ]
    sunk = place(99, trimesh.creation.box([0.1, 0.1, 0.1]).apply_translation([0, -0.45, 0]), 0)
    assert abs(ground_height([*many, sunk]) + 0.35) < 1e-6


def test_seeds_depend_on_scene_seed_and_label_only():
    assert instance_seed(1, 5) == instance_seed(1, 5)
    assert len({instance_seed(s, k) for s in range(20) for k in range(20)}) == 400


def test_hidden_vertices_take_the_colours_shown_next_to_them_and_far_away_their_mean():
    x = np.linspace(0, 1, 101)
    vertices = np.stack([x, 0 * x, 0 * x], axis=1)
    photo = np.where(x[:, None] < 0.25, [200.0, 0, 0], [0, 0, 100.0])
    shown = (x < 0.5).astype(float)
    hidden = _hidden_colours(vertices, photo, np.full((101, 3), 7.0), shown)
    mean = photo[shown > 0.5].mean(0)
    assert np.abs(hidden[51] - photo[49]).max() < 0.2 * np.abs(photo[49] - mean).max()  # no seam
    np.testing.assert_allclose(hidden[-1], mean, atol=2)
    assert (
        _hidden_colours(vertices, photo, np.full((101, 3), 7.0), 0 * shown) == 7
    ).all()  # nothing is shown: the volume's colours


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
