"""Pictures and their captions agree: sides, colours and counts are read off the pixels; holes hide
what they should and nothing else.
"""

import re

import numpy as np
import pytest

from maquette.data.layout import Placement
from maquette.data.pictures import COVERED, GREY, crop_of_view, random_hole, single_object
from maquette.data.views import View
from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.models.sentences import COLOURS, COMPLETION, Thing
from maquette.types import Camera
from tests.train.worlds import solids

SIZE = 32
PAINT = {"red": (230, 20, 20), "blue": (20, 40, 230), "green": (20, 200, 40)}
EYE = np.array([0.0, 0.0, 4.0])  # looks along -Z, so +X of the scene is right in the picture


def painted_view(
    places: dict[str, tuple[float, float]], side: int = 20
) -> tuple[View, list[Thing]]:
    """Squares of pure colours on black, at places (x right, y up) in -0.5..0.5, as if seen from
    EYE.
    """
    image = np.zeros((96, 96, 3), np.uint8)
    instance = np.zeros((96, 96), np.int32)
    things = []
    for label, (colour, (x, y)) in enumerate(places.items(), 1):
        column = round((x + 0.5) * 96)
        row = round((0.5 - y) * 96)
        patch = (
            slice(max(row - side // 2, 0), row + side // 2),
            slice(max(column - side // 2, 0), column + side // 2),
        )
        image[patch] = PAINT[colour]
        instance[patch] = label
        things.append(
            Thing("box", colour, np.array([(x - 0.1, y - 0.1, -0.1), (x + 0.1, y + 0.1, 0.1)]))
        )
    camera = Camera(intrinsics_from_fov(0.4, 96, 96), look_at(EYE, np.zeros(3)), 96, 96)
    far = np.full((96, 96), np.inf, np.float32)
    placements = tuple(Placement(0, np.eye(4)) for _ in places)
    return View(
        image, far, np.zeros((96, 96, 3), np.float32), instance, camera, np.eye(4), placements, -0.5
    ), things


def pixels_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """(S, S) bool: where the picture shows one of the pure colours."""
    return (np.abs(picture.astype(int) - PAINT[colour]) < 60).all(-1)


def crops(view, things, count=60):
    return [crop_of_view(view, things, np.random.default_rng(seed), SIZE) for seed in range(count)]


def test_left_and_right_of_captions_are_those_of_the_pixels():
    """In every crop, flipped or not: who is said to be on the left has its pixels on the left."""
    view, things = painted_view({"red": (-0.2, 0.0), "blue": (0.2, 0.0)})
    said = set()
    for crop in crops(view, things, 150):
        found = re.search(
            r"(red|blue) (?:box|object) to the (left|right) of an? (red|blue)", crop.caption
        )
        if (
            found is None or np.abs(crop.picture[0, 0].astype(int) - 0).max() > 0
        ):  # some grounds are as red as the box
            continue
        one, side, other = found.groups()
        middles = [np.flatnonzero(pixels_of(crop.picture, c).any(0)).mean() for c in (one, other)]
        assert (middles[0] < middles[1]) == (side == "left"), crop.caption
        said.add((one, side))
    assert said == {("red", "left"), ("red", "right"), ("blue", "left"), ("blue", "right")}


def test_what_is_named_is_seen_and_what_is_not_named_may_be_removed():
    view, things = painted_view({"red": (-0.3, 0.2), "blue": (0.1, 0.2), "green": (0.0, -0.3)})
    removed = 0
    for crop in crops(view, things):
        assert (
            crop.picture.shape == (SIZE, SIZE, 3)
            and crop.picture.dtype == np.uint8
            and crop.hole.dtype == bool
        )
        for colour in PAINT:
            if colour in crop.caption:
                assert pixels_of(crop.picture, colour).sum() > 0.02 * SIZE**2
        removed += crop.picture[0, 0].any()  # the view's own background is black
    assert 10 < removed < 55


def test_objects_that_touch_keep_their_background():
    """Cutting one of two touching objects out would leave a bite in it; a picture of both
    is fine.
    """
    view, things = painted_view({"red": (-0.1, 0.0), "blue": (0.1, 0.0)})
    for crop in crops(view, things):
        if len(re.findall("box|object", crop.caption)) == 1 and not re.match("two", crop.caption):
            assert (
                not crop.picture[0, -1].any()
                or pixels_of(crop.picture, "red").any() == pixels_of(crop.picture, "blue").any()
            )


def test_nothing_large_enough_gives_no_picture():
    view, things = painted_view({"red": (0.0, 0.0)}, side=4)
    assert set(crops(view, things, 5)) == {None}
    empty, nothing = painted_view({})
    assert set(crops(empty, nothing, 5)) == {None}


def test_a_sample_is_a_function_of_its_generator():
    view, things = painted_view({"red": (-0.2, 0.0), "blue": (0.2, 0.0)})
    for make in (
        lambda rng: crop_of_view(view, things, rng, SIZE),
        lambda rng: single_object(solids()[1], rng, SIZE),
    ):
        for seed in range(5):
            one = make(np.random.default_rng(seed))
            two = make(np.random.default_rng(seed))
            assert (
                np.array_equal(one.picture, two.picture)
                and np.array_equal(one.hole, two.hole)
                and one.caption == two.caption
            )


@pytest.mark.parametrize("index", range(3))
def test_single_objects_are_named_and_coloured(index):
    asset = solids()[index]
    colour = {"box": "red", "ball": "blue", "can": "green"}[asset.name]
    samples = [
        single_object(asset, np.random.default_rng(seed), SIZE, completion=0.0)
        for seed in range(40)
    ]
    assert all(sample.hole.all() and COMPLETION not in sample.caption for sample in samples)
    right = sum(colour in sample.caption for sample in samples)
    assert right > 20 and right > 5 * sum(
        other in sample.caption for other in set(COLOURS) - {colour} for sample in samples
    )
    assert sum(asset.name in sample.caption for sample in samples) > 30


def test_completion_hides_a_part_of_the_object_and_all_of_its_surroundings():
    """ComboVerse's case: the hole is inside a box, no visible pixel of the object is in it, and in
    front of noise the truth is grey.
    """
    # a ball looks the same from everywhere
    asset = solids()[1]
    noisy = 0
    for seed in range(40):
        sample = single_object(asset, np.random.default_rng(seed), SIZE, completion=1.0)
        rows = np.flatnonzero(sample.hole.any(1))
        columns = np.flatnonzero(sample.hole.any(0))
        box = np.zeros_like(sample.hole)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        seen = box & ~sample.hole  # of the object, unless the occluder reaches the box's edge
        outside = sample.picture[~box].astype(float)
        if len(outside) > 50 and outside.std(0).min() > 60:  # uniform noise has 74
            noisy += 1
            assert sample.picture[seen].std(0).max() < 60  # no noise inside of the box
            hidden = sample.picture[sample.hole].astype(int)
            filled = (np.abs(hidden - GREY) <= 1).all(-1)
            bluish = hidden[:, 2] > hidden[:, 0] + 5
            assert (filled | bluish).mean() > 0.97
            share = bluish.sum() / (bluish.sum() + seen.sum())
            assert share < COVERED[1] + 0.1 and filled.any()
    assert noisy > 8


def test_holes_are_boxes_strokes_and_shapes():
    shape = np.zeros((SIZE, SIZE), bool)
    shape[10:16, 12:20] = True
    holes = [random_hole(np.random.default_rng(seed), SIZE, shape) for seed in range(60)]
    assert all(hole.any() and hole.shape == shape.shape and hole.dtype == bool for hole in holes)
    assert {(hole & shape).sum() == shape.sum() for hole in holes} == {True, False}
    boxes = [hole for hole in holes if hole.sum() == hole.any(0).sum() * hole.any(1).sum()]
    assert 10 < len(boxes) < 55
    nothing = np.zeros_like(shape)
    assert all(random_hole(np.random.default_rng(seed), SIZE, nothing).any() for seed in range(30))
