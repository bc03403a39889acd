"""Meshes of the scene frame -> placed instances: each mesh centred on its own origin, its place in
``world_from_instance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh

from maquette.geometry.transforms import similarity
from maquette.types import Instance


def place(
    label: int,
    mesh: trimesh.Trimesh,
    seed: int,
    **fields: Any,
) -> Instance:
    """An Instance from a mesh in scene coordinates: the mesh moves to its box's centre, the
    transform remembers where that was.
    """
    centre = mesh.bounds.mean(0)
    centred = mesh.copy()
    centred.apply_translation(-centre)
    # what every file format stores, so that saving loses nothing
    centred.vertices = np.asarray(centred.vertices, np.float32)
    return Instance(
        label=label,
        mesh=centred,
        world_from_instance=similarity(1.0, None, centre),
        seed=seed,
        **fields,
    )


def ground_height(instances: Sequence[Instance]) -> float:
    """Y of the ground: the lowest box bottom that the bulk of the scene agrees with (one object
    sunk by an error does not count).
    """
    if not instances:
        return -0.5
    bottoms = np.sort([instance.box[0, 1] for instance in instances])
    return float(bottoms[0] if len(bottoms) < 4 else np.quantile(bottoms, 0.1))


def instance_seed(seed: int, label: int) -> int:
    """The seed of one instance's noise: a function of the scene's seed and the label only, so that
    neighbours never matter.
    """
    return int(np.random.SeedSequence([seed, label]).generate_state(1)[0])
