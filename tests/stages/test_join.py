"""Parts that are near each other become one; others stay as they are."""

import numpy as np
import pytest
from scipy import ndimage

from maquette.geometry.volumes import TRUNCATION
from maquette.stages.join import LONGEST, joined

CELLS = 48


def boxes(*corners):
    """A field with boxes, each (low, high) in cells."""
    inside = np.zeros((CELLS,) * 3, bool)
    for low, high in corners:
        inside[tuple(slice(a, b) for a, b in zip(low, high))] = True
    outer, inner = (ndimage.distance_transform_edt(part) for part in (~inside, inside))
    return ((outer - inner) / CELLS / TRUNCATION).clip(-1, 1)


def parts(field):
    return ndimage.label(field < 0)[1]


def everywhere(cells):
    return np.ones(len(cells), bool)


SEAT = ((4, 20, 4), (40, 28, 40))
LEG = ((20, 2, 20), (24, 16, 24))


def test_a_leg_grows_into_its_seat_and_nothing_else_changes():
    field = boxes(SEAT, LEG)
    whole = joined(field, everywhere)
    assert parts(field) == 2 and parts(whole) == 1
    assert (whole <= field).all()
    changed = np.argwhere((whole < 0) & (field >= 0))
    assert changed[:, 1].min() >= 13 and changed[:, 1].max() <= 23
    assert np.abs(changed[:, [0, 2]] - 21.5).max() < 8


def test_a_pole_goes_on_along_its_own_axis():
    """A shade reaches down beside it, nearer than the part of it above."""
    shade = ((8, 30, 14), (40, 40, 34))
    skirt = ((27, 26, 14), (40, 30, 34))
    field = boxes(shade, skirt, ((20, 2, 23), (23, 24, 26)))
    whole = joined(field, everywhere)
    changed = np.argwhere((whole < 0) & (field >= 0))
    assert parts(whole) == 1 and np.abs(changed[:, [0, 2]] - [21, 24]).max() < 3
    assert changed[:, 1].max() == 29


def test_a_bar_goes_neither_far_nor_where_it_may_not():
    far = boxes(SEAT, ((20, 2, 20), (24, 20 - int(LONGEST * CELLS) - 3, 24)))
    np.testing.assert_array_equal(joined(far, everywhere), far)
    field = boxes(SEAT, LEG)
    np.testing.assert_array_equal(joined(field, lambda cells: cells[:, 1] < 17), field)


@pytest.mark.parametrize("corners", [(SEAT,), (SEAT, ((1, 1, 1), (3, 3, 3))), ()])
def test_one_part_specks_and_nothing_stay_as_they_are(corners):
    field = boxes(*corners)
    assert joined(field, everywhere) is field


def test_parts_are_joined_in_a_chain():
    chain = [((20, low, 20), (26, low + 8, 26)) for low in (2, 13, 24, 35)]
    assert parts(joined(boxes(*chain), everywhere)) == 1
