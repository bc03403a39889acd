"""Edits of a scene document, most without loading its meshes: pure functions from record to record,
so that a history is undo and redo.

Beside document (which reads and writes these records) and for whoever keeps many versions of one
scene. Each edit means what the verb of Scene with its name means; files are never touched, and
records share them.

Why not one set of edits: those of a Scene would need every mesh and texture in memory, and all
files written again, for each click. With eight objects of 20,000 faces and 1024 pixels of texture
that takes 0.24 s to read and 1.5 s to write; a name, a deletion or a hidden object takes 20 us
here, and a motion, whose box follows from one mesh, 30 ms. So the rules (who is carried, which
names are free, what a shift is) stand once, in ``types``, and both representations follow them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from maquette.document.fields import Fields
from maquette.document.scene_json import instance_from_record, scene_of
from maquette.errors import InputError
from maquette.geometry.transforms import determinant
from maquette.types import (
    JsonObject,
    Which,
    carried_by,
    carried_pose,
    check_node,
    free_label,
    free_node,
    left_standing,
    shifted,
)

Record = JsonObject
SUPPORT = {"supports", "support_confidence"}  # fields of the document, by label
# fields of an instance's own making
SHAPE = ("mesh", "texture", "seed", "confidence", "estimate", "state")


def transform(
    document: Fields,
    label: int,
    world_from_instance: Sequence[Sequence[float]],
    carry: bool = False,
) -> Record:
    """Place one instance anew; expects a (4, 4) similarity: a rotation, one scale above 0, a
    translation. With ``carry`` what stands on it goes along. Raises InputError.
    """
    after = _similarity(world_from_instance, label)
    before = _pose(document, label)
    poses = {label: after}
    for each in carried(document, label) if carry else ():
        poses[each] = carried_pose(_pose(document, each), before, after)
    return _with_poses(document, poses)


def stand(document: Fields, label: int, on: Which) -> Record:
    """Put one instance on another one, or on "ground", with what stands on it. Loads the meshes.
    Raises InputError.
    """
    stood = scene_of(document).stand(label, on)
    moved = (label, *carried(document, label))
    made = _with_poses(document, {each: stood[each].world_from_instance for each in moved})
    told = {"supports": on, "support_confidence": 1.0}
    return made | {key: made.get(key, {}) | {str(label): value} for key, value in told.items()}


def carried(document: Fields, label: int) -> tuple[int, ...]:
    """The labels of what stands on an instance, or on what does; ascending."""
    return carried_by(_supporters(document), label)


def rename(document: Fields, label: int, node: str) -> Record:
    """Give one instance's node another name; names stay unique. Raises InputError."""
    entry = _entry(document, label)
    check_node(label, node, _nodes(document) - {entry.text("node")})
    return _with_instance(document, {**entry.data, "node": node})


def hide(document: Fields, labels: Sequence[int], hidden: bool = True) -> Record:
    """Hide instances, or show them again. Raises InputError."""
    entries = {label: {**_entry(document, label).data, "hidden": hidden} for label in labels}
    return _with_instances(
        document, [entries.get(i["label"], i) for i in document.data["instances"]]
    )


def delete(document: Fields, labels: Sequence[int]) -> Record:
    """Leave instances out. Raises InputError."""
    for label in labels:
        _entry(document, label)
    left = _with_instances(document, _others(document, labels))
    known = {str(label) for label in left_standing(_supporters(document), labels)}
    for key in SUPPORT & left.keys():
        left[key] = {label: told for label, told in left[key].items() if label in known}
    return left


def duplicate(
    document: Fields, label: int, translation: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[Record, int]:
    """Copy one instance, shifted by ``translation`` (3,); returns the new label, too. Raises
    InputError.
    """
    original = _entry(document, label)
    given = document.data.get("input") or {}
    masked = {mask["label"] for mask in given.get("masks", [])}
    free = free_label(masked | {entry["label"] for entry in _meshed(document)})
    matrix = shifted(original.matrix("world_from_instance", 4, 4), translation, label)
    node = free_node(original.text("node"), _nodes(document))
    own = {
        "label": free,
        "node": node,
        "confidence": None,
        "state": None,
    }
    copy = _placed(original, matrix) | own
    made = _with_instances(document, [*document.data["instances"], copy])
    for key in SUPPORT & made.keys():
        if str(label) in made[key]:
            made[key] = {**made[key], str(free): made[key][str(label)]}
    return made, free


def replace(document: Fields, made: Record) -> Record:
    """Give the instance of ``made``'s label the shape of ``made``: mesh, texture, seed, confidence,
    state. It stays where it stands.

    ``made`` is an entry of ``instances`` whose files lie where this document's lie. Raises
    InputError.
    """
    current = _entry(document, made["label"])
    shape = {key: made.get(key) for key in SHAPE}
    reshaped = Fields(document.file, {**current.data, **shape}, current.where)
    return _with_instance(document, _placed(reshaped, current.matrix("world_from_instance", 4, 4)))


def _supporters(document: Fields) -> dict[int, int | str | None]:
    supports = document.data.get("supports", {})
    return {int(upper): on for upper, on in supports.items()}


def _pose(document: Fields, label: int) -> np.ndarray:
    return _entry(document, label).matrix("world_from_instance", 4, 4)


def _with_poses(document: Fields, poses: Mapping[int, np.ndarray]) -> Record:
    placed = [_placed(_entry(document, label), matrix) for label, matrix in poses.items()]
    return _with_instances(document, [*_others(document, poses), *placed])


def _placed(entry: Fields, matrix: np.ndarray) -> Record:
    """An entry with another transform, and the box that follows from it."""
    moved = {**entry.data, "world_from_instance": matrix.tolist()}
    without_state = Fields(entry.file, {**moved, "state": None}, entry.where)
    return {**moved, "box": instance_from_record(without_state).box.tolist()}


def _similarity(values: Sequence[Sequence[float]], label: int) -> np.ndarray:
    matrix = np.array(values, dtype=np.float64)
    if not _is_similarity(matrix):
        raise InputError(
            f"the transform of instance {label} is not a similarity; "
            "expected 4x4: rotation, one scale above 0, translation"
        )
    return matrix


def _is_similarity(matrix: np.ndarray) -> bool:
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    volume = determinant(matrix)
    if not 1e-18 < volume < 1e18 or np.abs(matrix[:3, 3]).max() > 1e6:
        return False
    rotation = matrix[:3, :3] / np.cbrt(volume)
    skew = np.abs(rotation.T @ rotation - np.eye(3)).max()
    return bool(skew <= 1e-4 and np.array_equal(matrix[3], (0, 0, 0, 1)))


def _entry(document: Fields, label: int) -> Fields:
    for entry in document.objects("instances"):
        if entry.data.get("label") == label:
            return entry
    labels = [i["label"] for i in document.data["instances"]]
    raise InputError(f"label {label} is not in the scene; it has {labels}")


def _meshed(document: Fields) -> list[Record]:
    """Instances, and what is around them."""
    return [*document.data["instances"], *document.data.get("around", [])]


def _nodes(document: Fields) -> set[str]:
    return {entry["node"] for entry in _meshed(document)}


def _others(document: Fields, labels: Collection[int]) -> list[Record]:
    return [i for i in document.data["instances"] if i["label"] not in labels]


def _with_instance(document: Fields, changed: Record) -> Record:
    return _with_instances(document, [*_others(document, [changed["label"]]), changed])


def _with_instances(document: Fields, instances: list[Record]) -> Record:
    return {**document.data, "instances": sorted(instances, key=lambda i: i["label"])}
