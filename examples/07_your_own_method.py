"""A method in thirty lines: every object becomes the box of its visible surface, in its mean
colour.

Uses the picture of example 01. Reading, depth, camera, colours, placing, the self-check and export
are shared; a method only says which volume stands in which cube. docs/adding_a_method.md has the
rules.
"""

from dataclasses import dataclass

import numpy as np
import torch

import maquette
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.methods.base import Method, Outcome, Shape, ignore, silent, visible_labels
from maquette.scene.place import instance_seed
from maquette.scene.zoom import box_cube

RESOLUTION = 48  # cells per side


@dataclass(frozen=True)
class NoNetworks:
    """What the functions are given: the networks of ``kinds``, here none."""


def box(perception, label, seed):
    """One object: signed distance to a box in the object's cube, and one colour."""
    visible = perception.visible_box(label)
    cube = box_cube([visible])
    half = torch.from_numpy((visible[1] - visible[0]) / 2 / cube[0, 0]).float().clamp(min=0.02)
    outside = cell_centres(RESOLUTION).abs() - half
    distance = outside.clamp(min=0).norm(dim=-1) + outside.amax(-1).clamp(max=0)
    colour = torch.from_numpy(perception.picture.image[perception.picture.labels == label].mean(0))
    volume = torch.cat(
        [
            (distance / TRUNCATION).clamp(-1, 1)[None],
            colour.reshape(3, 1, 1, 1).expand(3, *distance.shape),
        ]
    )
    return Shape(label, seed, volume, cube, {"scene_from_cube": cube})


def generate_boxes(
    networks, image, perception, labels, seed, sampling, progress=silent, on_shape=ignore
):
    """All objects of a photo (H, W, 3)."""
    visible, failures = visible_labels(perception, labels)
    shapes = []
    for done, label in enumerate(visible):
        shapes.append(box(perception, label, instance_seed(seed, label)))
        on_shape(shapes[-1])
        progress("objects", (done + 1) / len(visible))
    return Outcome(tuple(shapes), failures)


def remake(networks, image, perception, label, seed, state, sampling):
    """One object anew; there is nothing random in a box."""
    return box(perception, label, seed)


BOXES = Method("boxes", generate_boxes, remake, kinds=(), networks=NoNetworks)

scene = maquette.generate("photo.png", masks="masks.png", method=BOXES, fit=False)
scene.export("boxes.glb")
for instance in scene.instances:
    sides = " x ".join(f"{side:.2f}" for side in np.ptp(instance.box, axis=0))
    print(
        f"{instance.node_name}: a box of {sides}, agrees with its mask to "
        f"{100 * instance.confidence:.0f} %"
    )
print(f"boxes.glb, by the method {scene.provenance['method']!r}")
