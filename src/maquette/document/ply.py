"""Binary PLY, bit for bit: the mesh files of the scene document and of the PLY export. No trimesh,
no scene.

Coordinates are written as float32 when that loses nothing and as float64 otherwise, so reading
gives back exactly what was written. Format: Turk, "The PLY Polygon File Format", 1994; texture
coordinates as ``s``, ``t`` and the image as a comment, as MeshLab does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_NUMPY_TYPES = {
    "float": "<f4",
    "double": "<f8",
    "uchar": "u1",
}
_NAMES = {np.dtype(kind): name for name, kind in _NUMPY_TYPES.items()}
_FACE = np.dtype([("count", "u1"), ("index", "<i4", 3)])
_FORMAT = "ply\nformat binary_little_endian 1.0\n"
_INDICES = "property list uchar int vertex_indices\n"
_END = "end_header\n"
_COUNT = r"\d{1,12}"
_HEADER = re.compile(
    rf"{_FORMAT}(?:comment .*\n)*"
    rf"element vertex (?P<vertices>{_COUNT})\n(?P<properties>(?:property \w+ \w+\n)+)"
    rf"element face (?P<faces>{_COUNT})\n{_INDICES}{_END}"
)
_LONGEST_HEADER = 4096  # bytes


@dataclass(frozen=True, eq=False)
class PlyMesh:
    """Vertices (V, 3) float, faces (F, 3) int32, colors (V, 4) uint8 or None, uv (V, 2) float or
    None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None
    uv: np.ndarray | None = None


def encode_ply(mesh: PlyMesh, texture: str = "") -> bytes:
    """Return the file's content; ``texture`` is the name of the image that ``uv`` refers to."""
    columns = dict(zip("xyz", _smallest_exact(mesh.vertices).T))
    if mesh.uv is not None:
        columns |= zip("st", _smallest_exact(mesh.uv).T)
    if mesh.colors is not None:
        columns |= zip(("red", "green", "blue", "alpha"), mesh.colors.T)
    triangles = np.empty(len(mesh.faces), dtype=_FACE)
    triangles["count"] = 3
    triangles["index"] = mesh.faces
    comment = f"comment TextureFile {texture}\n" if texture else ""
    faces = f"element face {len(triangles)}\n{_INDICES}"
    return encode_vertices(columns, comment, faces) + triangles.tobytes()


def encode_vertices(columns: Mapping[str, np.ndarray], before: str = "", after: str = "") -> bytes:
    """Return a binary PLY with a property of vertices per column (V,), all that a point cloud
    needs. before, after: lines of the header around the vertices'.
    """
    row = [(name, column.dtype) for name, column in columns.items()]
    rows = np.rec.fromarrays(list(columns.values()), dtype=np.dtype(row))
    header = f"{_FORMAT}{before}element vertex {len(rows)}\n"
    for name, column in columns.items():
        header += f"property {_NAMES[column.dtype]} {name}\n"
    return f"{header}{after}{_END}".encode() + rows.tobytes()


def decode_ply(content: bytes) -> PlyMesh | None:
    """Read what ``encode_ply`` writes; None for another kind of PLY, ValueError when the content
    ends too early.
    """
    header = _HEADER.match(content[:_LONGEST_HEADER].decode("latin-1"))
    if header is None:
        return None
    properties = re.findall(r"property (\w+) (\w+)\n", header["properties"])
    kinds = {name: _NUMPY_TYPES.get(kind) for kind, name in properties}
    ours = len(kinds) == len(properties) and None not in kinds.values()
    if not ours or not {"x", "y", "z"} <= set(kinds):
        return None
    row = np.dtype(list(kinds.items()))
    vertex_count = int(header["vertices"])
    face_count = int(header["faces"])
    start = header.end()
    middle = start + vertex_count * row.itemsize
    end = middle + face_count * _FACE.itemsize
    if len(content) < end:
        raise ValueError(f"it ends after {len(content)} bytes instead of {end}")
    rows = np.frombuffer(content, row, vertex_count, start)
    triangles = np.frombuffer(content, _FACE, face_count, middle)
    if (triangles["count"] != 3).any():
        return None
    vertices = _columns(rows, "xyz")
    colors = _columns_if_there(rows, ("red", "green", "blue", "alpha"))
    return PlyMesh(vertices, triangles["index"].copy(), colors, _columns_if_there(rows, "st"))


def _smallest_exact(values: np.ndarray) -> np.ndarray:
    """Return values (N, k) as float32 if every one of them survives that, else as float64."""
    values = np.asarray(values, dtype="<f8")
    with np.errstate(over="ignore"):
        short = values.astype("<f4")
    return short if np.array_equal(short, values) else values


def _columns(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.stack([rows[name] for name in names], axis=1)


def _columns_if_there(rows: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    there = set(names) <= set(rows.dtype.names or ())
    return _columns(rows, names) if there else None
