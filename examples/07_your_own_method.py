"""A method in thirty lines: every object becomes the box of its visible surface, in its mean
colour.

Uses the picture of example 01. Reading, depth, camera, colours, placing, the self-check and export
are shared; a method only says which volume stands in which cube. docs/adding_a_method.md has the
rules. From the command line this file is a method, too:

    maquette generate photo.png --masks masks.png -o OUT/ --method 07_your_own_method.py:BOXES
"""

from dataclasses import dataclass

import numpy as np
import torch

import maquette
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.methods.base import EmbeddedMethod, ObjectVolume
from maquette.stages.crop import box_cube
from maquette.stages.seeds import instance_seed

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
    colours = colour.reshape(3, 1, 1, 1).expand(3, *distance.shape)
    volume = torch.cat([(distance / TRUNCATION).clamp(-1, 1)[None], colours])
    return ObjectVolume(label, instance_seed(seed, label), volume, cube, {"scene_from_cube": cube})


def make_boxes(networks, perception, labels, sampling, watch):
    """The objects of a photo, each as soon as it is made."""
    for done, label in enumerate(labels):
        yield box(perception, label, sampling.seed)
        watch.progress("objects", (done + 1) / len(labels))


def remake_box(networks, perception, label, state, sampling):
    """One object anew; there is nothing random in a box."""
    return box(perception, label, sampling.seed)


BOXES = EmbeddedMethod("boxes", make_boxes, remake_box, kinds=(), networks=NoNetworks)

if __name__ == "__main__":
    scene = maquette.generate("photo.png", masks="masks.png", method=BOXES, fit=False)
    scene.export("boxes.glb")
    for instance in scene.instances:
        sides = " x ".join(f"{side:.2f}" for side in np.ptp(instance.box, axis=0))
        agrees = f"agrees with its mask to {100 * instance.confidence:.0f} %"
        print(f"{instance.node_name}: a box of {sides}, {agrees}")
    print(f"boxes.glb, by the method {scene.provenance['method']!r}")
