"""Meshes small enough to be put into a page: fewer triangles, and coordinates, normals and colours
of so few digits that deflating the page leaves little of them. For looking at, not for measuring.
"""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from trimesh.exchange.gltf import export_glb
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from maquette.document.appearance import linear_from_bytes, opaque, vertex_colors_of
from maquette.evaluate.cases import by_instance_number, label_of
from maquette.evaluate.surfaces import Meshes
from maquette.export.glb import smooth_normals
from maquette.geometry.boxes import longest_side
from maquette.geometry.polygons import doubled_normals
from maquette.geometry.transforms import unit_vectors

STEPS = 4096  # of a position within its object's box
NORMAL_STEPS = 64  # of a normal's coordinate between 0 and 1
FLAT = 0.5  # cosine: faces that meet at a sharper angle keep an edge between them
MATERIAL = PBRMaterial(
    metallicFactor=0.0,
    roughnessFactor=0.85,
    doubleSided=True,
)


def simplified(mesh: trimesh.Trimesh, faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64, faces (F, 3) and colours (V, 3) uint8 of about ``faces`` triangles;
    an object with fewer stays as it is.
    """
    colors = vertex_colors_of(mesh)[:, :3]
    fewer = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if len(mesh.faces) > faces:
        fewer.merge_vertices(digits_vertex=6)
        fewer = fewer.simplify_quadric_decimation(face_count=faces)
    if len(mesh.faces) <= faces or not len(fewer.faces):
        return np.asarray(mesh.vertices), np.asarray(mesh.faces), colors
    fewer.remove_unreferenced_vertices()
    nearest = cKDTree(mesh.vertices).query(fewer.vertices)[1]
    return np.asarray(fewer.vertices), np.asarray(fewer.faces), colors[nearest]


def with_edges(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, colours and unit normals in which a vertex is doubled where the surface
    bends sharply: boxes look like boxes.

    A corner keeps the smooth normal of its vertex unless its face turns away from it by more than
    FLAT allows.
    """
    normal = unit_vectors(doubled_normals(vertices, faces))
    smooth = smooth_normals(vertices.astype(np.float32), faces)[faces]
    bent = np.einsum("fk,fck->fc", normal, smooth) < np.sqrt(0.5 + 0.5 * FLAT)
    chosen = np.where(bent[..., None], normal[:, None], smooth).reshape(-1, 3)
    flat = faces.reshape(-1)
    key = np.column_stack([flat, np.rint(127 * chosen).astype(np.int64)])
    _, first, index = np.unique(
        key,
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    origin = flat[first]
    return vertices[origin], index.reshape(-1, 3), colors[origin], chosen[first]


def compact_glb(meshes: Meshes, faces: int) -> bytes:
    """A GLB of all meshes, at least one, about ``faces`` triangles each: one node per name, with
    the label that the name tells.
    """
    scene = trimesh.Scene()
    for name in sorted(meshes, key=by_instance_number):
        label = label_of(name)
        told = {} if label is None else {"label": label}
        mesh = _compact(meshes[name], faces)
        scene.add_geometry(
            mesh,
            node_name=name,
            geom_name=name,
            metadata=told,
        )
    return export_glb(scene, include_normals=True, unitize_normals=False)


def _compact(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """The mesh in few triangles and few digits. Its colours are glTF's, linear, beside a
    material.
    """
    vertices, triangles, colors, normals = with_edges(*simplified(mesh, faces))
    side = max(longest_side(vertices), 1e-9)
    step = 2.0 ** np.ceil(np.log2(side)) / STEPS  # a power of two leaves the last digits zero
    linear = opaque(np.rint(255 * linear_from_bytes(colors)))
    visual = TextureVisuals(material=MATERIAL)
    visual.vertex_attributes["color"] = linear
    vertices = np.rint(vertices / step) * step
    normals = np.rint(normals * NORMAL_STEPS) / NORMAL_STEPS
    return trimesh.Trimesh(
        vertices,
        triangles,
        vertex_normals=normals,
        visual=visual,
        process=False,
    )
