"""TRELLIS's framing: the object fills 1 / 1.2 of the picture, black outside, premultiplied."""

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.framing.trellis import SIDE, crop_box, crop_object


def picture(height=90, width=120, box=(20, 60, 30, 70), alpha=255):
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = 200
    rgba[box[0] : box[1], box[2] : box[3], 3] = alpha
    return rgba


def test_boxes_are_square_even_and_centred():
    mask = np.zeros((50, 70), bool)
    mask[10:30, 15:25] = True  # extremes 15..24 and 10..29: side int(1.2 * 19) = 22
    assert crop_box(mask) == (8, 8, 30, 30)  # 19.5 - 11 = 8.5 rounds to even 8, 30.5 to 30


@pytest.mark.parametrize("extent", [(1, 1), (1, 2), (2, 1)])
def test_the_thinnest_objects_get_a_box_when_one_is_asked_for(extent):
    mask = np.zeros((50, 70), bool)
    mask[5 : 5 + extent[0], 7 : 7 + extent[1]] = True
    x0, y0, x1, y1 = crop_box(mask)
    assert x1 - x0 == y1 - y0 == 0
    x0, y0, x1, y1 = crop_box(mask, least=1)
    assert x1 - x0 == y1 - y0 == 2


def test_the_object_fills_five_sixths_and_the_rest_is_black():
    out = crop_object(picture())
    rows = np.flatnonzero((out[..., 0] > 100).any(1))
    assert out.shape == (SIDE, SIDE, 3)
    assert (
        abs(len(rows) / SIDE - 40 / 46) < 0.01 and abs(rows.mean() - SIDE / 2) < 12
    )  # half a pixel of 46
    assert (out[:8] == 0).all() and abs(int(out[SIDE // 2, SIDE // 2, 0]) - 200) <= 1


def test_the_crop_may_leave_the_picture():
    out = crop_object(picture(box=(0, 90, 0, 40)))
    assert (out[:, :20] == 0).all() and (out[SIDE // 2, SIDE // 2] > 0).all()


def test_half_transparent_pixels_are_darker_but_do_not_widen_the_box():
    rgba = picture()
    rgba[20:60, 10:30, 3] = 128
    out = crop_object(rgba)
    narrow = crop_object(picture())
    assert (
        abs(int(out[SIDE // 2, 15, 0]) - 100) <= 3
        and (out[100:400, 200:400] == narrow[100:400, 200:400]).all()
    )


@pytest.mark.parametrize("rgba", [picture(alpha=200), picture(box=(10, 11, 10, 11))])
def test_nothing_to_show_is_named(rgba):
    with pytest.raises(InputError, match=r"no pixel|single pixel"):
        crop_object(rgba)
