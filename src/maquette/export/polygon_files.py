"""OBJ and OFF files whose faces have any number of corners -> the same with triangles.

trimesh cuts polygons into fans, which reach outside of those that are not convex, and counts
negative references of OBJ back from the end of the file instead of the line they stand in. Here
such files are written anew before it reads them; all others are left alone. PLY has a module of its
own. Formats: Wavefront, "Object Files (.obj)", 1995; Geomview's OFF.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

import numpy as np

from maquette.errors import InputError
from maquette.geometry.polygons import ear_clipped, fan, fan_covers
from maquette.geometry.transforms import VerticesAndFaces
from maquette.types import check_faces

MOST_CORNERS = 5000  # of a face that is not convex; cutting takes their square

_CONTINUED = re.compile(rb"\\\r?\n")  # a backslash at its end joins a line of OBJ to the next
_FACE = re.compile(rb"^f((?:[ \t]+-?\d[-/\d]*)+)", re.MULTILINE)
_POLYGON = re.compile(rb"^f(?:[ \t]+-?\d[-/\d]*){4,}", re.MULTILINE)
_ODD = re.compile(rb"\A\xef\xbb\xbf|^[ \t]+\S|^[a-z]+[ ]*\t|\r(?!\n)", re.MULTILINE)
_MATERIALS = b"mtllib "
_LIBRARY = re.compile(rb"^mtllib[ \t]", re.MULTILINE)
_BACK = re.compile(rb"^f[ \t\d/]*-", re.MULTILINE)  # a face with a negative reference
_COUNTED = (b"v ", b"vt ", b"vn ")  # what references of OBJ count, in their order


def triangulated(vertices: np.ndarray, polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Triangles of polygons, each of which is rows of vertices (V, 3): (N - 2, 3) numbers of its
    corners; a fan wherever that covers the polygon. InputError for too many corners.
    """
    for polygon in polygons:
        if len(polygon) and not 0 <= polygon.min() <= polygon.max() < len(vertices):
            check_faces(polygon[None], len(vertices), "a polygon")
    triangles: list[np.ndarray] = [fan(len(polygon)) for polygon in polygons]
    for corners in {len(polygon) for polygon in polygons if len(polygon) > 3}:
        alike = [k for k, polygon in enumerate(polygons) if len(polygon) == corners]
        covered = fan_covers(vertices[np.array([polygons[k] for k in alike])])
        for k in np.array(alike)[~covered]:
            if corners > MOST_CORNERS:
                raise InputError(
                    f"a face that is not convex has {corners} corners, more than {MOST_CORNERS}; "
                    "triangulate it before"
                )
            triangles[k] = ear_clipped(vertices[polygons[k]])
    return triangles


def triangles_of_all(
    polygons: Sequence[np.ndarray], triangles: Sequence[np.ndarray]
) -> VerticesAndFaces:
    """Faces (T, 3) of what ``triangulated`` gives for polygons, and the polygon (T,) of each."""
    owner = np.repeat(np.arange(len(polygons)), [len(each) for each in triangles])
    faces = [polygon[each] for polygon, each in zip(polygons, triangles)]
    return np.concatenate([*faces, np.empty((0, 3), np.int64)]), owner


# OBJ


def obj_of_triangles(content: bytes) -> bytes | None:
    """An OBJ whose faces are triangles where a fan would be wrong, and whose references count from
    the beginning, in lines that trimesh reads; None when it is such a file anyway.
    """
    content = _CONTINUED.sub(b"", content)
    is_odd = _ODD.search(content) is not None or len(_LIBRARY.findall(content)) > 1
    has_back = _BACK.search(content) is not None
    if not is_odd and not has_back and not _POLYGON.search(content):
        return None
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    if is_odd:
        lines = _plain_lines(lines)
    changed = _cut_faces(lines, _count_forward(lines))
    return b"\n".join(lines) if changed or has_back or is_odd else None


def _plain_lines(lines: Sequence[bytes]) -> list[bytes]:
    """Lines without indentation and tabs, and all material libraries named in one, between tabs."""
    plain = [line.strip().replace(b"\t", b" ") for line in lines]
    libraries = [line[len(_MATERIALS) :].strip() for line in plain if line.startswith(_MATERIALS)]
    rest = [line for line in plain if not line.startswith(_MATERIALS)]
    return [_MATERIALS + b"\t".join(dict.fromkeys(libraries)), *rest] if libraries else rest


def _count_forward(lines: list[bytes]) -> np.ndarray:
    """Make negative references in lines positive; returns the vertices (V, 3)."""
    vertices = []
    seen = [0, 0, 0]
    for number, line in enumerate(lines):
        for kind, start in enumerate(_COUNTED):
            seen[kind] += line.startswith(start)
        if line.startswith(b"v "):
            vertices.append(line.split()[1:4])
        elif _BACK.match(line) and (face := _FACE.match(line)):
            corners = (_forward(corner, seen) for corner in face[1].split())
            lines[number] = b"f " + b" ".join(corners)
    return np.array(vertices, np.float64).reshape(-1, 3)


def _forward(corner: bytes, seen: Sequence[int]) -> bytes:
    """A corner such as -1/-1/-1 with references that count from the beginning."""
    numbers = []
    for text, count in zip(corner.split(b"/"), seen):
        back = text.startswith(b"-")
        numbers.append(b"%d" % (int(text) + count + 1) if back else text)
    return b"/".join(numbers)


def _cut_faces(lines: list[bytes], vertices: np.ndarray) -> bool:
    """Cut the faces in lines that a fan does not cover; whether there were any."""
    matches = {number: _POLYGON.match(line) for number, line in enumerate(lines)}
    faces = {number: found[0].split()[1:] for number, found in matches.items() if found}
    polygons = [_rows(corners) for corners in faces.values()]
    changed = False
    for (number, corners), triangles in zip(faces.items(), triangulated(vertices, polygons)):
        if not np.array_equal(triangles, fan(len(corners))):
            written = (b"f " + b" ".join(corners[k] for k in each) for each in triangles)
            lines[number] = b"\n".join(written)
            changed = True
    return changed


def _rows(corners: Sequence[bytes]) -> np.ndarray:
    """Vertex numbers, from 0, of corners such as 7/1/3, from 1."""
    return np.array([int(corner.partition(b"/")[0]) for corner in corners], np.int64) - 1


# OFF


def off_of_triangles(content: bytes) -> bytes | None:
    """An OFF whose faces are triangles, without colours of faces; None when they are anyway."""
    start = re.search(rb"OFF", content)
    if start is None or b"\0" in content:
        return None
    lines = re.sub(rb"#[^\n]*", b"", content[start.end() :]).splitlines()
    rows = [line.split() for line in lines if line.strip()]
    if not rows or len(rows[0]) < 2:
        return None
    vertex_count, face_count = map(int, rows[0][:2])
    points = [row[:3] for row in rows[1 : vertex_count + 1]]
    listed = rows[vertex_count + 1 : vertex_count + face_count + 1]
    counts = [int(row[0]) for row in listed]
    polygons = [np.array(row[1 : n + 1], np.int64) for row, n in zip(listed, counts)]
    if all(len(polygon) == 3 for polygon in polygons):
        return None
    vertices = np.array(points, np.float64).reshape(-1, 3)
    faces, _ = triangles_of_all(polygons, triangulated(vertices, polygons))
    written = [b"OFF", b"%d %d 0" % (len(points), len(faces))]
    written += [b" ".join(point) for point in points]
    written += [b"3 %d %d %d" % tuple(face) for face in faces.tolist()]
    return b"\n".join([*written, b""])
