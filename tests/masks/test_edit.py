"""Laws of editing: who gets a pixel, what stays untouched, what can be taken back by doing the
opposite.
"""

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks import edit
from maquette.masks.labels import MAX_INSTANCES
from maquette.masks.segment import ByColour
from maquette.types import InstanceMask
from tests.masks.pictures import disc, same, three_masks

SIZE = (48, 64)


def scene(height=150, width=200):
    """A noisy grey picture with a red and a blue disc, and the discs."""
    truth = [disc(height, width, 60, 70, 28), disc(height, width, 140, 90, 24)]
    image = np.full((height, width, 3), 200.0)
    for mask, color in zip(truth, ((190, 60, 50), (50, 90, 170))):
        image[mask] = color
    return np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255).astype(
        np.uint8
    ), truth


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def by_label(masks):
    return {m.label: m.mask for m in masks}


def test_a_box_makes_the_object_in_it_or_replaces_a_mask():
    image, (left, right) = scene()
    first = edit.cut_out_box((), ByColour(image), (28, 38, 92, 102))
    assert first.changed == (1,) and iou(first.masks[0].mask, left) > 0.95
    second = edit.cut_out_box(first.masks, ByColour(image), (112, 62, 168, 118))
    assert second.changed == (2,) and iou(second.masks[1].mask, right) > 0.95
    named = edit.rename(
        edit.paint_stroke(second.masks, image.shape[:2], [(60, 70)], 15, 1, erase=True).masks,
        1,
        "ball",
    )
    again = edit.cut_out_box(named.masks, ByColour(image), (28, 38, 92, 102), label=1)
    assert (again.masks[0].mask == first.masks[0].mask).all() and again.masks[0].name == "ball"
    with pytest.raises(InputError, match="no pixel left"):
        edit.cut_out_box(again.masks, ByColour(image), (28, 38, 92, 102))


def test_of_found_objects_the_smaller_keeps_the_pixels_both_claim():
    small = disc(*SIZE, 30, 20, 5)
    large = disc(*SIZE, 30, 20, 15)
    for first, second in ((small, large), (large, small)):
        result = edit._placed((InstanceMask(1, first),), second, None, takes=False)
        areas = by_label(result.masks)
        assert (areas[1] & areas[2]).sum() == 0 and (areas[1] | areas[2]).sum() == large.sum()
        assert min(a.sum() for a in areas.values()) == small.sum()


def test_clicks_make_objects_and_change_only_what_they_stand_on():
    image, (left, right) = scene()
    made = edit.click_on((), ByColour(image), [(60, 70, True)])
    assert iou(made.masks[0].mask, left) > 0.95
    both = edit.click_on(made.masks, ByColour(image), [(140, 90, True)], label=1)
    assert (
        iou(both.masks[0].mask, left | right) > 0.9
        and (both.masks[0].mask | ~made.masks[0].mask).all()
    )  # nothing was lost
    alone = edit.click_on(both.masks, ByColour(image), [(140, 90, False)], label=1)
    assert (
        iou(alone.masks[0].mask, left) > 0.9
        and not (alone.masks[0].mask & ~both.masks[0].mask).any()
    )  # nothing was won
    with pytest.raises(InputError, match="outside"):
        edit.click_on(both.masks, ByColour(image), [(500, 90, True)], label=1)


def test_a_click_decides_its_own_pixel():
    image, (left, _) = scene()
    masks = (InstanceMask(1, left),)
    for x, y, positive in ((10, 10, True), (60, 70, False), (60, 70, True), (10, 10, False)):
        after = by_label(edit.click_on(masks, ByColour(image), [(x, y, positive)], label=1).masks)
        assert (1 in after and after[1][y, x]) == positive


def test_painting_takes_pixels_and_erasing_gives_the_painted_back():
    masks = three_masks()
    dot = edit.paint_stroke(masks, SIZE, [(20.0, 20.0)], 4, 7)
    area = disc(*SIZE, 20, 20, 4)
    assert dot.changed == (7,) and iou(by_label(dot.masks)[7] & ~by_label(masks)[7], area) > 0.8
    assert not (by_label(dot.masks)[1] & by_label(dot.masks)[7]).any()
    gone = edit.paint_stroke(dot.masks, SIZE, [(20.0, 20.0)], 4, 7, erase=True)
    assert (by_label(gone.masks)[7] == by_label(masks)[7]).all()
    line = edit.paint_stroke((), SIZE, [(5.0, 10.0), (50.0, 10.0)], 3, None)
    assert line.masks[0].mask.sum() == pytest.approx(45 * 6 + np.pi * 9, rel=0.02)


