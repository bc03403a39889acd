import math

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.annotations.drawn import (
    Drawing,
    Effort,
    ellipse_mask,
    instances,
    of_photo,
    pasted,
    picture_size,
    polygon_mask,
)
from tests.masks.annotations.drawings import BALL, CRATE, SIZE, ball, inside, same


def test_a_polygon_holds_the_pixels_whose_centres_lie_inside():
    assert same(polygon_mask(CRATE, SIZE, "x"), inside(CRATE))
    assert polygon_mask(CRATE[:2], SIZE, "x") is None


def test_a_turned_ellipse_is_the_ellipse_of_turned_axes():
    upright = ellipse_mask((160, 120), (90, 40), SIZE, "x")
    assert upright.sum() == pytest.approx(math.pi * 90 * 40, rel=0.01)
    turned = ellipse_mask((160, 120), (40, 90), SIZE, "x", turn=math.pi / 2)
    assert (upright == turned).all()
    assert (ellipse_mask(BALL[0], (BALL[1], BALL[1]), SIZE, "x") == ball()).all()


def test_an_ellipse_may_reach_over_the_pictures_borders():
    rows, columns = np.mgrid[:20, :30] + 0.5
    for x, y, radius in ((-3, 4, 9), (28, 19, 7), (15, 10, 100), (99, 99, 5)):
        found = ellipse_mask((x, y), (radius, radius), (20, 30), "here")
        assert (found == ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)).all()


def test_a_picture_has_a_limited_number_of_shapes_and_pixels():
    mask = np.ones((48, 64), bool)
    pieces = (Drawing("a", mask, group=1) for _ in range(10_001))
    with pytest.raises(InputError, match="more than 10000 shapes in a picture of 64 x 48 pixels"):
        list(instances(pieces, "here"))
    large = np.broadcast_to(True, (10_000, 10_000))
    effort = Effort("here")
    for _ in range(343):
        effort.add(large)
    with pytest.raises(InputError, match="more than 343 shapes"):
        effort.add(large)


def test_drawings_of_one_group_are_one_object():
    left = np.zeros(SIZE, bool)
    left[:10, :10] = True
    right = left[:, ::-1]
    drawn = [Drawing("a", left, 7), Drawing("b", ball()), Drawing("a", right, 7)]
    found = list(instances(drawn, "x"))
    assert [(m.label, m.name, int(m.mask.sum())) for m in found] == [
        (1, "a", 200),
        (2, "b", int(ball().sum())),
    ]
    with pytest.raises(InputError, match="x: holds no outline or mask of any object"):
        list(instances([], "x"))


def test_a_small_mask_must_lie_within_the_picture():
    part = np.ones((3, 4), bool)
    assert np.argwhere(pasted(part, 5, 6, SIZE, "x")).min(0).tolist() == [6, 5]
    for left, top in ((-1, 0), (317, 0), (0, 238)):
        with pytest.raises(InputError, match="does not lie within the picture"):
            pasted(part, left, top, SIZE, "x")


@pytest.mark.parametrize("corners", [[("a", 1)] * 3, [(math.nan, 1)] * 3, [(10**400, 1)] * 3])
def test_coordinates_are_finite_numbers(corners):
    with pytest.raises(InputError, match="x: has coordinates that are"):
        polygon_mask(corners, SIZE, "x")


def test_the_photo_is_found_by_its_name_in_any_folder():
    files = {1: "a/photo.jpg", 2: "b\\other.png"}
    assert of_photo(files, "photo.jpg", "x") == 1
    assert of_photo(files, "elsewhere/other.jpg", "x") == 2
    for photo in (None, "third.jpg"):
        with pytest.raises(InputError, match="x: "):
            of_photo(files, photo, "x")


def test_a_picture_has_a_size():
    assert picture_size(2, 3, None, "x") == (2, 3)
    assert picture_size(None, None, SIZE, "x") == SIZE
    for height, photo in ((None, None), (-1, SIZE), ("240", SIZE), (10**6, SIZE)):
        with pytest.raises(InputError, match="x: "):
            picture_size(height, 10**6, photo, "x") if height else picture_size(None, 3, photo, "x")
