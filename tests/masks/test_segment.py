import cv2
import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.diagnose import diagnose
from maquette.masks.propose import Click, Prompts
from maquette.masks.segment import (
    segment,
    segment_alpha,
    segment_plain_background,
)
from maquette.types import InstanceMask
from tests.masks.pictures import disc, photo


def _in_boxes(image, boxes):
    return segment(image, Prompts(boxes=tuple(boxes)))


def _by_clicks(image, clicks):
    return segment(image, Prompts(clicks=tuple(clicks)))


def _scene(height=150, width=200, shadow=0.0):
    """Two coloured objects on a grey ground that gets darker to one side, with noise and perhaps a
    soft shadow.
    """
    truth = [disc(height, width, 60, 70, 28), disc(height, width, 140, 90, 24)]
    ground = np.full((height, width, 3), 200.0) - np.linspace(0, 40, width)[None, :, None]
    if shadow:
        soft = cv2.GaussianBlur(disc(height, width, 75, 100, 28).astype(np.float32), (0, 0), 9)
        ground *= 1 - shadow * soft[..., None]
    for mask, color in zip(truth, ((190, 60, 50), (50, 90, 170))):
        ground[mask] = color
    noisy = ground + np.random.default_rng(0).normal(0, 3, ground.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), truth


def _ious(masks, truth):
    return [(m.mask & t).sum() / (m.mask | t).sum() for m, t in zip(masks, truth)]


def test_boxes_find_the_objects_twice_the_same():
    image, truth = _scene()
    boxes = [d.box for d in diagnose([InstanceMask(k + 1, t) for k, t in enumerate(truth)])]
    masks = _in_boxes(image, boxes)
    assert min(_ious(masks, truth)) > 0.95 and [m.label for m in masks] == [1, 2]
    assert all((a.mask == b.mask).all() for a, b in zip(masks, _in_boxes(image, boxes)))
    assert not (masks[0].mask & masks[1].mask).any()


def test_clicks_find_the_objects():
    image, truth = _scene()
    masks = segment(image, Prompts(clicks=(Click(60, 70, 1), Click(140, 90, 3))))
    assert min(_ious(masks, truth)) > 0.95 and [m.label for m in masks] == [1, 3]


def test_several_clicks_join_the_parts_and_negative_ones_take_them_away():
    image, (left, right) = _scene()
    bridge = np.zeros_like(left)
    bridge[76:84, 80:125] = True
    image[bridge & ~left & ~right] = (90, 160, 60)
    (joined,) = _by_clicks(image, [Click(60, 70, 1), Click(140, 90, 1), Click(100, 80, 1)])
    assert (joined.mask & (left | right)).sum() > 0.9 * (left | right).sum()
    (alone,) = _by_clicks(
        image, [Click(60, 70, 1), Click(140, 90, 1, False), Click(104, 80, 0, False)]
    )
    assert _ious([alone], [left])[0] > 0.9


@pytest.mark.parametrize("shadow", [0.0, 0.3])
def test_objects_on_a_plain_background_are_found_left_to_right(shadow):
    image, truth = _scene(shadow=shadow)
    masks = segment(image, Prompts())
    assert len(masks) == 2 and min(_ious(masks, truth)) > 0.9


def test_large_pictures_are_refined_beyond_the_coarse_scale():
    image, truth = _scene()
    big = cv2.resize(image, (800, 600), interpolation=cv2.INTER_CUBIC)
    mask = cv2.resize(truth[0].astype(np.float32), (800, 600)) > 0.5
    (found,) = _in_boxes(big, [diagnose([InstanceMask(1, mask)])[0].box])
    assert _ious([found], [mask])[0] > 0.97


def test_a_cut_out_is_split_into_its_parts():
    _, truth = _scene()
    masks = segment_alpha(np.where(truth[0] | truth[1], 255, 0).astype(np.uint8))
    assert all((m.mask == t).all() for m, t in zip(masks, truth))


def test_what_cannot_be_done_is_said():
    image, _ = _scene()
    busy = (
        np.random.default_rng(0)
        .integers(0, 256, (15, 20, 3))
        .astype(np.uint8)
        .repeat(10, 0)
        .repeat(10, 1)
    )
    with pytest.raises(InputError, match="not plain"):
        segment_plain_background(busy)
    with pytest.raises(InputError, match="no object"):
        segment_plain_background(np.full((90, 120, 3), 180, np.uint8))
    with pytest.raises(InputError, match=r"click 500,10 is outside.*200 x 150"):
        _by_clicks(image, [Click(500, 10, 1)])
    with pytest.raises(InputError, match="negative"):
        _by_clicks(image, [Click(50, 10, 1, False)])
    with pytest.raises(InputError, match="less than 4 pixels"):
        _in_boxes(image, [(300, 10, 400, 50)])
    with pytest.raises(InputError, match="whole photo"):
        _in_boxes(image, [(0, 0, 200, 150)])
    with pytest.raises(InputError, match="one kind"):
        segment(photo(), Prompts(((1, 2, 30, 40),), (Click(1, 1, 1),)))
