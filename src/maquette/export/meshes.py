"""Scene -> OBJ, PLY and STL: plain meshes in world coordinates, for programs that do not read glTF.

+Y up, in metres when the scene knows its scale, otherwise in scene units. OBJ keeps the objects
  apart by name and has sRGB colours per
vertex (after the coordinates, as MeshLab and Blender read them) or textures; PLY is one mesh with
colours; STL has the shape only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from maquette.geometry.transforms import transform_points
from maquette.output import atomic_write
from maquette.scene.appearance import (
    Appearance,
    appearance_of,
    bytes_from_linear,
    linear_from_bytes,
    vertex_colors_of,
)
from maquette.scene.document import png_bytes
from maquette.scene.ply import PlyMesh, encode_ply
from maquette.types import Instance, Scene


def write_obj(scene: Scene, path: Path) -> None:
    """Write ``path`` (.obj) and beside it ``<stem>.mtl`` and a PNG per texture. One object per
    instance, named as its node.
    """
    materials = []
    lines = [f"# maquette scene, +Y up\nmtllib {path.stem}.mtl\n"]
    offset = 1  # OBJ counts from one, through all objects
    for instance in scene.instances:
        vertices, faces = _world_mesh(scene, instance)
        appearance = appearance_of(instance.mesh)
        material = _one_word(instance.node_name)
        lines.append(f"o {' '.join(instance.node_name.split())}\nusemtl {material}\n")
        lines.append(_obj_body(vertices, faces + offset, appearance))
        texture = "" if appearance.image is None else f"{path.stem}_{material}.png"
        materials.append(_mtl_entry(material, appearance, texture))
        if appearance.image is not None:
            _write(path.with_name(texture), png_bytes(appearance.image))
        offset += len(vertices)
    _write(path.with_suffix(".mtl"), "\n".join(materials).encode())
    _write(path, "".join(lines).encode())


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
    _write(path, encode_ply(PlyMesh(merged, np.concatenate(faces), np.concatenate(colors))))


def write_stl(scene: Scene, path: Path) -> None:
    """Write the whole scene as one binary STL."""
    triangles = np.concatenate(
        [np.zeros((0, 3, 3)), *(vertices[faces] for vertices, faces in _world_meshes(scene))]
    )
    facets = np.zeros(
        len(triangles),
        dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")],
    )
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    facets["corners"] = triangles
    header = b"maquette scene, +Y up".ljust(
        80, b" "
    )  # must not begin with "solid", which announces the text form
    _write(path, header + np.uint32(len(facets)).astype("<u4").tobytes() + facets.tobytes())


def _world_meshes(scene: Scene) -> list[tuple[np.ndarray, np.ndarray]]:
    return [_world_mesh(scene, instance) for instance in scene.instances]


def _world_mesh(scene: Scene, instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 in the world, in metres when the scale is known, and faces (F, 3)
    that still look outward.
    """
    vertices = transform_points(
        instance.world_from_instance, np.asarray(instance.mesh.vertices)
    ) * (scene.metres_per_unit or 1.0)
    faces = np.asarray(instance.mesh.faces)
    mirrored = np.linalg.det(instance.world_from_instance[:3, :3]) < 0
    return vertices, faces[:, ::-1] if mirrored else faces


def _obj_body(vertices: np.ndarray, faces: np.ndarray, appearance: Appearance) -> str:
    if appearance.image is None:
        rows = np.concatenate([vertices, appearance.colors[:, :3] / 255], axis=1)
        return _lines("v %.9g %.9g %.9g %.4g %.4g %.4g\n", rows) + _lines("f %d %d %d\n", faces)
    coordinates = _lines("v %.9g %.9g %.9g\n", vertices) + _lines("vt %.9g %.9g\n", appearance.uv)
    return coordinates + _lines("f %d/%d %d/%d %d/%d\n", np.repeat(faces, 2, axis=1))


def _lines(template: str, rows: np.ndarray) -> str:
    return (template * len(rows)) % tuple(rows.reshape(-1).tolist())


def _mtl_entry(material: str, appearance: Appearance, texture: str) -> str:
    """One matte material; the plain colour is the mean, for programs that ignore colours per
    vertex.
    """
    if appearance.image is None:
        mean = (
            bytes_from_linear(linear_from_bytes(appearance.colors).mean(0, keepdims=True))[0, :3]
            / 255
        )
        return f"newmtl {material}\nKd %.4g %.4g %.4g\nKs 0 0 0\nillum 1\n" % tuple(mean)
    return f"newmtl {material}\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n"


def _one_word(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
