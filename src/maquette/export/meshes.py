"""Scene -> OBJ, PLY and STL: plain meshes in world coordinates, where glTF is not read.

+Y up, in metres when the scene knows its scale, otherwise in scene units, or as ``space`` says. OBJ
keeps the objects apart by name and has sRGB colours per vertex (after the coordinates, as MeshLab
and Blender read them) or textures; PLY is one mesh with colours; STL has the shape only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from maquette.document.appearance import (
    Appearance,
    appearance_of,
    bytes_from_linear,
    linear_from_bytes,
    texture_file,
    vertex_colors_of,
)
from maquette.document.ply import PlyMesh, encode_ply
from maquette.errors import present
from maquette.geometry.transforms import (
    VerticesAndFaces,
    determinant,
    transform_points,
    unit_vectors,
)
from maquette.output import write_files
from maquette.types import Instance, Scene, arrays_of, check_faces, check_unicode

STL_HEADER = b"maquette scene".ljust(80)  # must not begin with "solid", as the text form does
STL_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_obj(scene: Scene, path: Path) -> None:
    """Write ``path`` (.obj) and beside it ``<stem>.mtl`` and a picture per texture. One object per
    instance, named as its node.
    """
    materials = []
    textures = {}
    lines = [f"# maquette scene\nmtllib {path.stem}.mtl\n"]
    offset = 1  # OBJ counts from one, through all objects
    for instance in scene.instances:
        check_unicode(instance.node_name, f"the node name of instance {instance.label}")
        vertices, faces = _world_mesh(scene, instance)
        appearance = appearance_of(instance.mesh)
        material = re.sub(r"[^\w.-]+", "_", instance.node_name)
        lines.append(f"o {' '.join(instance.node_name.split())}\nusemtl {material}\n")
        lines.append(_obj_body(vertices, faces + offset, appearance))
        texture = ""
        if appearance.image is not None:
            content, suffix = texture_file(appearance.image)
            texture = f"{path.stem}_{material}{suffix}"
            textures[path.with_name(texture)] = content
        materials.append(_mtl_entry(material, appearance, texture))
        offset += len(vertices)
    library = {path.with_suffix(".mtl"): "\n".join(materials).encode()}
    write_files({path: "".join(lines).encode()} | library | textures)


def write_ply(scene: Scene, path: Path) -> None:
    """Write the whole scene as one binary PLY with sRGB vertex colours; textures are sampled at the
    vertices.
    """
    vertices = [np.zeros((0, 3))]
    faces = [np.zeros((0, 3), np.int64)]
    colors = [np.zeros((0, 4), np.uint8)]
    for instance in scene.instances:
        placed, triangles = _world_mesh(scene, instance)
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(placed)
        colors.append(vertex_colors_of(instance.mesh))
    merged = np.concatenate(vertices).astype(np.float32)
    write_files({path: encode_ply(PlyMesh(merged, np.concatenate(faces), np.concatenate(colors)))})


def write_stl(scene: Scene, path: Path) -> None:
    """Write the whole scene as one binary STL."""
    meshes = [_world_mesh(scene, instance) for instance in scene.instances]
    corners = [vertices[faces] for vertices, faces in meshes]
    triangles = np.concatenate([np.zeros((0, 3, 3)), *corners])
    edges = triangles[:, 1:] - triangles[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    facets = np.zeros(len(triangles), dtype=STL_FACET)
    facets["normal"] = unit_vectors(normals)
    facets["corners"] = triangles
    write_files({path: STL_HEADER + np.array(len(facets), "<u4").tobytes() + facets.tobytes()})


def _world_mesh(scene: Scene, instance: Instance) -> VerticesAndFaces:
    """Vertices (V, 3) float64 in the world, in metres when the scale is known, and faces (F, 3)
    that still look outward.
    """
    vertices, faces = arrays_of(instance.mesh)
    check_faces(faces, len(vertices), f"the mesh of instance {instance.label}")
    placed = transform_points(instance.world_from_instance, vertices)
    mirrored = determinant(instance.world_from_instance) < 0
    return placed * (scene.metres_per_unit or 1.0), faces[:, ::-1] if mirrored else faces


def _obj_body(vertices: np.ndarray, faces: np.ndarray, appearance: Appearance) -> str:
    """Vertices and faces as lines; coordinates of a texture, or colours behind the vertices."""
    if appearance.image is None:
        colors = present(appearance.colors, "colour")
        rows = np.concatenate([vertices, colors[:, :3] / 255], axis=1)
        coordinates = text_lines("v %.9g %.9g %.9g %.4g %.4g %.4g\n", rows)
        return coordinates + text_lines("f %d %d %d\n", faces)
    coordinates = text_lines("v %.9g %.9g %.9g\n", vertices)
    coordinates += text_lines("vt %.9g %.9g\n", present(appearance.uv, "texture"))
    return coordinates + text_lines("f %d/%d %d/%d %d/%d\n", np.repeat(faces, 2, axis=1))


def text_lines(template: str, rows: np.ndarray) -> str:
    """Rows (N, K) of numbers, each written as the template says."""
    return (template * len(rows)) % tuple(rows.reshape(-1).tolist())


def _mtl_entry(material: str, appearance: Appearance, texture: str) -> str:
    """One matte material; the plain colour is the mean, for programs that ignore colours per
    vertex.
    """
    color = (1.0, 1.0, 1.0)
    picture = f"map_Kd {texture}\n" if texture else ""
    if appearance.image is None:
        mean = linear_from_bytes(present(appearance.colors, "colour")).mean(0, keepdims=True)
        color = tuple(bytes_from_linear(mean)[0, :3] / 255)
    return f"newmtl {material}\nKd %.4g %.4g %.4g\nKs 0 0 0\nillum 1\n{picture}" % color
