import numpy as np
import pytest
from PIL import Image

from maquette.masks.overlay import instance_color
from maquette.render import overlay
from maquette.render.overlay import DARKEN, fit_photo, mask_overlay
from maquette.types import InstanceMask

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)


def block(label, rows, columns):
    mask = np.zeros((60, 80), bool)
    mask[rows, columns] = True
    return InstanceMask(label, mask)


TINY = [block(1, slice(5, 6), slice(5, 7)), block(2, slice(40, 43), slice(60, 61))]
LARGE = [block(1, slice(5, 40), slice(5, 30)), block(2, slice(20, 55), slice(45, 75))]


def drawn(masks, width=80, height=60):
    return np.asarray(mask_overlay(PHOTO, masks, width, height)).astype(float)


def test_what_no_mask_covers_is_only_darker():
    away = ~np.logical_or.reduce([m.mask for m in LARGE])
    away[:, :] &= ~np.logical_or.reduce(
        [np.roll(m.mask, s, axis) for m in LARGE for s in (-1, 1) for axis in (0, 1)]
    )
    photo = PHOTO.astype(float)
    expected = 0.5 * DARKEN * (photo + photo.mean(-1, keepdims=True))
    assert np.abs(drawn(LARGE) - expected)[away].max() <= 1.0


@pytest.mark.parametrize("mask", LARGE, ids=["first", "second"])
def test_an_object_takes_its_own_colour(mask):
    mean = drawn(LARGE)[mask.mask].mean(0)
    colour = np.array(instance_color(mask.label), float)
    others = [
        np.array(instance_color(label), float) for label in range(1, 6) if label != mask.label
    ]
    tint = lambda c: (c - c.mean()) / np.linalg.norm(c - c.mean())  # noqa: E731
    closeness = [float(tint(mean) @ tint(c)) for c in (colour, *others)]
    assert closeness[0] == max(closeness) > 0.95


def test_objects_apart_may_be_drawn_in_any_order():
    assert np.array_equal(drawn(LARGE), drawn(LARGE[::-1]))


def test_a_number_stands_well_inside_and_only_where_there_is_room(monkeypatch):
    numbers = []
    monkeypatch.setattr(
        overlay, "_draw_number", lambda picture, text, centre, size: numbers.append((text, centre))
    )
    drawn(TINY, 320, 240)
    assert numbers == []
    drawn(LARGE, 320, 240)
    assert [text for text, _ in numbers] == ["1", "2"]
    assert all(
        mask.mask[y // 4 - 2 : y // 4 + 3, x // 4 - 2 : x // 4 + 3].all()
        for (_, (x, y)), mask in zip(numbers, LARGE)
    )


def test_a_photo_that_fits_stays_as_it_is():
    assert np.array_equal(np.asarray(fit_photo(PHOTO, 80, 60)), PHOTO)
    grey = np.full((60, 80, 3), 99, np.uint8)
    fitted = fit_photo(grey, 33, 47)
    assert (
        isinstance(fitted, Image.Image)
        and fitted.size == (33, 47)
        and (np.asarray(fitted) == 99).all()
    )
