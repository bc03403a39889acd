"""Scene -> one glTF 2.0 binary file, written directly: the file that goes into Blender, game
engines and web pages.

The scene frame is glTF's world (+Y up). Each instance is one node with its own translation,
rotation and scale, and a mesh centred on the node's origin. When the scene knows its scale,
metres_per_unit is multiplied into the nodes, never into the vertices, so lengths are metres as glTF
wants and the meshes stay as they are. Colours are COLOR_0, linear float32, because sRGB bytes made
linear would band; the camera is a glTF camera node. Whatever glTF has no word for (ground height,
label, seed, confidence, intrinsics) is in ``extras``. Format: Khronos glTF 2.0 specification,
sections 3.7 (meshes), 3.9 (materials), 3.10 (cameras).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from maquette.document.appearance import (
    Appearance,
    appearance_of,
    linear_from_bytes,
    texture_file,
)
from maquette.errors import InputError, present
from maquette.export.gltf import GltfFile
from maquette.geometry.cameras import WORLD_FROM_OPENCV
from maquette.geometry.connectivity import proper, sums_at
from maquette.geometry.transforms import determinant, unit_vectors
from maquette.output import write_files
from maquette.types import Camera, Instance, JsonObject, Scene, check_faces

# a photo's shading is not baked into the colours, so surfaces should be matte rather than glossy
ROUGHNESS = 0.9
MIME_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}
# vertices at one place share a normal where theirs agree with it: cosine of 45 degrees
CREASE_COSINE = 0.7
AROUND = "around"  # of a node's extras: no object, but ground, floor or wall
SIMILAR = 1e-9  # relative difference of three scales that is rounding and not a stretch
MOST_SHEAR = 1e-6  # cosine between axes that should be orthogonal


def write_glb(scene: Scene, path: Path) -> None:
    """Write the scene to a .glb file; see ``glb_bytes``. OutputError when the file cannot be
    written.
    """
    write_files({path: glb_bytes(scene)})


def glb_bytes(scene: Scene) -> bytes:
    """Return the content of a .glb file. InputError for a mesh or a transform that glTF cannot
    express.
    """
    gltf = GltfFile()
    units = scene.metres_per_unit or 1.0
    nodes = [_add_instance(gltf, instance, units) for instance in scene.instances]
    nodes += [_add_instance(gltf, surface, units, is_around=True) for surface in scene.around]
    nodes.append(_add_camera(gltf, scene.camera, units, scene.nodes))
    gltf.add(
        "scenes",
        name="scene",
        nodes=nodes,
        extras=_scene_extras(scene),
    )
    return gltf.packed(_generator())


def mesh_glb_bytes(instance: Instance) -> bytes:
    """Return a .glb file of one instance's mesh in the instance's own frame: a node without
    placement, no camera. Raises InputError.
    """
    gltf = GltfFile()
    node = gltf.add("nodes", name=instance.node_name, mesh=_add_mesh(gltf, instance))
    gltf.add("scenes", name="mesh", nodes=[node])
    return gltf.packed(_generator())


def _generator() -> str:
    from maquette import __version__

    return f"maquette {__version__}"


def _scene_extras(scene: Scene) -> JsonObject:
    """Return what only maquette knows. Nothing that varies from run to run, such as timings: that
    is in the scene document.
    """
    metres = scene.metres_per_unit
    units = "scene units (the longest side of the scene is 1)" if metres is None else "metres"
    ground = float(scene.ground_height) * (metres or 1.0)
    extras: JsonObject = {
        "frame": scene.frame,
        "up": "+Y",
        "units": units,
        "metres_per_unit": metres,
    }
    extras["ground_height"] = ground
    extras["failures"] = [
        {
            "label": int(f.label),
            "stage": f.stage,
            "reason": f.reason,
        }
        for f in scene.failures
    ]
    extras |= {key: scene.provenance.get(key) for key in ("method", "checkpoint")}
    return {key: value for key, value in extras.items() if value is not None and value != []}


# Instances


def _add_instance(
    gltf: GltfFile,
    instance: Instance,
    units: float,
    is_around: bool = False,
) -> int:
    """A node with its mesh, its place, and what is known of it as extras."""
    extras: JsonObject = {"label": int(instance.label), "seed": int(instance.seed)}
    if is_around:
        extras[AROUND] = True
    if math.isfinite(instance.confidence):
        extras["confidence"] = float(instance.confidence)
    if instance.name:
        extras["name"] = instance.name
    if instance.warnings:
        extras["warnings"] = list(instance.warnings)
    mesh = _add_mesh(gltf, instance)
    placement = _placement(instance, units)
    return gltf.add(
        "nodes",
        name=instance.node_name,
        mesh=mesh,
        **placement,
        extras=extras,
    )


def _placement(instance: Instance, units: float) -> dict[str, list[float]]:
    """Return translation, rotation (x, y, z, w) and scale of a node, without those that are glTF's
    defaults.
    """
    name = f"the transform of instance {instance.label}"
    matrix = np.asarray(instance.world_from_instance, dtype=np.float64)
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or scale.min() <= 0:
        raise InputError(f"{name} is not finite or flattens the object; give it another one")
    # world_from_instance should be a similarity: keep rounding from making it look like none
    if np.ptp(scale) < SIMILAR * scale.max():
        scale[:] = scale.mean()
    if determinant(matrix) < 0:
        scale[0] = -scale[0]
    rotation = matrix[:3, :3] / scale
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > MOST_SHEAR:
        raise InputError(
            f"{name} has shear, which glTF nodes cannot express; bake it into the mesh"
        )
    quaternion = Rotation.from_matrix(rotation).as_quat(canonical=True)
    parts = {
        "translation": matrix[:3, 3] * units,
        "rotation": quaternion,
        "scale": scale * units,
    }
    defaults = {
        "translation": [0, 0, 0],
        "rotation": [0, 0, 0, 1],
        "scale": [1, 1, 1],
    }
    return {
        name: value.tolist()
        for name, value in parts.items()
        if not np.array_equal(value, defaults[name])
    }


def _add_mesh(gltf: GltfFile, instance: Instance) -> int:
    """An instance's mesh, in its own frame; InputError when there is nothing to draw."""
    name = f"the mesh of instance {instance.label}"
    vertices = np.asarray(instance.mesh.vertices).astype(np.float32)
    faces = np.asarray(instance.mesh.faces)
    check_faces(faces, len(vertices), name)
    faces = proper(faces)
    if not len(faces) or not np.isfinite(vertices).all():
        raise InputError(f"{name} is empty or not finite; delete or replace the instance")
    appearance = appearance_of(instance.mesh)
    attributes = {
        "POSITION": gltf.vertices(vertices, bounds=True),
        "NORMAL": gltf.vertices(smooth_normals(vertices, faces)),
    }
    if appearance.image is None:
        colors = present(appearance.colors, "colour")
        opaque = bool(colors[:, 3].min() == 255)
        colors = colors[:, : 3 if opaque else 4]
        attributes["COLOR_0"] = gltf.vertices(linear_from_bytes(colors).astype(np.float32))
    else:
        opaque = appearance.image.mode == "RGB"
        u, v = present(appearance.uv, "texture").T
        top_left = np.stack([u, 1 - v], axis=1).astype(np.float32)
        attributes["TEXCOORD_0"] = gltf.vertices(top_left)
    primitive = {
        "attributes": attributes,
        "indices": gltf.triangles(faces, len(vertices)),
        "material": _add_material(gltf, instance, appearance, opaque),
    }
    return gltf.add("meshes", name=instance.node_name, primitives=[primitive])


