import numpy as np
import pytest
from PIL import Image

from maquette.errors import InputError
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.panoptic import is_panoptic, panoptic_drawings
from tests.masks.annotations.drawings import CRATE, PLANK, inside

CATEGORIES = [
    {"id": 1, "name": "crate", "isthing": 1},
    {"id": 2, "name": "floor", "isthing": 0},
    {"id": 3, "name": "plank", "isthing": 1},
]


def document(*segments):
    listed = [{"id": number, "category_id": category} for number, category in segments]
    annotation = {"image_id": 1, "file_name": "photo.png", "segments_info": listed}
    return {"annotations": [annotation], "categories": CATEGORIES}


def write_picture(path):
    numbers = np.where(inside(CRATE), 3, np.where(inside(PLANK), 70000, 300))
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(colours.astype(np.uint8)).save(path)


@pytest.mark.parametrize("place", ["photo.png", "panoptic/photo.png"])
def test_things_become_objects_and_stuff_is_left_out(tmp_path, place):
    write_picture(tmp_path / place)
    given = document((3, 1), (300, 2), (70000, 3), (9, 3))
    warnings = []
    assert is_panoptic(given)
    drawn = panoptic_drawings(given, tmp_path / "panoptic.json", "photo.jpg", warnings)
    found = list(instances(drawn, "x"))
    assert [m.name for m in found] == ["crate", "plank"]
    assert np.array_equal(found[0].mask, inside(CRATE))
    assert np.array_equal(found[1].mask, inside(PLANK) & ~inside(CRATE))
    assert warnings == [
        "segment 300 (floor) is no thing, and is left out",
        "segment 9 (plank) has no pixel, and is left out",
    ]


def test_a_picture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"its picture 'photo\.png' was not found"):
        list(panoptic_drawings(document((3, 1)), tmp_path / "panoptic.json", None, []))
