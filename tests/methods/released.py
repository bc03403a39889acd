"""From a folder of small random weights to a scene: what the tests of all published
methods share.
"""

import numpy as np
import torch

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.memory import MemoryPlan
from maquette.checkpoints.released import Networks, open_release
from maquette.inputs import read_scene_input
from maquette.methods.base import UprightMesh, Wishes, silent
from maquette.methods.lookup import PUBLISHED
from maquette.pipeline import generate
from tests.tiny import write_photo


def scene_input(folder, objects=2):
    photo, masks = write_photo(folder, objects=objects)
    return read_scene_input(photo, masks)


def made(root, folder, model, **options):
    """The scene that a release in ``root`` makes of a small picture."""
    return generate(
        scene_input(folder), weights=root, model=model, **{"steps": 2, "device": "cpu"} | options
    )


@torch.inference_mode()
def meshes(root, folder, model, seed=0, **plan):
    """The meshes that a model gives under a plan, before they are placed, by label."""
    networks = Networks(open_release(release(model), root), MemoryPlan(**plan), torch.device("cpu"))
    wishes = Wishes(seed, steps=2)
    found = PUBLISHED[model].make(networks, scene_input(folder), wishes, silent)
    return {made.label: made.mesh for made in found if isinstance(made, UprightMesh)}


def assert_same_meshes(left, right):
    """Equal up to the rounding of another batch size."""
    assert set(left) == set(right)
    for label in left:
        assert np.array_equal(left[label].faces, right[label].faces)
        assert np.abs(left[label].vertices - right[label].vertices).max() < 1e-4


def same(left, right):
    """Whether two scenes are equal to the bit."""
    pairs = list(zip(left.instances, right.instances))
    return len(left.instances) == len(right.instances) and all(
        np.array_equal(a.mesh.vertices, b.mesh.vertices)
        and np.array_equal(a.world_from_instance, b.world_from_instance)
        for a, b in pairs
    )


def assert_is_a_scene(scene, labels=(1, 2)):
    """The scene frame's definition, finite meshes, and the provenance that people need."""
    assert tuple(i.label for i in scene.instances) == labels
    low = np.min([i.box[0] for i in scene.instances], axis=0)
    high = np.max([i.box[1] for i in scene.instances], axis=0)
    assert np.abs(low + high).max() < 1e-4 and abs((high - low).max() - 1) < 1e-4
    assert all(
        np.isfinite(i.mesh.vertices).all() and len(i.mesh.faces) > 20 and 0 <= i.confidence <= 1
        for i in scene.instances
    )
    memory = scene.provenance["memory"]
    assert memory["plan"] and set(memory["measured_mb"]) <= set(
        memory["estimated_mb"] or memory["measured_mb"]
    )
