"""A case: one photo with masks, the true meshes, and the camera. What a method may see and what it
is compared with.

Every source of scenes (sets.py, readers/) ends here, and a case can be stored as a plain folder,
which is also one of the formats that are read (docs/evaluation-data.md):

    photo.png      the photo
    masks.png      its label picture
    truth.glb      the true scene: node ``instance_<label>`` for mask <label>; +Y up
    objects.json   {"objects": [{"label", "name", "share", "hidden"}], "camera": {...} or null, ...}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.visibility import hidden_shares
from maquette.export.glb import write_glb
from maquette.export.read import read_glb
from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.cameras import azimuth_of, moved
from maquette.geometry.transforms import rotation_y
from maquette.images import read_scene_input
from maquette.images.write import write_masks
from maquette.output import atomic_folder
from maquette.render.preview import orbit_cameras
from maquette.scene.place import ground_height, place
from maquette.types import Camera, Focal, Scene, SceneInput

Meshes = dict[str, trimesh.Trimesh]
PHOTO = "photo.png"
MASKS = "masks.png"
TRUTH = "truth.glb"
OBJECTS = "objects.json"


@dataclass(frozen=True, eq=False)
class Case:
    """One scene of a benchmark."""

    name: str  # such as "random/0003"; the part before the first slash is the set
    scene_input: SceneInput  # all that a method under test may see
    truth: Meshes  # "instance_<label>" -> mesh in the frame of ``camera``; one per mask
    camera: Camera | None  # the true camera; None when the data do not tell
    hidden: Mapping[int, float] = field(
        default_factory=dict
    )  # label -> share of the object that others hide, in [0, 1]; nan = not known
    origin: Mapping[str, Any] = field(default_factory=dict)  # where it comes from; JSON types

    @property
    def set(self) -> str:
        """Name of the set."""
        return self.name.partition("/")[0]

    def objects(self) -> list[dict[str, Any]]:
        """Label, name, share of the picture and hidden share of every object."""
        return [
            {
                "label": m.label,
                "name": m.name,
                "share": round(float(m.mask.mean()), 6),
                "hidden": _rounded(self.hidden.get(m.label)),
            }
            for m in self.scene_input.masks
        ]


def _rounded(share: float | None) -> float | None:
    return None if share is None or np.isnan(share) else round(float(share), 4)


def node_name(label: int) -> str:
    """The node name of a label, in truths and in predictions."""
    return f"instance_{label}"


def measured(
    name: str,
    scene_input: SceneInput,
    truth: Meshes,
    camera: Camera | None,
    origin: Mapping[str, Any] | None = None,
) -> Case:
    """Make a case and measure how much of every object the others hide. InputError when masks and
    truth do not name the same objects.
    """
    wanted = {node_name(mask.label) for mask in scene_input.masks}
    if wanted != set(truth):
        only_masks = sorted(wanted - set(truth))
        only_truth = sorted(set(truth) - wanted)
        raise InputError(
            f"{name}: masks and ground truth differ: masks alone {only_masks[:4]}, truth alone {only_truth[:4]}; "
            "give every mask one mesh of its name"
        )
    shares = {} if camera is None else hidden_shares(truth, camera)
    hidden = {m.label: shares.get(node_name(m.label), np.nan) for m in scene_input.masks}
    return Case(name, scene_input, truth, camera, hidden, origin or {})


def scene_of(
    meshes: Meshes, camera: Camera | None = None, names: Mapping[str, str] | None = None
) -> Scene:
    """Meshes by node name as a Scene, for exporting and drawing; without a camera one is placed in
    front. Labels come from the names.
    """
    instances = []
    for k, (node, mesh) in enumerate(sorted(meshes.items(), key=lambda item: natural(item[0]))):
        tail = node.removeprefix("instance_")
        instances.append(
            place(
                int(tail) if tail.isdigit() else 10**6 + k,
                mesh,
                0,
                node=node,
                name=(names or {}).get(node, ""),
            )
        )
    if camera is None:
        points = (
            np.concatenate([np.asarray(m.vertices) for m in meshes.values()])
            if meshes
            else np.zeros((1, 3))
        )
        camera = orbit_cameras(points, [0.0], 512, 512)[0]
    return Scene(tuple(instances), camera, ground_height=ground_height(instances))


def natural(name: str) -> tuple[int, int | str, str]:
    """Sort key: instance_2 before instance_10."""
    tail = name.rpartition("_")[2]
    return (0, int(tail), name) if tail.isdigit() else (1, name, name)


def camera_to_dict(camera: Camera | None) -> dict[str, Any] | None:
    """Intrinsics (pixels, OpenCV), pose and size, as JSON types."""
    if camera is None:
        return None
    return {
        "width": camera.width,
        "height": camera.height,
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.tolist(),
    }


def camera_from_dict(data: Any, where: str) -> Camera | None:
    """The inverse of ``camera_to_dict``; InputError when parts are missing or not numbers."""
    if data is None:
        return None
    try:
        intrinsics, pose = (
            np.array(data[key], dtype=np.float64) for key in ("intrinsics", "world_from_camera")
        )
        camera = Camera(
            intrinsics.reshape(3, 3), pose.reshape(4, 4), int(data["width"]), int(data["height"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: not a camera ({error}); give width, height, intrinsics (3x3) and world_from_camera (4x4)"
        ) from error
    rotation = camera.world_from_camera[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{where}: world_from_camera is not a rigid pose; give a rotation and a translation (OpenCV axes)"
        )
    return camera


def save_case(case: Case, folder: Path) -> None:
    """Write a case as a plain folder; it appears when it is complete."""
    names = {node_name(mask.label): mask.name for mask in case.scene_input.masks}
    with atomic_folder(folder) as temporary:
        Image.fromarray(case.scene_input.image).save(temporary / PHOTO)
        write_masks(case.scene_input.masks, temporary / MASKS)
        write_glb(scene_of(case.truth, case.camera, names), temporary / TRUTH)
        record = {
            "name": case.name,
            "origin": dict(case.origin),
            "objects": case.objects(),
            "camera": camera_to_dict(case.camera),
        }
        if case.scene_input.focal is not None:  # the photo told it, so a method may know it
            record["focal"] = asdict(case.scene_input.focal)
        (temporary / OBJECTS).write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_case(folder: Path, name: str = "") -> Case:
    """Read what ``save_case`` wrote. InputError when something is missing or damaged."""
    record = read_objects(folder)
    scene_input = with_recorded_focal(read_scene_input(folder / PHOTO, folder / MASKS), record)
    hidden = {
        int(o["label"]): np.nan if o.get("hidden") is None else float(o["hidden"])
        for o in record["objects"]
    }
    camera = camera_from_dict(record.get("camera"), str(folder / OBJECTS))
    truth = {
        node: mesh.apply_transform(world_from_node)
        for node, mesh, world_from_node in read_glb(folder / TRUTH)
    }
    return Case(
        name or record["name"], scene_input, truth, camera, hidden, record.get("origin", {})
    )


def with_recorded_focal(scene_input: SceneInput, record: Mapping[str, Any]) -> SceneInput:
    """The input with the focal length that objects.json keeps of the original photo's file."""
    return (
        replace(scene_input, focal=Focal(**record["focal"])) if record.get("focal") else scene_input
    )


def read_objects(folder: Path) -> dict[str, Any]:
    """What objects.json of a case holds. InputError when it is missing or damaged."""
    path = folder / OBJECTS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the folder holds no prepared scene") from error
    except ValueError as error:
        raise InputError(
            f"{path}: damaged ({error}); delete the folder and prepare the scene again"
        ) from error


def view_centric(truth: Meshes, camera: Camera | None) -> tuple[Meshes, Camera | None]:
    """Move world meshes and camera (any unit, +Y up) to the scene frame; without a camera the
    azimuth stays as it is.
    """
    from_world = _scene_from_world(truth, camera)
    meshes = {name: mesh.copy().apply_transform(from_world) for name, mesh in truth.items()}
    return meshes, None if camera is None else moved(camera, from_world)


def _scene_from_world(truth: Meshes, camera: Camera | None) -> np.ndarray:
    yaw = np.eye(3) if camera is None else rotation_y(azimuth_of(camera))
    corners = np.concatenate(
        [
            bounding_box(np.asarray(mesh.vertices)[np.unique(mesh.faces)] @ yaw.T)
            for mesh in truth.values()
        ]
    )
    return scene_from_world(bounding_box(corners), yaw)
