import json

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.labelme import is_labelme, labelme_document, labelme_drawings
from maquette.types import InstanceMask
from tests.masks.annotations.drawings import BALL, CRATE, PLANK, SIZE, ball, inside, same


def shape(label, points, kind="polygon", group=None, **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, **more}


def document(*shapes):
    return {
        "version": "5.5.0",
        "shapes": list(shapes),
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
    }


def read(given, warnings=None):
    warnings = [] if warnings is None else warnings
    return list(instances(labelme_drawings(given, None, "x.json", warnings), "x.json"))


def test_polygons_and_circles_become_objects_with_their_names():
    (x, y), radius = BALL
    given = document(
        shape("crate", CRATE),
        shape("ball", [(x, y), (x + radius, y)], "circle"),
        shape("plank", PLANK),
    )
    assert is_labelme(given)
    found = read(given)
    assert [m.name for m in found] == ["crate", "ball", "plank"]
    for instance, truth in zip(found, (inside(CRATE), ball(), inside(PLANK))):
        assert same(instance.mask, truth)


def test_shapes_of_one_group_are_one_object():
    found = read(document(shape("set", CRATE, group=4), shape("set", PLANK, group=4)))
    assert len(found) == 1
    assert same(found[0].mask, inside(CRATE) | inside(PLANK))


def test_what_has_no_area_is_left_out_with_a_warning():
    warnings = []
    given = document(
        shape("crate", CRATE),
        shape("hint", [(1, 1), (9, 9)], "rectangle"),
        shape("edge", [(1, 1), (9, 9)], "line"),
    )
    assert len(read(given, warnings)) == 1
    assert "shape 2 (hint) is only a box" in warnings[0]
    assert warnings[1] == "shape 3 (edge) is a line without an area, and is left out"


def test_writing_and_reading_gives_the_same_masks():
    masks = [InstanceMask(1, inside(CRATE), "crate"), InstanceMask(2, ball() & ~inside(CRATE), "")]
    written = json.loads(json.dumps(labelme_document(masks, SIZE, "photo.jpg")))
    found = read(written)
    assert [m.name for m in found] == ["crate", "object_2"]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(found, masks))


@pytest.mark.parametrize("bitmap", [None, "no base64!", "aGVsbG8=", 5])
def test_a_broken_bitmap_is_named(bitmap):
    with pytest.raises(InputError, match=r"x\.json: shape 1 \(a\): its mask is not"):
        read(document(shape("a", [(1, 1), (2, 2)], "mask", mask=bitmap)))
