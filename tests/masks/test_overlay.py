import numpy as np

from maquette.masks.overlay import instance_color, overlay
from tests.masks.pictures import photo, three_masks


def test_the_first_colours_are_far_apart_and_never_dark():
    colors = np.array([instance_color(label) for label in range(1, 13)], float)
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 1e3 * np.eye(len(colors))
    assert distance.min() > 40
    assert (colors @ [0.2126, 0.7152, 0.0722]).min() > 60
    assert instance_color(5) == instance_color(5)


def test_objects_take_their_colour_and_the_photo_is_untouched():
    image = photo(96, 128)
    masks = three_masks(96, 128)
    before = image.copy()
    drawn = overlay(image, masks, numbers=False)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8 and (image == before).all()
    for m in masks:
        toward = np.array(instance_color(m.label)) - image[m.mask].astype(float)
        moved = drawn[m.mask].astype(float) - image[m.mask]
        assert ((moved * toward).sum(-1) >= 0).all() and np.abs(moved).mean() > 5


def test_numbers_are_drawn_inside_the_picture():
    image = photo(96, 128)
    plain = overlay(image, three_masks(96, 128), numbers=False)
    numbered = overlay(image, three_masks(96, 128))
    assert 50 < (plain != numbered).any(-1).sum() < 0.2 * plain[..., 0].size
    assert overlay(photo(32, 32), ()).shape == (32, 32, 3)