def _add_material(
    gltf: GltfFile,
    instance: Instance,
    appearance: Appearance,
    opaque: bool,
) -> int:
    """One material per instance, so that an object can be given another look without touching the
    others.
    """
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    if appearance.image is not None:
        content, suffix = texture_file(appearance.image)
        kind = MIME_TYPES[suffix]
        view = gltf.view(content)
        image = gltf.add(
            "images",
            name=instance.node_name,
            mimeType=kind,
            bufferView=view,
        )
        surface["baseColorTexture"] = {"index": gltf.add("textures", source=image)}
    return gltf.add(
        "materials",
        name=instance.node_name,
        pbrMetallicRoughness=surface,
        alphaMode=None if opaque else "BLEND",
        doubleSided=None if _is_closed(instance.mesh) else True,
    )


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals: the mean of the faces around each vertex, weighted by their
    angle there; +Y where there is none.

    Angle weights do not depend on how a flat region is cut into triangles (Thurmer and Wuthrich,
    1998).
    """
    corners = vertices[faces].astype(np.float64)
    edges = np.roll(corners, -1, axis=1) - corners  # edge k leaves corner k
    diagonal = corners[:, 2] - corners[:, 0]
    normals = unit_vectors(np.cross(edges[:, 0], diagonal))
    edges = unit_vectors(edges)
    cosine = -(edges * np.roll(edges, 1, axis=1)).sum(2)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    weighted = (angle[:, :, None] * normals[:, None, :]).reshape(-1, 3)
    total = _across_seams(vertices, sums_at(faces.reshape(-1), weighted, len(vertices)))
    has_normal = np.linalg.norm(total, axis=1, keepdims=True) > 1e-6
    return np.where(has_normal, unit_vectors(total), [0.0, 1.0, 0.0]).astype(np.float32)


def _across_seams(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Normals (V, 3) of any length, in which vertices at one place share the sum: a seam of the
    texture is none of the surface. Where they disagree with it, it is a crease, and they stay.
    """
    places, place = np.unique(vertices, axis=0, return_inverse=True)
    if len(places) == len(vertices):
        return normals
    place = place.reshape(-1)
    shared = sums_at(place, normals, len(places))[place]
    agree = (unit_vectors(normals) * unit_vectors(shared)).sum(1, keepdims=True) > CREASE_COSINE
    return np.where(agree, shared, normals)


