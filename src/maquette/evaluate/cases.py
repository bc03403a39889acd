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
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.files import Record, damage_named, read_object, read_record
from maquette.evaluate.surfaces import Meshes, require_surfaces
from maquette.evaluate.visibility import hidden_shares
from maquette.export.glb import write_glb
from maquette.export.read import read_glb
from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.cameras import azimuth_of, moved
from maquette.geometry.transforms import rotation_y
from maquette.inputs import read_scene_input
from maquette.masks.write import write_masks
from maquette.output import atomic_folder
from maquette.render.preview import orbit_cameras
from maquette.stages.place import ground_height, place
from maquette.types import Camera, Focal, JsonObject, Scene, SceneInput

PHOTO = "photo.png"
MASKS = "masks.png"
TRUTH = "truth.glb"
OBJECTS = "objects.json"
ADVICE = "prepare the scene again"
NO_LABEL = 1_000_000  # labels from here on belong to nodes whose names tell none


@dataclass(frozen=True, eq=False)
class Case:
    """One scene of a benchmark."""

    name: str  # such as "random/0003"; the part before the first slash is the set
    scene_input: SceneInput  # all that a method under test may see
    truth: Meshes  # "instance_<label>" -> mesh in the frame of ``camera``; one per mask
    camera: Camera | None  # the true camera; None when the data do not tell
    # label -> share of the object that others hide, in [0, 1]; nan = not known
    hidden: Mapping[int, float] = field(default_factory=dict)
    origin: JsonObject = field(default_factory=dict)  # where it comes from; JSON types

    @property
    def set(self) -> str:
        """Name of the set."""
        return set_of(self.name)

    def objects(self) -> list[JsonObject]:
        """Label, name, share of the picture and hidden share of every object."""
        listed = []
        for mask in self.scene_input.masks:
            share = round(float(mask.mask.mean()), 6)
            hidden = float(self.hidden.get(mask.label, math.nan))
            known = None if math.isnan(hidden) else round(hidden, 4)
            about = {
                "label": mask.label,
                "name": mask.name,
                "share": share,
                "hidden": known,
            }
            listed.append(about)
        return listed


class CaseSource(Protocol):
    """Something that gives one case when asked; plain data, so that it can travel to another
    process.
    """

    @property
    def name(self) -> str:
        """Name of the case, unique within a run."""
        ...

    @property
    def identity(self) -> str:
        """What it is made of, for people and for telling whether a run folder holds the same
        scene.
        """
        ...

    def load(self) -> Case:
        """Make or read the case. Raises InputError."""
        ...


def set_of(name: str) -> str:
    """The set that a case belongs to, by its name."""
    return name.partition("/")[0]


def node_name(label: int) -> str:
    """The node name of a label, in truths and in predictions."""
    return f"instance_{label}"


def label_of(node: str) -> int | None:
    """The label that a node name tells; None when it tells none."""
    tail = node.removeprefix("instance_")
    return int(tail) if tail.isdecimal() else None


def by_instance_number(name: str) -> tuple[int, int | str, str]:
    """Sort key: instance_2 before instance_10."""
    tail = name.rpartition("_")[2]
    return (0, int(tail), name) if tail.isdecimal() else (1, name, name)


def measured_case(
    name: str,
    scene_input: SceneInput,
    truth: Meshes,
    camera: Camera | None,
    origin: JsonObject | None = None,
) -> Case:
    """Make a case and measure how much of every object the others hide. InputError when masks and
    truth do not name the same objects, or when an object has no surface.
    """
    labels = [mask.label for mask in scene_input.masks]
    wanted = set(map(node_name, labels))
    if wanted != set(truth):
        only_masks = sorted(wanted - set(truth))[:4]
        only_truth = sorted(set(truth) - wanted)[:4]
        raise InputError(
            f"{name}: masks and ground truth differ: masks alone {only_masks}, "
            f"truth alone {only_truth}; give every mask one mesh of its name"
        )
    require_surfaces(truth)
    shares = {} if camera is None else hidden_shares(truth, camera)
    hidden = {label: shares.get(node_name(label), math.nan) for label in labels}
    return Case(name, scene_input, truth, camera, hidden, origin or {})


def scene_of_meshes(
    meshes: Meshes, camera: Camera | None = None, names: Mapping[str, str] | None = None
) -> Scene:
    """Meshes by node name as a Scene, for exporting and drawing; without a camera one is placed in
    front. Labels come from the names.
    """
    instances = []
    for k, node in enumerate(sorted(meshes, key=by_instance_number), NO_LABEL):
        label = label_of(node)
        name = "" if names is None else names.get(node, "")
        placed = place(k if label is None else label, meshes[node], 0, node=node, name=name)
        instances.append(placed)
    if camera is None:
        points = [np.asarray(mesh.vertices) for mesh in meshes.values()] or [np.zeros((1, 3))]
        camera = orbit_cameras(np.concatenate(points), [0.0], 512, 512)[0]
    return Scene(tuple(instances), camera, ground_height=ground_height(instances, {}))


