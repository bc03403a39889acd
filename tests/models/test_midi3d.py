"""MIDI-3D's pictures, noise and decoding. Savings: test_savings.py; what the original computes:
tests/golden.
"""

import numpy as np
import torch

from maquette.framing.crops import Framing
from maquette.geometry.octree import Grid
from maquette.models.midi3d import (
    HALF_SIDE,
    decode_field,
    midi_pictures,
)
from maquette.models.savings import PLAIN
from tests.models.test_vecset_vae import network as vae

PLAIN_COLOURS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def test_pictures_show_instance_scene_and_mask():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 5:20, 5:20] = True
    masks[1, 22:35, 10:30] = True
    framing = Framing(40, (40, 40), **PLAIN_COLOURS)
    for_clip, for_dino = midi_pictures(
        image, masks, Framing(40, (20, 20), **PLAIN_COLOURS), framing
    )
    assert for_clip.shape == (2, 3, 20, 20) and for_dino.shape == (2, 7, 40, 40)
    scene = torch.from_numpy(image).permute(2, 0, 1) / 255
    for k in range(2):
        mask = torch.from_numpy(masks[k])
        torch.testing.assert_close(for_dino[k, :3], torch.where(mask, scene, torch.ones(())))
        torch.testing.assert_close(for_dino[k, 3:6], scene)
        assert torch.equal(for_dino[k, 6], mask.float())


def test_the_mask_is_stretched_while_colours_are_cropped():
    """A quirk of the release that its weights were trained with."""
    image = np.zeros((40, 80, 3), np.uint8)
    masks = np.zeros((1, 40, 80), bool)
    masks[0, :, :40] = True
    image[:, :40] = 200
    _, for_dino = midi_pictures(image, masks, *(Framing(40, (40, 40), **PLAIN_COLOURS),) * 2)
    assert (for_dino[0, 6, :, :20] == 1).all() and (for_dino[0, 6, :, 20:] == 0).all()
    assert (for_dino[0, 3, :, :20] > 0.7).all() and (for_dino[0, 3, :, 20:] == 0).all()
    torch.testing.assert_close(for_dino[0, 3, 0], torch.tensor([200 / 255] * 20 + [0.0] * 20))


def test_the_rim_of_the_cube_is_outside_whatever_the_sign():
    made = vae()
    latent = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    field, grid = decode_field(made, latent, 8, PLAIN)
    made.decoder.proj_out.weight.data *= -1
    made.decoder.proj_out.bias.data *= -1
    flipped, _ = decode_field(made, latent, 8, PLAIN)
    torch.testing.assert_close(flipped.values, field.values)
    assert (
        grid == Grid((-HALF_SIDE,) * 3, (HALF_SIDE,) * 3, 8)
        and field.values.shape == (9, 9, 9)
        and field.asked == 729
    )
    rim = field.values[[0, -1]]
    assert rim.median() > 0