def test_an_object_without_pixels_is_gone():
    masks = three_masks()
    erased = edit.paint_stroke(masks, SIZE, [(32.0, 24.0)], 60, 4, erase=True)
    assert [m.label for m in erased.masks] == [1, 7] and erased.changed == ()
    covered = edit.paint_stroke(masks, SIZE, [(32.0, 24.0)], 60, None)
    assert [m.label for m in covered.masks] == [2] and covered.masks[0].mask.all()
    with pytest.raises(InputError, match="select one"):
        edit.paint_stroke(masks, SIZE, [(1.0, 1.0)], 2, None, erase=True)


def test_a_polygon_fills_its_inside():
    square = edit.paint_polygon(
        (), SIZE, [(10.5, 10.5), (30.5, 10.5), (30.5, 20.5), (10.5, 20.5)], None
    )
    assert square.masks[0].mask.sum() == 21 * 11
    hole = edit.paint_polygon(
        square.masks, SIZE, [(10.5, 10.5), (30.5, 10.5), (30.5, 20.5), (10.5, 20.5)], 1, erase=True
    )
    assert hole.masks == ()
    with pytest.raises(InputError, match="3"):
        edit.paint_polygon((), SIZE, [(1, 1), (2, 2)], None)


def test_merging_and_splitting_undo_each_other():
    masks = three_masks()
    merged = edit.merge(masks, [4, 1])
    assert [m.label for m in merged.masks] == [4, 7] and merged.masks[0].name == "cup"
    assert (merged.masks[0].mask == (masks[0].mask | masks[1].mask)).all()
    divided = edit.split(merged.masks, 4)
    assert divided.changed == (4, 1)
    assert {m.mask.tobytes() for m in divided.masks} == {m.mask.tobytes() for m in masks}


def test_a_line_divides_an_object_and_loses_no_pixel():
    whole = disc(*SIZE, 30, 24, 14)
    halves = edit.split((InstanceMask(3, whole, "ball"),), 3, [(30.0, 0.0), (30.0, 47.0)])
    a, b = (m.mask for m in halves.masks)
    assert (a | b == whole).all() and not (a & b).any() and abs(int(a.sum()) - int(b.sum())) < 40
    assert [(m.label, m.name) for m in halves.masks] == [(1, "ball"), (3, "ball")]
    with pytest.raises(InputError, match="one part"):
        edit.split((InstanceMask(3, whole),), 3)
    with pytest.raises(InputError, match="across"):
        edit.split((InstanceMask(3, whole),), 3, [(0.0, 0.0), (5.0, 5.0)])


def test_reordering_numbers_the_objects_and_its_inverse_restores_the_order():
    masks = edit.reorder(three_masks(), [1, 4, 7]).masks
    turned = edit.reorder(masks, [3, 1, 2])
    assert [m.name for m in turned.masks] == ["", "red chair", "cup"] and turned.changed == (
        1,
        2,
        3,
    )
    assert same(edit.reorder(turned.masks, [2, 3, 1]).masks, masks)
    with pytest.raises(InputError, match="once"):
        edit.reorder(masks, [1, 2])


def test_deleting_renaming_and_what_is_not_there():
    masks = three_masks()
    assert [m.label for m in edit.delete(masks, [4, 1]).masks] == [7]
    assert edit.rename(masks, 7, "corner").masks[2].name == "corner"
    for wrong in (
        lambda: edit.delete(masks, [5]),
        lambda: edit.rename(masks, 2, "x"),
        lambda: edit.merge(masks, [1, 9]),
    ):
        with pytest.raises(InputError, match="1, 4, 7"):
            wrong()
    with pytest.raises(InputError, match="two objects"):
        edit.merge(masks, [1, 1])


def test_the_smallest_free_label_is_taken_until_there_are_too_many():
    assert edit.free_label(three_masks()) == 2
    with pytest.raises(InputError, match=str(MAX_INSTANCES)):
        edit.free_label(
            [InstanceMask(k, np.ones((1, 1), bool)) for k in range(1, MAX_INSTANCES + 1)]
        )


def test_everything_on_a_plain_background_or_opaque():
    image, truth = scene()
    found = edit.find_all(ByColour(image))
    assert found.changed == (1, 2) and min(iou(m.mask, t) for m, t in zip(found.masks, truth)) > 0.9
    opaque = edit.find_all(ByColour(image), alpha=np.where(truth[1], 255, 0).astype(np.uint8))
    assert len(opaque.masks) == 1 and (opaque.masks[0].mask == truth[1]).all()
