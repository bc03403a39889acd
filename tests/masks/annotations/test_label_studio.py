import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.label_studio import is_label_studio, label_studio_drawings
from tests.masks.annotations.drawings import BALL, CRATE, SIZE, ball, inside, same


def region(kind, label, **value):
    return {
        "type": kind,
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "value": {**value, kind: [label]},
    }


def percent(corners):
    return [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in corners]


def task(*regions, image="/data/upload/1/photo.jpg"):
    return {"data": {"image": image}, "annotations": [{"result": list(regions)}]}


def stroke(mask):
    """A brush stroke of the mask, every run written as a repeated value or as single ones."""
    values = np.repeat(mask.ravel() * 255, 4)
    bits = f"{len(values):032b}" + f"{7:05b}" + f"{2:04b}{7:04b}{15:04b}{15:04b}"
    at = 0
    while at < len(values):
        run = 1
        while at + run < len(values) and values[at + run] == values[at] and run < 65536:
            run += 1
        if run == 1:
            bits += f"0{0:02b}{0:03b}{values[at]:08b}"
        else:
            bits += f"1{2:02b}{run - 1:016b}{values[at]:08b}"
        at += run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def read(document, photo="photo.jpg", warnings=None):
    warnings = [] if warnings is None else warnings
    drawn = label_studio_drawings(document, None, photo, "x.json", warnings)
    return list(instances(drawn, "x.json"))


def test_polygons_ellipses_and_strokes_become_objects_with_their_names():
    (x, y), radius = BALL
    round_one = {"radiusX": 100 * radius / SIZE[1], "radiusY": 100 * radius / SIZE[0]}
    document = [
        task(
            region("polygonlabels", "crate", points=percent(CRATE)),
            region("ellipselabels", "e", x=100 * x / SIZE[1], y=100 * y / SIZE[0], **round_one),
            region("brushlabels", "b", format="rle", rle=stroke(ball())),
        )
    ]
    assert is_label_studio(document)
    found = read(document)
    assert [m.name for m in found] == ["crate", "e", "b"]
    assert same(found[0].mask, inside(CRATE))
    assert same(found[1].mask, ball())
    assert np.array_equal(found[2].mask, ball())


def test_the_short_export_and_several_tasks():
    crate = {"polygonlabels": ["crate"], "points": percent(CRATE)}
    sides = {"original_width": SIZE[1], "original_height": SIZE[0]}
    document = [
        {"image": "a/one.jpg", "label": [crate | sides]},
        {"image": "a/two.jpg", "label": [crate | sides | {"polygonlabels": ["other"]}]},
    ]
    assert is_label_studio(document)
    assert read(document, "two.jpg")[0].name == "other"


def test_boxes_are_left_out_with_a_warning():
    warnings = []
    crate = region("polygonlabels", "crate", points=percent(CRATE))
    box = region("rectanglelabels", "box", x=1, y=1, width=5, height=5)
    assert len(read([task(box, crate)], warnings=warnings)) == 1
    assert "region 1 (box) is only a box" in warnings[0]


@pytest.mark.parametrize("content", [None, [1, 2, 300], [0, 0, 0, 9], stroke(ball())[:-40]])
def test_a_broken_stroke_is_named(content):
    with pytest.raises(InputError, match=r"x\.json: region 1 \(b\): its brush stroke"):
        read([task(region("brushlabels", "b", rle=content))])


def test_a_task_alone_one_without_regions_and_names_of_uploads():
    drawn = region("polygonlabels", "crate", points=percent(CRATE))
    cancelled = {"was_cancelled": True, "result": [region("polygonlabels", "no", points=[])]}
    one = task(drawn, image="/data/upload/1/3f2ab1c8-photo.jpg")
    one["annotations"].insert(0, cancelled)
    empty = task(image="/data/upload/1/77777777-other.jpg")
    for document in (one, [one, empty]):
        assert is_label_studio(document)
        assert [m.name for m in read(document)] == ["crate"]
