import cv2
import numpy as np
import pytest

from maquette.masks.grabcut import grabcut, held_to_edges
from tests.masks.pictures import disc


def scene(height=120, width=160):
    """A red and a blue disc on grey, with some noise."""
    discs = disc(height, width, 50, 60, 25), disc(height, width, 115, 60, 20)
    image = np.full((height, width, 3), 190.0)
    image[discs[0]] = (190, 50, 40)
    image[discs[1]] = (40, 60, 180)
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), *discs


def state_of(box, shape):
    state = np.full(shape, cv2.GC_BGD, np.uint8)
    x0, y0, x1, y1 = box
    state[y0:y1, x0:x1] = cv2.GC_PR_FGD
    return state


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("scale", [1, 5])  # five times as large is refined along the outline
def test_the_object_in_a_box_is_found_and_the_state_is_left_alone(scale):
    image, left, _ = scene()
    image = image.repeat(scale, 0).repeat(scale, 1)
    truth = left.repeat(scale, 0).repeat(scale, 1)
    state = state_of([scale * v for v in (20, 30, 80, 90)], truth.shape)
    before = state.copy()
    assert iou(grabcut(image, state), truth) > 0.97
    assert (state == before).all()


def test_of_several_parts_those_that_were_pointed_at_stay():
    image, left, right = scene()
    state = state_of((15, 25, 145, 95), left.shape)
    assert iou(grabcut(image, state), left | right) > 0.95
    assert iou(grabcut(image, state, [(115.5, 60.5)]), right) > 0.95


def test_nothing_to_learn_from_leaves_the_state_as_it_is():
    image, left, _ = scene()
    everything = np.full(left.shape, cv2.GC_PR_FGD, np.uint8)
    assert grabcut(image, everything).all()
    assert not grabcut(image, np.full(left.shape, cv2.GC_BGD, np.uint8)).any()


def test_an_outline_is_moved_to_the_colours_edge_near_it():
    """A disc that is found one ninth too small, and one too large, becomes the disc; what is
    certain stays, whatever the colours.
    """
    y, x = np.mgrid[:96, :96]
    radius = np.hypot(y - 48, x - 48)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, (96, 96, 3))
    image = (np.where((radius < 27)[..., None], (190, 120, 60), (60, 90, 140)) + noise).clip(0, 255)
    image = image.astype(np.uint8)
    nothing = np.zeros((96, 96), bool)
    for found in (24, 30):
        moved = held_to_edges(image, radius < found, nothing, nothing)
        assert (moved != (radius < 27)).mean() < 0.01
    corner = (y < 4) & (x < 4)
    middle = radius < 3
    held = held_to_edges(image, radius < 27, corner, middle)
    assert held[corner].all() and not held[middle].any()
