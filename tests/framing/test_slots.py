"""Slots of I-Scene: where boxes lie, what each slot shows, and that thin objects do not end the
run.
"""

import numpy as np
import pytest

from maquette.framing.slots import slot_pictures
from maquette.framing.trellis import crop_box


def scene(height=50, width=70):
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 3, y * 4, np.full(x.shape, 200)], -1).astype(np.uint8)
    masks = [np.zeros((height, width), bool) for _ in range(2)]
    masks[0][10:30, 15:25] = True
    masks[1][20:40, 45:69] = True
    return image, masks


@pytest.mark.parametrize("extent", [(1, 1), (1, 2), (2, 1)])
def test_the_thinnest_objects_get_a_crop(extent):
    image, _ = scene()
    mask = np.zeros(image.shape[:2], bool)
    mask[5 : 5 + extent[0], 7 : 7 + extent[1]] = True
    assert slot_pictures(image, [mask], size=32).any((1, 2, 3, 4)).all()


def test_each_slot_shows_what_it_should():
    image, masks = scene()
    pictures = slot_pictures(image, masks, size=96)
    assert pictures.shape == (2, 3, 3, 96, 96) and pictures.min() >= 0 and pictures.max() <= 1
    np.testing.assert_array_equal(pictures[0, 1], pictures[1, 1])  # the scene is the same for all
    seen = pictures[:, :, 2].mean((2, 3)) / (200 / 255)  # share of the crop that is not black
    area = [mask.sum() for mask in masks]
    side = crop_box(masks[0] | masks[1])
    whole = (side[2] - side[0]) ** 2
    np.testing.assert_allclose(seen[:, 0], [a / whole for a in area], atol=0.02)
    assert seen[0, 1] == pytest.approx(sum(area) / whole, abs=0.03)
    sides = [box[2] - box[0] for box in map(crop_box, masks)]
    np.testing.assert_allclose(seen[:, 2], [a / side**2 for a, side in zip(area, sides)], atol=0.04)


def test_two_slots_are_the_first_two_of_three():
    image, masks = scene()
    np.testing.assert_array_equal(
        slot_pictures(image, masks, 2, 40), slot_pictures(image, masks, 3, 40)[:, :2]
    )


def test_where_one_stands_in_slot_zero_is_where_one_stands_in_the_scene():
    image, masks = scene()
    instance, whole = slot_pictures(image, masks[:1] + masks[1:], size=96)[0, :2]
    shown = instance[2] > 0.7
    np.testing.assert_allclose(instance[:, shown], whole[:, shown], atol=0.02)
