import cv2
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from maquette.errors import InputError
from maquette.masks.background import foreground_of_plain_background

HEIGHT = 180
WIDTH = 240
Y, X = np.mgrid[:HEIGHT, :WIDTH]
DISC = (X - 80) ** 2 + (Y - 95) ** 2 < 35**2
BLOCK = (abs(X - 170) < 25) & (abs(Y - 90) < 40)


def photo(background, objects=((DISC, (180, 60, 40)), (BLOCK, (40, 70, 150)))):
    picture = np.broadcast_to(np.asarray(background, float), (HEIGHT, WIDTH, 3)).copy()
    for mask, colour in objects:
        picture[mask] = colour
    return np.clip(
        cv2.GaussianBlur(picture, (3, 3), 0)
        + np.random.default_rng(0).normal(0, 1.5, picture.shape),
        0,
        255,
    ).astype(np.uint8)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def assert_found(found, wanted):
    """All of it, and no more than the soft rim of two pixels around it."""
    assert (
        not (wanted & ~found).any() and not (found & ~binary_dilation(wanted, iterations=3)).any()
    )


@pytest.mark.parametrize("background", [(225, 225, 220), (90, 130, 90), (30, 30, 35)])
def test_objects_stand_out_from_one_colour(background):
    assert_found(foreground_of_plain_background(photo(background)), DISC | BLOCK)


def test_a_background_may_shade_off():
    ramp = (190 + 50 * Y / HEIGHT - 30 * (X / WIDTH) ** 2)[..., None] * np.array([1.0, 0.98, 0.95])
    assert_found(foreground_of_plain_background(photo(ramp)), DISC | BLOCK)


def test_a_soft_shadow_is_background():
    shadow = cv2.GaussianBlur(
        ((X - 80) ** 2 / 55**2 + (Y - 135) ** 2 / 14**2 < 1).astype(float), (0, 0), 8
    )
    found = foreground_of_plain_background(
        photo(np.array([220, 220, 215]) * (1 - 0.25 * shadow)[..., None])
    )
    assert found[(shadow > 0.5) & ~DISC].mean() < 0.1 and iou(found, DISC | BLOCK) > 0.9


def test_an_object_may_be_cut_off_by_the_border():
    cut = X < 30
    found = foreground_of_plain_background(
        photo((225, 225, 220), ((cut, (180, 60, 40)), (BLOCK, (40, 70, 150))))
    )
    assert_found(found, cut | BLOCK)


def test_a_mirrored_photo_has_the_mirrored_objects():
    picture = photo((200, 205, 210))
    assert (
        iou(
            foreground_of_plain_background(picture[:, ::-1])[:, ::-1],
            foreground_of_plain_background(picture),
        )
        > 0.99
    )


def test_a_busy_background_is_refused_with_a_way_out():
    busy = cv2.resize(
        np.random.default_rng(1).integers(0, 255, (12, 16, 3), np.uint8),
        (WIDTH, HEIGHT),
        interpolation=cv2.INTER_NEAREST,
    )
    with pytest.raises(InputError, match=r"not plain .* use boxes or clicks"):
        foreground_of_plain_background(busy)
