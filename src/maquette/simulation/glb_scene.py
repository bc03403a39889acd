"""A GLB, ours or anyone's -> a Scene, so that it can be written for simulators, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from maquette.errors import InputError, contained
from maquette.export.glb import AROUND
from maquette.export.gltf import read_header
from maquette.export.read import read_glb
from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.geometry.transforms import similarity
from maquette.types import Camera, Instance, Scene

SIDE = 512  # pixels of the camera that such a scene gets
VIEW = np.array([0.5, 0.6, 1.6])  # where it stands, from the middle, in spans of the scene


def scene_of_glb(path: Path) -> Scene:
    """The nodes with triangles as instances, labelled as maquette wrote them or else by number.

    Lengths are metres, as glTF says, unless the file says that its scale is unknown. InputError
    when it cannot be read or is empty.
    """
    read = read_glb(path)
    if not read:
        raise InputError(f"{path}: has no node with triangles; give another file")
    with contained(f"{path}: it cannot be read as glTF", "export it again"), open(path, "rb") as f:
        header = read_header(f)
    nodes = {entry.get("name"): _extras(entry) for entry in header.get("nodes", [])}
    labels = _labels([nodes.get(name, {}).get("label") for name, _, _ in read])
    made: dict[bool, list[Instance]] = {False: [], True: []}  # objects, what is around them
    for label, (name, mesh, placed) in sorted(zip(labels, read), key=lambda pair: pair[0]):
        extras = nodes.get(name, {})
        instance = _instance(label, name, extras, mesh, placed)
        made[extras.get(AROUND) is True].append(instance)
    instances = made[False] or made.pop(True)
    boxes = np.array([instance.box for instance in instances])
    low = boxes[:, 0].min(0)
    high = boxes[:, 1].max(0)
    told = _extras(next(iter(header.get("scenes", [])), {}))
    ground = told.get("ground_height")
    if not isinstance(ground, (int, float)):
        ground = low[1]
    is_unknown = str(told.get("units", "")).startswith("scene units")
    metres = None if is_unknown else 1.0
    surfaces = tuple(made.get(True, ()))
    return Scene(
        tuple(instances),
        _camera(low, high),
        ground_height=float(ground),
        metres_per_unit=metres,
        provenance={"method": "file"},
        around=surfaces,
    )


def _instance(
    label: int,
    node: str,
    told: Mapping[str, Any],
    mesh: trimesh.Trimesh,
    placed: np.ndarray,
) -> Instance:
    """With its frame in the middle of the mesh's box; ``told``: the node's extras."""
    name = told.get("name")
    sure = told.get("confidence") if told.get(AROUND) is True else None
    confidence = sure if isinstance(sure, float) else math.nan
    middle = mesh.bounds.mean(0)
    mesh.apply_translation(-middle)
    centred = placed @ similarity(1.0, None, middle)
    return Instance(
        label,
        mesh,
        centred,
        seed=0,
        confidence=confidence,
        name=name if isinstance(name, str) else "",
        node=node,
    )


def _extras(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    extras = entry.get("extras")
    return extras if isinstance(extras, dict) else {}


def _labels(told: list[Any]) -> list[int]:
    """The labels that are told when all are and differ, else 1, 2, 3."""
    fine = all(type(label) is int and label > 0 for label in told)
    if fine and len(set(told)) == len(told):
        return told
    return list(range(1, len(told) + 1))


def _camera(low: np.ndarray, high: np.ndarray) -> Camera:
    """One that looks at all of it from above."""
    middle = (low + high) / 2
    span = float((high - low).max())
    pose = look_at(middle + VIEW * span, middle)
    return Camera(intrinsics_from_fov(0.8, SIDE, SIDE), pose, SIDE, SIDE)
