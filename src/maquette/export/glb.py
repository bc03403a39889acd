"""Scene -> one glTF 2.0 binary file, written directly: the file that goes into Blender, game
engines and web pages.

The scene frame is glTF's world (+Y up). Each instance is one node with its own translation,
rotation and scale, and a mesh centred on the node's origin. When the scene knows its scale,
metres_per_unit is multiplied into the nodes, never into the vertices, so lengths are metres as glTF
wants and the meshes stay as they are. Colours are COLOR_0, linear float32, because sRGB bytes made
linear would band; the camera is a glTF camera node. Whatever glTF has no word for (ground height,
label, seed, confidence, intrinsics) is in ``extras``. Format: Khronos glTF 2.0 specification,
sections 3.6 (buffers), 3.7 (meshes), 3.9 (materials), 3.10 (cameras), 4.4 (GLB).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from maquette.errors import InputError
from maquette.geometry.cameras import WORLD_FROM_OPENCV
from maquette.output import atomic_write
from maquette.scene.appearance import Appearance, appearance_of, linear_from_bytes
from maquette.scene.document import png_bytes
from maquette.types import Camera, Instance, Scene

ARRAY_BUFFER = 34962
ELEMENT_ARRAY_BUFFER = 34963
COMPONENT_TYPES = {"uint16": 5123, "uint32": 5125, "float32": 5126}
# a photo's shading is not baked into the colours, so surfaces should be matte rather than glossy
ROUGHNESS = 0.9


@dataclass
class _Gltf:
    """The document under construction: glTF's top-level arrays and the binary chunk."""

    arrays: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    binary: bytearray = field(default_factory=bytearray)

    def add(self, kind: str, **properties: Any) -> int:
        """Append one object to a top-level array; returns its index. Properties that are None are
        left out.
        """
        entries = self.arrays.setdefault(kind, [])
        entries.append({key: value for key, value in properties.items() if value is not None})
        return len(entries) - 1

    def view(self, content: bytes, target: int | None = None) -> int:
        """Append bytes to the binary chunk, aligned to 4; returns the index of their buffer view."""
        self.binary.extend(bytes(-len(self.binary) % 4))
        start = len(self.binary)
        self.binary.extend(content)
        return self.add(
            "bufferViews", buffer=0, byteOffset=start, byteLength=len(content), target=target
        )

    def accessor(self, values: np.ndarray, kind: str, target: int, bounds: bool = False) -> int:
        """Append an array; returns the index of its accessor."""
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        return self.add(
            "accessors",
            bufferView=self.view(little.tobytes(), target),
            componentType=COMPONENT_TYPES[values.dtype.name],
            count=len(values),
            type=kind,
            min=values.min(0).tolist() if bounds else None,
            max=values.max(0).tolist() if bounds else None,
        )


def write_glb(scene: Scene, path: Path) -> None:
    """Write the scene to a .glb file; see ``glb_bytes``. OutputError when the file cannot be
    written.
    """
    content = glb_bytes(scene)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def glb_bytes(scene: Scene) -> bytes:
    """Return the content of a .glb file. InputError for a mesh or a transform that glTF cannot
    express.
    """
    gltf = _Gltf()
    units = scene.metres_per_unit or 1.0
    nodes = [_add_instance(gltf, instance, units) for instance in scene.instances]
    nodes.append(_add_camera(gltf, scene.camera, units, {i.node_name for i in scene.instances}))
    gltf.add("scenes", name="scene", nodes=nodes, extras=_scene_extras(scene))
    return _packed(gltf)


def mesh_glb_bytes(instance: Instance) -> bytes:
    """Return a .glb file of one instance's mesh in the instance's own frame: a node without
    placement, no camera. Raises InputError.
    """
    gltf = _Gltf()
    node = gltf.add("nodes", name=instance.node_name, mesh=_add_mesh(gltf, instance))
    gltf.add("scenes", name="mesh", nodes=[node])
    return _packed(gltf)


