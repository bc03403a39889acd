"""The photo's colours on a mesh: where the photo shows the surface its own, elsewhere what is near.

In the flow: a mesh in the scene frame + Perception -> the same mesh with other vertex colours.
"""

from __future__ import annotations

import cv2
import numpy as np
import trimesh
from scipy.spatial import cKDTree
from trimesh.visual.color import ColorVisuals

from maquette.geometry.boxes import longest_side
from maquette.geometry.cameras import pixels_at, project
from maquette.geometry.transforms import unit_vectors
from maquette.stages.fuse import bilinear
from maquette.stages.perceive import Perception


def project_colours(mesh: trimesh.Trimesh, label: int, perception: Perception) -> trimesh.Trimesh:
    """Blend the photo's colours onto the vertices that the photo shows: in the mask, facing the
    camera, at the visible depth.

    The mesh is in the scene frame; it is returned with new vertex colours.
    """
    vertices = np.asarray(mesh.vertices)
    pixel, depth = project(perception.camera, vertices)
    shown = _smooth_over_surface(mesh, _shown(mesh, label, perception, pixel, depth))
    photo = bilinear(perception.photo, pixel, cv2.BORDER_REPLICATE)
    visual = mesh.visual
    if not isinstance(visual, ColorVisuals):
        raise ValueError("the mesh has no colours of its vertices to blend the photo's onto")
    colours = np.asarray(visual.vertex_colors).copy()
    hidden = _hidden_colours(vertices, photo, colours[:, :3].astype(np.float64), shown)
    weight = shown[:, None]
    colours[:, :3] = np.clip(weight * photo + (1 - weight) * hidden, 0, 255)
    coloured = mesh.copy()
    coloured.visual = ColorVisuals(coloured, vertex_colors=colours)
    return coloured


def _shown(
    mesh: trimesh.Trimesh,
    label: int,
    perception: Perception,
    pixel: np.ndarray,
    depth: np.ndarray,
) -> np.ndarray:
    """(V,) in [0, 1] how well the photo shows each vertex, from its pixel (V, 2) and z-depth."""
    camera = perception.camera
    vertices = np.asarray(mesh.vertices)
    towards = unit_vectors(camera.position - vertices)
    cosine = np.sum(np.asarray(mesh.vertex_normals) * towards, axis=1)
    facing = np.clip((cosine - 0.15) / 0.35, 0, 1)
    mask = (perception.label_map == label).astype(np.uint8)
    margin = max(1, round(max(mask.shape) / 300))
    inner = cv2.erode(mask, np.ones((2 * margin + 1,) * 2, np.uint8))
    if inner.sum() < 0.3 * mask.sum():
        inner = mask
    size = np.array(camera.size)
    x, y = pixels_at(camera, pixel)
    extent = longest_side(vertices)
    behind = np.abs(depth - perception.photo_depth[y, x])
    near = np.clip(1.5 - behind / (0.12 * extent + 1e-6), 0, 1)
    return facing * inner[y, x] * near * _first_hit(pixel, depth, size, 0.06 * extent)


def _hidden_colours(
    vertices: np.ndarray,
    photo: np.ndarray,
    volume: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """(V, 3) colours for where the photo shows nothing: of the nearest shown vertices, farther away
    more and more their mean.

    On 45 held-out objects the mean error of hidden vertices was 53 of 255 with the volume's own
    colours, 39 with the nearest shown ones, 32 with the mean of the shown ones and 35 like this,
    without seams. The volume's colours stay where next to nothing is shown.
    """
    shown = np.flatnonzero(weight > 0.5)
    if len(shown) < 20:
        return volume
    colours = photo[shown]
    extent = np.ptp(vertices, axis=0).max()
    distance, nearest = cKDTree(vertices[shown]).query(vertices, k=8)
    share = 1.0 / (distance + 1e-6 + 0.02 * extent)
    local = (colours[nearest] * share[..., None]).sum(1) / share.sum(1)[:, None]
    near = np.exp(-distance[:, :1] / (0.1 * extent + 1e-9))
    return near * local + (1 - near) * colours.mean(0)


def _first_hit(
    pixel: np.ndarray,
    depth: np.ndarray,
    size: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    """(V,) 1 for vertices that no other vertex of the mesh hides, on a coarse grid over a picture
    of size (width, height): cheap, and good enough for blending.
    """
    step = max(1.0, size.max() / 160)
    columns, rows = (size / step).astype(int) + 2
    x, y = (pixel / step).astype(int).T
    cell = np.clip(y, 0, rows - 1) * columns + np.clip(x, 0, columns - 1)
    nearest = np.full(rows * columns, np.inf)
    np.minimum.at(nearest, cell, depth)
    return (depth < nearest[cell] + tolerance).astype(np.float64)


def _smooth_over_surface(mesh: trimesh.Trimesh, values: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Average with the neighbouring vertices, so that seams between photo and volume
    colours fade.
    """
    edges = mesh.edges_unique
    degree = np.bincount(edges.ravel(), minlength=len(values)) + 1.0
    for _ in range(rounds):
        total = values.copy()
        np.add.at(total, edges[:, 0], values[edges[:, 1]])
        np.add.at(total, edges[:, 1], values[edges[:, 0]])
        values = np.minimum(total / degree, values + 0.2)
    return values