def camera_to_dict(camera: Camera | None) -> Record | None:
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
        intrinsics = np.array(data["intrinsics"], dtype=np.float64).reshape(3, 3)
        pose = np.array(data["world_from_camera"], dtype=np.float64).reshape(4, 4)
        camera = Camera(intrinsics, pose, int(data["width"]), int(data["height"]))
        if not _is_sound(camera):
            raise ValueError("its numbers are not finite, not positive, or no rigid pose")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where}: not a camera ({error}); "
            "give width, height, intrinsics (3x3) and world_from_camera (4x4, OpenCV axes)"
        ) from error
    return camera


def _is_sound(camera: Camera) -> bool:
    """Whether it can project, and its pose is a rotation and a translation."""
    pose = camera.world_from_camera
    lengths = [*np.diag(camera.intrinsics)[:2], *camera.size]
    if not np.isfinite([*camera.intrinsics.flat, *pose.flat]).all() or min(lengths) <= 0:
        return False
    rotation = pose[:3, :3]
    orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
    return orthonormal and np.linalg.det(rotation) > 0


def save_case(case: Case, folder: Path) -> None:
    """Write a case as a plain folder; it appears when it is complete."""
    names = {node_name(mask.label): mask.name for mask in case.scene_input.masks}
    record: Record = {
        "name": case.name,
        "origin": dict(case.origin),
        "objects": case.objects(),
    }
    record["camera"] = camera_to_dict(case.camera)
    if case.scene_input.focal is not None:  # the photo told it, so a method may know it
        record["focal"] = asdict(case.scene_input.focal)
    with atomic_folder(folder) as temporary:
        Image.fromarray(case.scene_input.image).save(temporary / PHOTO)
        write_masks(case.scene_input.masks, temporary / MASKS)
        write_glb(scene_of_meshes(case.truth, case.camera, names), temporary / TRUTH)
        (temporary / OBJECTS).write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_case(folder: Path, name: str = "") -> Case:
    """Read what ``save_case`` wrote. InputError when something is missing or damaged."""
    record = read_objects(folder)
    photo = read_scene_input(folder / PHOTO, folder / MASKS)
    scene_input = with_recorded_focal(photo, folder / OBJECTS)
    shares = {int(about["label"]): about.get("hidden") for about in record["objects"]}
    hidden = {k: math.nan if share is None else float(share) for k, share in shares.items()}
    camera = camera_from_dict(record.get("camera"), str(folder / OBJECTS))
    nodes = read_glb(folder / TRUTH)
    truth = {node: mesh.apply_transform(world_from_node) for node, mesh, world_from_node in nodes}
    origin = record.get("origin", {})
    return Case(name or record["name"], scene_input, truth, camera, hidden, origin)


def read_objects(folder: Path) -> Record:
    """What objects.json of a case holds. InputError when it is missing or damaged."""
    return read_record(folder / OBJECTS, ADVICE)


def with_recorded_focal(scene_input: SceneInput, record: Path) -> SceneInput:
    """The input with the focal length that objects.json keeps of the original photo's file.
    InputError when it is no focal length.
    """
    told = read_object(record, ADVICE).get("focal")
    if not told:
        return scene_input
    with damage_named(record):
        focal = Focal(**told)
        if not 0.0 < focal.ratio < math.inf:
            raise ValueError(f"{focal.ratio} is no focal length")
    return replace(scene_input, focal=focal)


def view_centric(truth: Meshes, camera: Camera | None) -> tuple[Meshes, Camera | None]:
    """Move world meshes and camera (any unit, +Y up) to the scene frame; without a camera the
    azimuth stays as it is. InputError when an object has no surface.
    """
    require_surfaces(truth)
    yaw = np.eye(3) if camera is None else rotation_y(azimuth_of(camera))
    used = [np.asarray(mesh.vertices)[np.unique(mesh.faces)] for mesh in truth.values()]
    corners = np.concatenate([bounding_box(vertices @ yaw.T) for vertices in used])
    from_world = scene_from_world(bounding_box(corners), yaw)
    meshes = {name: mesh.copy().apply_transform(from_world) for name, mesh in truth.items()}
    return meshes, None if camera is None else moved(camera, from_world)
