"""The contract of proposers: checks and composition, on one that answers by geometry."""

from dataclasses import dataclass

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.propose import (
    Click,
    PhotoMasks,
    Prompts,
    check_box,
    clicks_for,
    prompted_masks,
    without_overlap,
)
from maquette.types import InstanceMask


@dataclass(frozen=True)
class Squares:
    """Each click is a square of 5 pixels, negative ones cut theirs out; a box is itself."""

    size: tuple[int, int] = (40, 60)

    def clicked(self, clicks, before=None):
        mask = np.zeros(self.size, bool) if before is None else before.copy()
        for click in clicks:
            x, y = int(click.x), int(click.y)
            mask[y - 2 : y + 3, x - 2 : x + 3] = click.positive
        return mask

    def boxed(self, box):
        mask = np.zeros(self.size, bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        return mask

    def everything(self):
        return [InstanceMask(1, self.boxed((2, 2, 8, 8)), "square")]


def test_a_box_is_an_object_and_the_smaller_has_what_two_claim():
    photo: PhotoMasks = Squares()
    large, small = prompted_masks(photo, Prompts(boxes=((0, 0, 30, 30), (31, 20, 20, 10.2))))
    assert (large.label, small.label) == (1, 2)
    assert small.mask.sum() == 10 * 11 and large.mask.sum() == 30 * 30 - 10 * 10
    assert not (large.mask & small.mask).any()


def test_a_label_of_clicks_is_an_object_and_others_are_not_it():
    clicks = (Click(10, 10, 1), Click(20, 10, 4), Click(20, 20, 4), Click(12, 10, 0, False))
    assert [(c.x, c.y, c.positive) for c in clicks_for(1, clicks)] == [
        (10, 10, True),
        (12, 10, False),
        (20, 10, False),
        (20, 20, False),
    ]
    first, fourth = prompted_masks(Squares(), Prompts(clicks=clicks))
    assert (first.label, fourth.label) == (1, 4)
    assert first.mask.sum() == 25 - 15 and fourth.mask.sum() == 50


def test_a_negative_click_for_another_object_says_nothing():
    clicks = (Click(10, 10, 1), Click(20, 10, 2), Click(10, 11, 2, False))
    assert [(c.x, c.positive) for c in clicks_for(1, clicks)] == [(10, True), (20, False)]


def test_nothing_at_all_is_everything():
    (found,) = prompted_masks(Squares(), Prompts())
    assert found.name == "square"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (Prompts(((1, 2, 30, 40),), (Click(1, 1, 1),)), "one kind"),
        (Prompts(clicks=(Click(60, 10, 1),)), r"click 60,10 is outside.*60 x 40"),
        (Prompts(clicks=(Click(50, 10, 1, False),)), "negative"),
        (Prompts(boxes=((70, 0, 90, 30),)), "less than 4 pixels"),
        (Prompts(boxes=((0, 0, 60, 40),)), "whole photo"),
        (Prompts(clicks=(Click(9, 9, 1), Click(9, 9, 0, False))), "clicks on label 1: no object"),
    ],
)
def test_what_cannot_be_asked_is_said(prompts, message):
    with pytest.raises(InputError, match=message):
        prompted_masks(Squares(), prompts)


def test_a_box_is_clipped_to_the_photo_and_its_corners_are_sorted():
    assert check_box((50.4, 30, -5, 3.6), (40, 60)) == (0, 4, 50, 30)


def test_overlap_goes_to_the_smallest():
    masks = [Squares().boxed((0, 0, side, side)) for side in (30, 10, 20)]
    parted = without_overlap(masks)
    assert [int(mask.sum()) for mask in parted] == [900 - 400, 100, 400 - 100]