def _packed(gltf: _Gltf) -> bytes:
    from maquette import __version__

    if gltf.binary:
        gltf.add("buffers", byteLength=len(gltf.binary))
    header = {
        "asset": {"version": "2.0", "generator": f"maquette {__version__}"},
        "scene": 0,
        **gltf.arrays,
    }
    try:
        text = json.dumps(
            header, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except ValueError as error:
        raise InputError(
            "the scene has a number that is not finite in its camera, scale or ground height; fix it"
        ) from error
    chunks = _chunk(b"JSON", text, b" ") + (
        _chunk(b"BIN\0", bytes(gltf.binary), b"\0") if gltf.binary else b""
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    content += padding * (-len(content) % 4)
    return struct.pack("<I4s", len(content), kind) + content


def _scene_extras(scene: Scene) -> dict[str, Any]:
    """Return what only maquette knows. Nothing that varies from run to run, such as timings: that
    is in the scene document.
    """
    extras = {
        "frame": scene.frame,
        "up": "+Y",
        "units": "scene units (the longest side of the scene is 1)"
        if scene.metres_per_unit is None
        else "metres",
        "metres_per_unit": scene.metres_per_unit,
        "ground_height": float(scene.ground_height) * (scene.metres_per_unit or 1.0),
        "failures": [
            {"label": int(f.label), "stage": f.stage, "reason": f.reason} for f in scene.failures
        ],
        "method": scene.provenance.get("method"),
        "checkpoint": scene.provenance.get("checkpoint"),
    }
    return {key: value for key, value in extras.items() if value is not None and value != []}


# Instances


def _add_instance(gltf: _Gltf, instance: Instance, units: float) -> int:
    extras = {"label": int(instance.label), "seed": int(instance.seed)}
    if math.isfinite(instance.confidence):
        extras["confidence"] = float(instance.confidence)
    if instance.name:
        extras["name"] = instance.name
    if instance.warnings:
        extras["warnings"] = list(instance.warnings)
    mesh = _add_mesh(gltf, instance)
    return gltf.add(
        "nodes", name=instance.node_name, mesh=mesh, **_placement(instance, units), extras=extras
    )


def _placement(instance: Instance, units: float) -> dict[str, list[float]]:
    """Return translation, rotation (x, y, z, w) and scale of a node, without those that are glTF's
    defaults.
    """
    matrix = np.asarray(instance.world_from_instance, dtype=np.float64)
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or scale.min() <= 0:
        raise InputError(
            f"the transform of instance {instance.label} is not finite or flattens the object; give it another one"
        )
    if (
        np.ptp(scale) < 1e-9 * scale.max()
        # a similarity, which world_from_instance should be; keep rounding from making it look like none
    ):
        scale[:] = scale.mean()
    if np.linalg.det(matrix[:3, :3]) < 0:
        scale[0] = -scale[0]
    rotation = matrix[:3, :3] / scale
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-6:
        raise InputError(
            f"the transform of instance {instance.label} has shear, which glTF nodes cannot express; bake it into the mesh"
        )
    quaternion = Rotation.from_matrix(rotation).as_quat(canonical=True)
    parts = {"translation": matrix[:3, 3] * units, "rotation": quaternion, "scale": scale * units}
    defaults = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
    return {
        name: value.tolist()
        for name, value in parts.items()
        if not np.array_equal(value, defaults[name])
    }


def _add_mesh(gltf: _Gltf, instance: Instance) -> int:
    vertices = np.asarray(instance.mesh.vertices).astype(np.float32)
    faces = np.asarray(instance.mesh.faces)
    faces = faces[
        (faces != np.roll(faces, 1, axis=1)).all(1)
    ]  # a triangle that names a vertex twice draws nothing
    if not len(faces) or not np.isfinite(vertices).all():
        raise InputError(
            f"the mesh of instance {instance.label} is empty or not finite; delete or replace the instance"
        )
    appearance = appearance_of(instance.mesh)
    attributes = {
        "POSITION": gltf.accessor(vertices, "VEC3", ARRAY_BUFFER, bounds=True),
        "NORMAL": gltf.accessor(smooth_normals(vertices, faces), "VEC3", ARRAY_BUFFER),
    }
    if appearance.image is None:
        opaque = appearance.colors[:, 3].min() == 255
        linear = linear_from_bytes(appearance.colors[:, : 3 if opaque else 4]).astype(np.float32)
        attributes["COLOR_0"] = gltf.accessor(linear, "VEC3" if opaque else "VEC4", ARRAY_BUFFER)
    else:
        opaque = appearance.image.mode == "RGB"
        top_left = np.stack([appearance.uv[:, 0], 1 - appearance.uv[:, 1]], axis=1).astype(
            np.float32
        )
        attributes["TEXCOORD_0"] = gltf.accessor(top_left, "VEC2", ARRAY_BUFFER)
    index_type = np.uint16 if len(vertices) < 65535 else np.uint32  # 65535 itself is reserved
    primitive = {
        "attributes": attributes,
        "indices": gltf.accessor(
            faces.reshape(-1).astype(index_type), "SCALAR", ELEMENT_ARRAY_BUFFER
        ),
        "material": _add_material(gltf, instance, appearance, opaque),
    }
    return gltf.add("meshes", name=instance.node_name, primitives=[primitive])


def _add_material(gltf: _Gltf, instance: Instance, appearance: Appearance, opaque: bool) -> int:
    """One material per instance, so that an object can be given another look without touching the
    others.
    """
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    if appearance.image is not None:
        view = gltf.view(png_bytes(appearance.image))
        image = gltf.add("images", name=instance.node_name, mimeType="image/png", bufferView=view)
        surface["baseColorTexture"] = {"index": gltf.add("textures", source=image)}
    return gltf.add(
        "materials",
        name=instance.node_name,
        pbrMetallicRoughness=surface,
        alphaMode=None if opaque else "BLEND",
        doubleSided=None if instance.mesh.is_watertight else True,
    )


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals: the mean of the faces around each vertex, weighted by their
    angle there; +Y where there is none.

    Angle weights do not depend on how a flat region is cut into triangles (Thurmer and Wuthrich,
    1998).
    """
    corners = vertices[faces].astype(np.float64)
    edges = np.roll(corners, -1, axis=1) - corners  # edge k leaves corner k
    edges = edges / np.maximum(np.linalg.norm(edges, axis=2, keepdims=True), 1e-30)
    cosine = -(edges * np.roll(edges, 1, axis=1)).sum(2)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    direction = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-30)
    weighted = angle[:, :, None] * direction[:, None, :]
    total = np.stack(
        [
            np.bincount(faces.reshape(-1), weighted[..., k].reshape(-1), len(vertices))
            for k in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-6, total / np.maximum(length, 1e-30), [0.0, 1.0, 0.0]).astype(
        np.float32
    )


# The camera


def _add_camera(gltf: _Gltf, camera: Camera, units: float, taken: set[str]) -> int:
    """Add the camera and its node. It looks along its own -Z with +Y up and has no principal point;
    the exact intrinsics are in extras.
    """
    fx = camera.intrinsics[0, 0]
    fy = camera.intrinsics[1, 1]
    perspective = {
        "yfov": float(2 * np.arctan(0.5 * camera.height / fy)),
        "aspectRatio": float(camera.width * fy / (camera.height * fx)),
        "znear": 0.01 * units,
        "zfar": float(np.linalg.norm(camera.position) + 10.0) * units,
    }
    name = next(
        name
        for name in ("camera", *(f"camera_{k}" for k in range(len(taken) + 1)))
        if name not in taken
    )
    index = gltf.add("cameras", name=name, type="perspective", perspective=perspective)
    rotation = Rotation.from_matrix(camera.world_from_camera[:3, :3] @ WORLD_FROM_OPENCV).as_quat(
        canonical=True
    )
    return gltf.add(
        "nodes",
        name=name,
        camera=index,
        translation=(camera.position * units).tolist(),
        rotation=rotation.tolist(),
        extras={
            "width": int(camera.width),
            "height": int(camera.height),
            "intrinsics": camera.intrinsics.reshape(-1).tolist(),
        },
    )
