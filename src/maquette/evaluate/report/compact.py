"""Meshes small enough to be put into a page: fewer triangles, 16-bit positions, 8-bit normals and
colours, as a GLB.

glTF 2.0 with KHR_mesh_quantization (three.js, Blender and most engines read it). For looking at,
not for measuring.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import fast_simplification
import numpy as np
import trimesh
from scipy.spatial import cKDTree

from maquette.evaluate.cases import Meshes, natural
from maquette.export.glb import smooth_normals
from maquette.scene.appearance import linear_from_bytes, vertex_colors_of

STEPS = 65535  # of a position within its object's box
FLAT = 0.5  # cosine: faces that meet at a sharper angle keep an edge between them


def simplified(mesh: trimesh.Trimesh, faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64, faces (F, 3) and colours (V, 3) uint8 of about ``faces`` triangles;
    an object with fewer stays as it is.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    triangles = np.asarray(mesh.faces)
    colors = vertex_colors_of(mesh)[:, :3]
    if len(triangles) <= faces:
        return vertices, triangles, colors
    welded, index = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
    joined = index.reshape(-1)[triangles]
    joined = joined[(joined != np.roll(joined, 1, axis=1)).all(1)].astype(np.int32)
    points, fewer = fast_simplification.simplify(
        welded.astype(np.float32), joined, target_count=faces
    )
    if not len(fewer):
        return vertices, triangles, colors
    used, fewer = np.unique(fewer, return_inverse=True)
    points = np.asarray(points, np.float64)[used]
    return points, fewer.reshape(-1, 3), colors[cKDTree(vertices).query(points)[1]]


def with_edges(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, colours and unit normals in which a vertex is doubled where the surface
    bends sharply: boxes look like boxes.

    A corner keeps the smooth normal of its vertex unless its face turns away from it by more than
    FLAT allows.
    """
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    smooth = smooth_normals(vertices.astype(np.float32), faces)[faces]
    bent = np.einsum("fk,fck->fc", normal, smooth) < np.sqrt(0.5 + 0.5 * FLAT)
    chosen = np.where(bent[..., None], normal[:, None], smooth).reshape(-1, 3)
    key = np.column_stack([faces.reshape(-1), np.rint(127 * chosen).astype(np.int64)])
    _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
    origin = faces.reshape(-1)[first]
    return vertices[origin], index.reshape(-1, 3), colors[origin], chosen[first]


def compact_glb(
    meshes: Meshes, faces: int, extras: Mapping[str, Mapping[str, Any]] | None = None
) -> bytes:
    """A GLB of all meshes, one node per name with ``extras[name]`` ("label" is filled in from
    instance_<label>), about ``faces`` each.
    """
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "maquette report"},
        "scene": 0,
        "scenes": [{"nodes": []}],
    }
    document |= {
        "extensionsUsed": ["KHR_mesh_quantization"],
        "extensionsRequired": ["KHR_mesh_quantization"],
    }
    document |= {key: [] for key in ("nodes", "meshes", "accessors", "bufferViews")}
    document["materials"] = [
        {
            "doubleSided": True,
            "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.85},
        }
    ]
    binary = bytearray()

    def accessor(values: np.ndarray, kind: str, component: int, target: int, **more: Any) -> int:
        view = {
            "buffer": 0,
            "byteOffset": len(binary),
            "byteLength": values.nbytes,
            "target": target,
        }
        if target == 34962:
            view["byteStride"] = (
                values.shape[1] * values.itemsize
            )  # padded to four bytes by an unused last column
        binary.extend(values.tobytes() + bytes(-values.nbytes % 4))
        document["bufferViews"].append(view)
        document["accessors"].append(
            {
                "bufferView": len(document["bufferViews"]) - 1,
                "componentType": component,
                "count": len(values),
                "type": kind,
                **more,
            }
        )
        return len(document["accessors"]) - 1

    for name in sorted(meshes, key=natural):
        vertices, triangles, colors, normals = with_edges(*simplified(meshes[name], faces))
        low = vertices.min(0)
        side = max(float(np.ptp(vertices, axis=0).max()), 1e-9)
        steps = np.rint((vertices - low) / side * STEPS).astype("<u2")
        linear = np.rint(255 * linear_from_bytes(colors)).astype(np.uint8)
        attributes = {
            "POSITION": accessor(
                np.pad(steps, ((0, 0), (0, 1))),
                "VEC3",
                5123,
                34962,
                min=steps.min(0).tolist(),
                max=steps.max(0).tolist(),
            ),
            "NORMAL": accessor(
                np.pad(np.rint(127 * normals).astype(np.int8), ((0, 0), (0, 1))),
                "VEC3",
                5120,
                34962,
                normalized=True,
            ),
            "COLOR_0": accessor(
                np.pad(linear, ((0, 0), (0, 1)), constant_values=255),
                "VEC4",
                5121,
                34962,
                normalized=True,
            ),
        }
        wide = len(vertices) > STEPS - 1
        indices = accessor(
            triangles.reshape(-1, 1).astype("<u4" if wide else "<u2"),
            "SCALAR",
            5125 if wide else 5123,
            34963,
        )
        document["meshes"].append(
            {"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}
        )
        tail = name.removeprefix("instance_")
        about = {"label": int(tail)} if tail.isdigit() else {}
        node = {
            "name": name,
            "mesh": len(document["meshes"]) - 1,
            "translation": low.tolist(),
            "scale": [side / STEPS] * 3,
        }
        document["nodes"].append(node | {"extras": about | dict((extras or {}).get(name, {}))})
        document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
    return _glb(document, bytes(binary))


def _glb(document: dict[str, Any], binary: bytes) -> bytes:
    if binary:
        document["buffers"] = [{"byteLength": len(binary)}]
    document = {key: value for key, value in document.items() if value != []}
    text = json.dumps(document, separators=(",", ":")).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4))] + ([(b"BIN\0", binary)] if binary else [])
    body = b"".join(struct.pack("<I4s", len(content), kind) + content for kind, content in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
