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
from torch import Tensor

from maquette.document.appearance import opaque
from maquette.geometry.boxes import longest_side
from maquette.geometry.connectivity import components, edges_of, without_unused
from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.polygons import doubled_areas
from maquette.geometry.subdivide import flat_share, with_short_edges
from maquette.geometry.transforms import VerticesAndFaces, transform_points
from maquette.geometry.volumes import sample_volume
from maquette.stages.crop import State
from maquette.stages.lift import CHUNK, Models

# half steps over the steps and fringes of the grid; docs/log.md has what they do to the scores
SMOOTHING = 20
TOWARDS, AWAY = 0.5, 0.53  # steps
FINE, FINE_SMOOTHING = 64, 8  # more cells a side than this need less, and thin parts bear less

# of the collapse, tried in turn until it gets there: how fast its threshold rises; the lower, the
# better it keeps the shape
AGGRESSIVENESS = (3.0, 5.0, 7.0)
ENOUGH = 1.05  # times the triangles that were asked for
# connected parts with less than this share of the largest one's area are specks
MIN_COMPONENT = 0.01


@dataclass(frozen=True, eq=False)
class ObjectVolume:
    """One instance as a volume in a cube of the scene frame."""

    label: int
    seed: int
    volume: Tensor  # (4, R, R, R) TSDF and colour in [-1, 1], on the CPU
    scene_from_cube: np.ndarray  # (4, 4), axes of the scene frame
    state: State  # for regenerate()


def decode(models: Models, latents: Tensor) -> Tensor:
    """Volumes (N, 4, R, R, R) on the CPU."""
    return torch.cat([models.vae.decode(part).float().cpu() for part in latents.split(CHUNK)])


def mesh_from_volume(
    volume: Tensor,
    scene_from_cube: np.ndarray,
    field: np.ndarray | None = None,
    triangles: int | None = None,
) -> trimesh.Trimesh | None:
    """Volume (4, R, R, R) with TSDF and colour in [-1, 1] -> coloured mesh in the scene frame; None
    when it holds no surface.

    ``field`` (S, S, S) is taken instead of the TSDF; the mesh has at most about so many
    ``triangles``.
    """
    volume = volume.float().cpu()
    field = volume[0].numpy() if field is None else field
    vertices, faces = extract_isosurface(field)
    if len(faces) == 0:
        return None
    vertices, faces = drop_specks(vertices, faces)
    rounds = SMOOTHING if len(field) <= FINE else FINE_SMOOTHING
    vertices = smoothed(vertices, faces, rounds)
    if triangles is not None:
        vertices, faces = simplified(vertices, faces, triangles)
        if flat_share(vertices, faces) > 0.5:  # the details get half of the triangles
            fewer = simplified(vertices, faces, triangles // 2)
            vertices, faces = with_short_edges(*fewer, triangles)
    samples = sample_volume(volume[1:], torch.from_numpy(vertices)).T.numpy()
    rgba = opaque(np.rint((samples + 1) * 127.5).clip(0, 255))
    placed = transform_points(scene_from_cube, vertices.astype(np.float64))
    return trimesh.Trimesh(placed, faces, vertex_colors=rgba, process=False)


def smoothed(vertices: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Vertices (V, 3) float32 of a closed surface, drawn towards their neighbours and a little
    farther away in turn, so that nothing shrinks (Taubin, 1995).
    """
    starts = faces.ravel()
    ends = np.roll(faces, -1, axis=1).ravel()  # every edge is once in each of its two faces
    ones = np.ones(len(starts), np.float32)
    neighbours = sparse.csr_matrix((ones, (starts, ends)), shape=(len(vertices),) * 2)
    share = 1 / np.maximum(neighbours.sum(1).A1, 1).astype(np.float32)[:, None]
    for step in range(rounds):
        towards = (neighbours @ vertices) * share - vertices
        vertices = vertices + (-AWAY if step % 2 else TOWARDS) * towards
    return vertices


def simplified(vertices: np.ndarray, faces: np.ndarray, triangles: int) -> VerticesAndFaces:
    """A surface of about so many triangles at most, by quadric edge collapse (Garland and Heckbert,
    1997). It stays closed.
    """
    if len(faces) <= triangles:
        return vertices, faces
    size = longest_side(vertices)
    whole = ((vertices / size).astype(np.float32), faces.astype(np.int32))
    for aggressiveness in AGGRESSIVENESS:
        points, fewer = fast_simplification.simplify(
            *whole, target_count=triangles, agg=aggressiveness
        )
        if len(fewer) <= ENOUGH * triangles:
            break
    return _without_fins(points * size, fewer)


def _without_fins(vertices: np.ndarray, faces: np.ndarray) -> VerticesAndFaces:
    """A collapsed surface without the few triangles back to back that a hole leaves when it closes:
    they hang together with the rest by corners only.
    """
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    part = trimesh.graph.connected_component_labels(mesh.face_adjacency, len(faces))
    return _larger_parts(vertices, faces, part, mesh.area_faces)


def _larger_parts(
    vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, areas: np.ndarray
) -> VerticesAndFaces:
    """Leave out parts of little area; the part and the area of each face are given."""
    area = np.bincount(part, areas)
    vertices, faces = without_unused(vertices, faces[area[part] >= MIN_COMPONENT * area.max()])
    return vertices, faces.astype(np.int32)


def drop_specks(vertices: np.ndarray, faces: np.ndarray) -> VerticesAndFaces:
    """Remove connected components with little area compared with the largest; unused vertices go
    too.
    """
    component = components(edges_of(faces), len(vertices))
    if not component.any():
        return vertices, faces
    areas = doubled_areas(vertices, faces)
    return _larger_parts(vertices, faces, component[faces[:, 0]], areas)