def _is_closed(mesh: trimesh.Trimesh) -> bool:
    """Whether the surface has no border, seams of its texture aside."""
    _, place = np.unique(np.asarray(mesh.vertices), axis=0, return_inverse=True)
    faces = place.reshape(-1)[mesh.faces]
    return bool(trimesh.graph.is_watertight(trimesh.geometry.faces_to_edges(faces))[0])


# The camera


def _add_camera(
    gltf: GltfFile,
    camera: Camera,
    units: float,
    taken: set[str],
) -> int:
    """Add the camera and its node. It looks along its own -Z with +Y up and has no principal point;
    the exact intrinsics are in extras.
    """
    fx = camera.focal
    fy = camera.intrinsics[1, 1]
    vertical = float(2 * np.arctan(0.5 * camera.height / fy))
    aspect = float(camera.width * fy / (camera.height * fx))
    farthest = float(np.linalg.norm(camera.position) + 10.0) * units
    perspective = {
        "yfov": vertical,
        "aspectRatio": aspect,
        "znear": 0.01 * units,
        "zfar": farthest,
    }
    names = ["camera", *(f"camera_{k}" for k in range(len(taken) + 1))]
    name = next(name for name in names if name not in taken)
    index = gltf.add(
        "cameras",
        name=name,
        type="perspective",
        perspective=perspective,
    )
    rotation = Rotation.from_matrix(camera.rotation @ WORLD_FROM_OPENCV)
    pose = {
        "translation": (camera.position * units).tolist(),
        "rotation": rotation.as_quat(canonical=True).tolist(),
    }
    extras = {"width": int(camera.width), "height": int(camera.height)}
    extras["intrinsics"] = camera.intrinsics.reshape(-1).tolist()
    return gltf.add(
        "nodes",
        name=name,
        camera=index,
        **pose,
        extras=extras,
    )
