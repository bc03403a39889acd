"""Other surfaces and surroundings: outlines stay where they are."""

import numpy as np
import pytest

from maquette.data import restyle
from maquette.data.restyle import Restyler


@pytest.fixture(scope="module")
def restyler():
    rng = np.random.default_rng(0)
    tiles = tuple(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(3))
    return Restyler(tiles, (np.full((40, 60, 3), 250, np.uint8),))


def scene():
    labels = np.zeros((48, 64), np.int32)
    labels[10:30, 8:28] = 1
    labels[20:40, 36:60] = 2
    colours = np.array([[30, 30, 30], [90, 60, 20], [20, 60, 120]], np.uint8)
    return colours[labels], labels


def test_surroundings_change_and_objects_do_not(restyler, monkeypatch):
    monkeypatch.setattr(restyle, "TEXTURED", 0.0)
    monkeypatch.setattr(restyle, "REPLACED", 1.0)
    image, labels = scene()
    made = [restyler(image, labels, np.random.default_rng(seed)) for seed in range(6)]
    inside = np.zeros_like(labels, bool)
    inside[12:28, 10:26] = inside[22:38, 38:58] = True  # away from the blended edge
    for picture in made:
        np.testing.assert_array_equal(picture[inside], image[inside])
        assert (picture[labels == 0] != 30).mean() > 0.9
    assert any((picture[0] == 250).all() for picture in made)  # a photograph
    assert any(not (picture[0] == 250).all() for picture in made)  # a texture


def test_textures_keep_shade(restyler, monkeypatch):
    """A texture multiplies: what was darker stays darker on the whole, and every object differs
    in its own way.
    """
    monkeypatch.setattr(restyle, "TEXTURED", 1.0)
    monkeypatch.setattr(restyle, "REPLACED", 0.0)
    monkeypatch.setattr(restyle, "RECOLOURED", 0.0)
    image = np.repeat(np.linspace(20, 120, 64)[None, :, None], 48, 0).repeat(3, 2).astype(np.uint8)
    labels = np.ones((48, 64), np.int32)
    made = restyler(image, labels, np.random.default_rng(1)).astype(float)
    assert made[:, 48:].mean() > 1.5 * made[:, :16].mean()
    relative = made.mean(-1) / image.mean(-1)
    assert relative.std() > 0.1 * relative.mean()


def test_the_same_numbers_make_the_same_picture(restyler):
    image, labels = scene()
    first, again = (restyler(image, labels, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == image.shape and first.dtype == np.uint8


def test_a_part_is_what_lies_on_one_side_of_a_line():
    """Parts of a mask that no line separates from the rest would be holes or rings."""
    mask = scene()[1] == 1
    places = np.argwhere(mask)
    shares = []
    for seed in range(20):
        part = restyle._part(mask, np.random.default_rng(seed))
        assert part.any() and not (part & ~mask).any()
        own = part[mask]
        shares.append(own.mean())
        turned = [np.deg2rad(degree) for degree in range(0, 360, 2)]
        along = places @ np.stack([np.sin(turned), np.cos(turned)])
        if not own.all():
            assert (along[own].min(0) > along[~own].max(0) - 1).any()
    assert 0.2 < np.mean(shares) < 0.8
