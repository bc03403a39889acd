"""A concave polygon, a triangle and a square in each format that holds polygons."""

import struct

import numpy as np

from maquette.export.mesh_files import read_mesh_file

BRACKET = ((0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3))  # area 7
# the bracket, a triangle and a square beside it
POINTS = np.array([*BRACKET, (4, 0), (5, 0), (4, 1), (6, 0), (7, 0), (7, 1), (6, 1)], float)
VERTICES = np.column_stack([POINTS, np.zeros(len(POINTS))])
POLYGONS = ([*range(8)], [8, 9, 10], [11, 12, 13, 14])
AREA = 7 + 0.5 + 1
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def ply(order, polygons=POLYGONS, texture=False):
    """A PLY with a colour of each face and, if asked for, texture coordinates of its corners."""
    name = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    listed = "property list uchar float texcoord\n" if texture else ""
    header = (
        f"ply\nformat {name} 1.0\ncomment by hand\nelement vertex {len(VERTICES)}\n"
        "property double x\nproperty double y\nproperty double z\n"
        f"element face {len(polygons)}\nproperty list uchar int vertex_indices\n{listed}"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n"
    )
    body = []
    for vertex in VERTICES:
        body.append(words(vertex) if not order else struct.pack(f"{order}3d", *vertex))
    for polygon, colour in zip(polygons, COLOURS):
        uv = (POINTS[polygon] / 7).ravel() if texture else []
        count = [len(uv)] if texture else []
        if order:
            kinds = f"{order}B{len(polygon)}i{'B' * len(count)}{len(uv)}f3B"
            body.append(struct.pack(kinds, len(polygon), *polygon, *count, *uv, *colour))
        else:
            body.append(words([len(polygon), *polygon, *count, *uv, *colour]))
    body.append(words([0, 1]) if not order else struct.pack(f"{order}2i", 0, 1))
    return header.encode() + b"".join(body)


def words(values):
    return (" ".join(f"{value:g}" for value in values) + "\n").encode()


def off():
    faces = (words([len(polygon), *polygon]) for polygon in POLYGONS)
    counts = f"OFF # by hand\n# nothing\n{len(VERTICES)} {len(POLYGONS)} 0\n\n".encode()
    return counts + b"".join(map(words, VERTICES)) + b"".join(faces)


def obj():
    lines = [f"v {x:g} {y:g} 0" for x, y in POINTS]
    lines += ["f " + " ".join(str(k + 1) for k in polygon) for polygon in POLYGONS]
    return "\n".join(lines).encode()


def read(folder, suffix, content):
    path = folder / f"mesh.{suffix}"
    path.write_bytes(content)
    return read_mesh_file(path).scene.to_geometry()
