"""Edits of a scene document without loading its meshes: pure functions from record to record, so
that a history is undo and redo.

Beside document (which reads and writes these records) and for whoever keeps many versions of one
scene. Each edit means what the verb of Scene with its name means; files are never touched, and
records share them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.scene.document import instance_of
from maquette.scene.fields import Fields

Record = dict[str, Any]


def transform(
    document: Fields, label: int, world_from_instance: Sequence[Sequence[float]]
) -> Record:
    """Place one instance anew; expects a (4, 4) similarity: a rotation, one scale above 0, a
    translation. Raises InputError.
    """
    matrix = _similarity(world_from_instance, label)
    return _with_instance(document, label, _placed(_entry(document, label), matrix))


def rename(document: Fields, label: int, node: str) -> Record:
    """Give one instance's node another name; names stay unique. Raises InputError."""
    _entry(document, label)
    if not node or any(
        i["node"] == node and i["label"] != label for i in document.data["instances"]
    ):
        raise InputError(
            f"cannot rename instance {label} to {node!r}: the name is empty or taken; choose another"
        )
    return _with_instance(document, label, {**_entry(document, label).data, "node": node})


def hide(document: Fields, labels: Sequence[int], hidden: bool = True) -> Record:
    """Hide instances, or show them again. Raises InputError."""
    for label in labels:
        _entry(document, label)
    return _with_instances(
        document,
        [
            {**i, "hidden": hidden} if i["label"] in labels else i
            for i in document.data["instances"]
        ],
    )


def delete(document: Fields, labels: Sequence[int]) -> Record:
    """Leave instances out. Raises InputError."""
    for label in labels:
        _entry(document, label)
    return _with_instances(
        document, [i for i in document.data["instances"] if i["label"] not in labels]
    )


def duplicate(
    document: Fields, label: int, translation: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[Record, int]:
    """Copy one instance, shifted by ``translation`` (3,); returns the new label, too. Raises
    InputError.
    """
    original = _entry(document, label)
    given = document.data.get("input") or {}
    taken = {i["label"] for i in document.data["instances"]} | {
        m["label"] for m in given.get("masks", [])
    }
    nodes = {i["node"] for i in document.data["instances"]}
    free = next(k for k in itertools.count(1) if k not in taken)
    names = (
        f"{original.text('node')}_copy{number}"
        for number in itertools.chain([""], itertools.count(2))
    )
    matrix = original.matrix("world_from_instance", 4, 4)
    matrix[:3, 3] += np.asarray(translation, dtype=np.float64)
    copy = {
        **_placed(original, matrix),
        "label": free,
        "node": next(n for n in names if n not in nodes),
        "confidence": None,
        "state": None,
    }
    return _with_instances(document, [*document.data["instances"], copy]), free


def replace(document: Fields, made: Record) -> Record:
    """Give the instance of ``made``'s label the shape of ``made``: mesh, texture, seed, confidence,
    state. It stays where it stands.

    ``made`` is an entry of ``instances`` whose files lie where this document's lie. Raises
    InputError.
    """
    current = _entry(document, made["label"])
    shape = {key: made[key] for key in ("mesh", "texture", "seed", "confidence", "state")}
    there = Fields(document.file, {**current.data, **shape}, current.where)
    return _with_instance(
        document, made["label"], _placed(there, current.matrix("world_from_instance", 4, 4))
    )


def _placed(entry: Fields, matrix: np.ndarray) -> Record:
    """An entry with another transform, and the box that follows from it."""
    moved = {**entry.data, "world_from_instance": matrix.tolist()}
    return {
        **moved,
        "box": instance_of(Fields(entry.file, {**moved, "state": None}, entry.where)).box.tolist(),
    }


def _similarity(values: Sequence[Sequence[float]], label: int) -> np.ndarray:
    matrix = np.array(values, dtype=np.float64)
    wrong = InputError(
        f"the transform of instance {label} is not a similarity; expected 4x4: rotation, one scale above 0, translation"
    )
    if (
        matrix.shape != (4, 4)
        or not np.isfinite(matrix).all()
        or not np.array_equal(matrix[3], (0, 0, 0, 1))
    ):
        raise wrong
    volume = np.linalg.det(matrix[:3, :3])
    if not 1e-18 < volume < 1e18 or np.abs(matrix[:3, 3]).max() > 1e6:
        raise wrong
    rotation = matrix[:3, :3] / np.cbrt(volume)
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-4:
        raise wrong
    return matrix


def _entry(document: Fields, label: int) -> Fields:
    for entry in document.objects("instances"):
        if entry.data.get("label") == label:
            return entry
    raise InputError(
        f"label {label} is not in the scene; it has {[i['label'] for i in document.data['instances']]}"
    )


def _with_instance(document: Fields, label: int, changed: Record) -> Record:
    return _with_instances(
        document, [changed if i["label"] == label else i for i in document.data["instances"]]
    )


def _with_instances(document: Fields, instances: list[Record]) -> Record:
    return {**document.data, "instances": sorted(instances, key=lambda i: i["label"])}
