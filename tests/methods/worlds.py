"""A perceived photo of two things, made once, for the tests of all methods."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from maquette.methods.base import Models, Sampling
from maquette.models.generator import Generator
from maquette.models.image_encoder import GeometryNet
from maquette.scene.perceive import Perception, perceive
from tests.scene.test_perceive import scene_input
from tests.tiny import GENERATOR, GEOMETRY, ball_vae

FAST = Sampling(steps=2, zoom_steps=2)


@dataclass(frozen=True, eq=False)
class World:
    """Networks, and a photo with labels 1 and 2 that was looked at."""

    models: Models
    image: np.ndarray
    perception: Perception


def lively(model):
    """The weights without the zeros that networks start with: they would hide what the inputs do."""
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
            perception = perceive(GeometryNet(GEOMETRY).eval(), photo)
        return World(
            Models(lively(Generator(GENERATOR)), ball_vae().eval()), photo.image, perception
        )
