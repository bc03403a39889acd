"""From latents to volumes to meshes: the VAE's decoder, iso-surface and cleaning.

In the flow: latents -> ObjectVolume -> a mesh in the scene frame with the volume's own colours.
``fuse`` may hold the volume to the photo in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
import torch
import trimesh
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from maquette.document.appearance import vertex_colors_of
from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import sample_volume
from maquette.stages.lift import CHUNK, Models

# half steps over the steps and fringes of the grid; docs/log.md has what they do to the scores
SMOOTHING = 20


# of the collapse, tried in turn until it gets there: how fast its threshold rises; the lower, the
# better it keeps the shape
AGGRESSIVENESS = (3.0, 5.0, 7.0)
ENOUGH = 1.05  # times the triangles that were asked for
# connected parts with less than this share of the largest one's area are specks
MIN_COMPONENT = 0.03


@dataclass(frozen=True, eq=False)
class ObjectVolume:
    """One instance as a volume in a cube of the scene frame."""

    label: int
    seed: int
    volume: Tensor  # (4, R, R, R) TSDF and colour in [-1, 1], on the CPU
    scene_from_cube: np.ndarray  # (4, 4), axes of the scene frame
    state: dict[str, np.ndarray]  # for regenerate()


def decode(models: Models, latents: Tensor) -> Tensor:
    """Volumes (N, 4, R, R, R) on the CPU."""
    return torch.cat([models.vae.decode(part).float().cpu() for part in latents.split(CHUNK)])


def mesh_from_volume(volume: Tensor, scene_from_cube: np.ndarray) -> trimesh.Trimesh | None:
    """Volume (4, R, R, R) with TSDF and colour in [-1, 1] -> coloured mesh in the scene frame; None
    when it holds no surface.
    """
    volume = volume.float().cpu()
    vertices, faces = extract_isosurface(volume[0].numpy())
    if len(faces) == 0:
        return None
    mesh = trimesh.Trimesh(*drop_specks(vertices, faces), process=False)
    # by distance it would take twenty times as long
    neighbours = trimesh.smoothing.laplacian_calculation(mesh, equal_weight=True)
    trimesh.smoothing.filter_taubin(
        mesh, lamb=0.5, nu=0.53, iterations=SMOOTHING, laplacian_operator=neighbours
    )  # nothing shrinks
    points = torch.from_numpy(np.asarray(mesh.vertices, np.float32))
    samples = sample_volume(volume[1:], points).T.numpy()
    rgba = np.full((len(samples), 4), 255, np.uint8)
    rgba[:, :3] = np.rint((samples + 1) * 127.5).clip(0, 255)
    placed = transform_points(scene_from_cube, np.asarray(mesh.vertices))
    return trimesh.Trimesh(placed, mesh.faces, vertex_colors=rgba, process=False)


def simplified(mesh: trimesh.Trimesh, triangles: int) -> trimesh.Trimesh:
    """A mesh of about so many triangles at most, by quadric edge collapse (Garland and Heckbert,
    1997); its colours are those of the nearest old vertices.
    """
    if len(mesh.faces) <= triangles:
        return mesh
    points = np.asarray(mesh.vertices, np.float32)
    size = float(np.ptp(points, axis=0).max())
    whole = (points / size, np.asarray(mesh.faces, np.int32))
    for aggressiveness in AGGRESSIVENESS:
        vertices, faces = fast_simplification.simplify(
            *whole, target_count=triangles, agg=aggressiveness
        )
        if len(faces) <= ENOUGH * triangles:
            break
    vertices = vertices * size
    _, nearest = cKDTree(points).query(vertices)
    colours = vertex_colors_of(mesh)[nearest]
    fewer = trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False)
    part = trimesh.graph.connected_component_labels(fewer.face_adjacency, len(faces))
    area = np.bincount(part, fewer.area_faces)
    fewer.update_faces(area[part] >= MIN_COMPONENT * area.max())  # a hole that closed leaves a fin
    fewer.remove_unreferenced_vertices()
    return fewer


def drop_specks(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove connected components with little area compared with the largest; unused vertices go
    too.
    """
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(edges), bool), edges.T), shape=(len(vertices),) * 2)
    count, component = sparse.csgraph.connected_components(graph, directed=False)
    if count == 1:
        return vertices, faces
    a, b, c = vertices[faces].swapaxes(0, 1)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    part = component[faces[:, 0]]
    total = np.bincount(part, area, minlength=count)
    kept = faces[total[part] >= MIN_COMPONENT * total.max()]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3).astype(np.int32)
