import numpy as np
import pytest

from maquette.masks.diagnose import diagnose
from maquette.types import InstanceMask
from tests.masks.pictures import disc, three_masks


def _one(mask, name=""):
    return diagnose([InstanceMask(1, mask, name)])[0]


def test_numbers_of_a_disc_a_ring_and_two_squares():
    round_, ring, corners = diagnose(three_masks())
    assert round_.box == (4, 10, 24, 30) and round_.pixels == three_masks()[0].mask.sum()
    assert round_.thickness == pytest.approx(19, abs=1.5) and ring.thickness == pytest.approx(
        5, abs=1.5
    )
    assert (round_.holes, ring.holes) == (0, 1)
    assert corners.fragments == 1  # they touch at a corner
    assert all(
        d.warnings == () and d.borders == () and d.overlaps == () for d in (round_, ring, corners)
    )


def test_a_bar_in_front_makes_two_fragments():
    mask = disc(60, 60, 30, 30, 20)
    mask[:, 28:32] = False
    assert (
        _one(mask).fragments == 2
        and "2 parts" in _one(mask, "pot").warnings[0]
        and "label 1 (pot)" in _one(mask, "pot").warnings[0]
    )


def test_borders_and_size():
    mask = np.zeros((60, 60), bool)
    mask[:20, 40:] = True
    assert (
        _one(mask).borders == ("top", "right")
        and "cut off at the top and right" in _one(mask).warnings[0]
    )
    assert "covers 100 %" in _one(np.ones((60, 60), bool)).warnings[0]
    pixel = np.zeros((60, 60), bool)
    pixel[7, 9] = True
    assert _one(pixel).box == (9, 7, 10, 8) and "only 1 pixel;" in _one(pixel).warnings[0]
    line = np.zeros((60, 60), bool)
    line[10:12, 2:50] = True
    assert "2 pixels thick" in _one(line).warnings[0] or "1 pixels thick" in _one(line).warnings[0]


def test_specks_are_no_fragments():
    mask = disc(80, 80, 50, 50, 25)
    mask[2:20:2, 2:20:2] = True
    d = _one(mask)
    assert d.fragments == 1 and d.specks == 81 and "81 specks" in d.warnings[0]


def test_overlap_is_a_share_of_the_own_pixels():
    big = np.zeros((40, 40), bool)
    small = np.zeros((40, 40), bool)
    big[5:25, 5:25] = True
    small[5:15, 15:35] = True
    first, second = diagnose([InstanceMask(3, big), InstanceMask(5, small)])
    assert first.overlaps == ((5, 0.25),) and second.overlaps == ((3, 0.5),)
    assert "shares 50 % of its pixels with label 3" in second.warnings[0]
    inside = np.zeros((40, 40), bool)
    inside[10:20, 10:20] = True
    assert (
        "lies within label 3"
        in diagnose([InstanceMask(3, big), InstanceMask(5, inside)])[1].warnings[0]
    )
