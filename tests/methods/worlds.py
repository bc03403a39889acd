"""A perceived photo of two things, made once, and what a method makes of it: for the tests of all
methods.
"""

import dataclasses
from dataclasses import dataclass
from functools import cache

import torch

from maquette.methods.base import Models, Sampling, Watch, visible_labels
from maquette.models.generator import Generator
from maquette.stages.perceive import Perception, perceive
from maquette.types import Failure, InstanceMask
from tests.stages.test_perceive import scene_input
from tests.tiny import GENERATOR, ball_vae, smooth_geometry

FAST = Sampling(steps=2, zoom_steps=2)


@dataclass(frozen=True, eq=False)
class World:
    """Networks, and a photo with labels 1 and 2 that was looked at."""

    models: Models
    perception: Perception

    @property
    def image(self):
        """(H, W, 3) uint8 the photo."""
        return self.perception.photo


@dataclass(frozen=True, eq=False)
class Result:
    """What a method has made: the last of each object, and what it said."""

    shapes: tuple
    failures: tuple[Failure, ...]
    decided: dict


def lively(model):
    """The weights without the zeros that networks start with: they would hide what the
    inputs do.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@cache
def world() -> World:
    """The one world; networks are not to be changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        photo = scene_input()
        with torch.inference_mode():
            perception = perceive(smooth_geometry(), photo, revolve=False)  # rectangles are boxes
        return World(Models(lively(Generator(GENERATOR)), ball_vae().eval()), perception)


def asked_for(labels, perception=None):
    """The world's perception when objects were asked for in this order; unknown ones have no
    pixel.
    """
    seen = perception or world().perception
    masks = tuple(InstanceMask(label, seen.label_map == label) for label in labels)
    return dataclasses.replace(seen, given=dataclasses.replace(seen.given, masks=masks))


@torch.inference_mode()
def result(make, networks, labels, sampling=FAST, *, sees=lambda made: None, **more):
    """What a method's function makes of some objects of the world."""
    decided = {}
    watch = Watch(more.pop("progress", lambda *_: None), sees, decided.update)
    perception = asked_for(labels, more.pop("perception", None))
    labels, failures = visible_labels(perception)
    shapes = {}
    for made in make(networks, perception, labels, sampling, watch, **more) if labels else ():
        if isinstance(made, Failure):
            failures.append(made)
        else:
            sees(made)
            shapes[made.label] = made
    return Result(tuple(shapes.values()), tuple(failures), decided)
