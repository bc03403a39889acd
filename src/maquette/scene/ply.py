"""Binary PLY, bit for bit: the mesh files of the scene document and of the PLY export. No trimesh,
no scene.

Coordinates are written as float32 when that loses nothing and as float64 otherwise, so reading
gives back exactly what was written. Format: Turk, "The PLY Polygon File Format", 1994; texture
coordinates as ``s``, ``t`` and the image as a comment, as MeshLab does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NUMPY_TYPES = {"float": "<f4", "double": "<f8", "uchar": "u1", "int": "<i4"}
_NAMES = {"<f4": "float", "<f8": "double", "|u1": "uchar", "<i4": "int"}
_FACE = np.dtype([("count", "u1"), ("index", "<i4", 3)])


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
        columns |= dict(zip("st", _smallest_exact(mesh.uv).T))
    if mesh.colors is not None:
        columns |= dict(zip(("red", "green", "blue", "alpha"), mesh.colors.T))
    rows = np.empty(
        len(mesh.vertices), dtype=[(name, column.dtype) for name, column in columns.items()]
    )
    for name, column in columns.items():
        rows[name] = column
    triangles = np.empty(len(mesh.faces), dtype=_FACE)
    triangles["count"] = 3
    triangles["index"] = mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *([f"comment TextureFile {texture}"] if texture else []),
    ]
    header += [
        f"element vertex {len(rows)}",
        *(f"property {_NAMES[rows.dtype[name].str]} {name}" for name in columns),
    ]
    header += [
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode() + rows.tobytes() + triangles.tobytes()


def decode_ply(content: bytes) -> PlyMesh | None:
    """Read what ``encode_ply`` writes; None for another kind of PLY, ValueError when the content
    ends too early.
    """
    header, found, body = content.partition(b"\nend_header\n")
    lines = [
        line
        for line in header.decode("utf-8", "replace").split("\n")
        if not line.startswith("comment ")
    ]
    try:
        if (
            not found
            or lines[:2] != ["ply", "format binary_little_endian 1.0"]
            or lines[-1] != "property list uchar int vertex_indices"
        ):
            return None
        vertex_count = int(lines[2].removeprefix("element vertex "))
        face_count = int(lines[-2].removeprefix("element face "))
        properties = [line.split(" ") for line in lines[3:-2]]
        row = np.dtype([(name, _NUMPY_TYPES[kind]) for _, kind, name in properties])
    except (ValueError, KeyError, IndexError):  # not our dialect
        return None
    if not {"x", "y", "z"} <= set(row.names or ()):
        return None
    start = vertex_count * row.itemsize
    if len(body) < start + face_count * _FACE.itemsize:
        raise ValueError(
            f"it ends after {len(body)} bytes of data instead of {start + face_count * _FACE.itemsize}"
        )
    rows = np.frombuffer(body, row, vertex_count)
    triangles = np.frombuffer(body, _FACE, face_count, start)
    if (triangles["count"] != 3).any():
        return None
    colors = _columns(rows, ("red", "green", "blue", "alpha"))
    return PlyMesh(_columns(rows, "xyz"), triangles["index"].copy(), colors, _columns(rows, "st"))


def _smallest_exact(values: np.ndarray) -> np.ndarray:
    """Return values (N, k) as float32 if every one of them survives that, else as float64."""
    values = np.asarray(values, dtype="<f8")
    with np.errstate(over="ignore"):
        short = values.astype("<f4")
    return short if np.array_equal(short, values) else values


def _columns(rows: np.ndarray, names: str | tuple[str, ...]) -> np.ndarray | None:
    return (
        np.stack([rows[name] for name in names], axis=1)
        if set(names) <= set(rows.dtype.names)
        else None
    )
