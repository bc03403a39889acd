import pytest

from maquette.errors import InputError
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.via import is_via, via_drawings
from tests.masks.annotations.drawings import BALL, CRATE, SIZE, ball, inside, same


def region(label, **shape):
    return {"shape_attributes": shape, "region_attributes": {"name": label}}


CRATE_SHAPE = {
    "name": "polygon",
    "all_points_x": [x for x, _ in CRATE],
    "all_points_y": [y for _, y in CRATE],
}
BALL_SHAPE = {"name": "circle", "cx": BALL[0][0], "cy": BALL[0][1], "r": BALL[1]}


def read(document, photo="photo.jpg", warnings=None):
    warnings = [] if warnings is None else warnings
    drawn = via_drawings(document, SIZE, photo, "x.json", warnings)
    return list(instances(drawn, "x.json"))


@pytest.mark.parametrize("listed", [list, lambda regions: dict(enumerate(regions))])
@pytest.mark.parametrize("project", [False, True])
def test_regions_become_objects_with_their_names(listed, project):
    regions = listed([region("crate", **CRATE_SHAPE), region("ball", **BALL_SHAPE)])
    export = {
        "photo.jpg123": {"filename": "photo.jpg", "size": 123, "regions": regions},
        "other.jpg9": {"filename": "other.jpg", "size": 9, "regions": []},
    }
    document = {"_via_img_metadata": export, "_via_settings": {}} if project else export
    assert is_via(document)
    found = read(document)
    assert [m.name for m in found] == ["crate", "ball"]
    assert same(found[0].mask, inside(CRATE)) and same(found[1].mask, ball())


def test_ticked_choices_are_names_and_boxes_are_left_out():
    warnings = []
    ticked = {"shape_attributes": CRATE_SHAPE, "region_attributes": {"kind": {"crate": True}}}
    box = region("b", name="rect", x=1, y=1, width=5, height=5)
    document = {"p": {"filename": "photo.jpg", "regions": [ticked, box]}}
    assert read(document, warnings=warnings)[0].name == "crate"
    assert "region 2 (b) is only a box" in warnings[0]


def test_what_is_wrong_is_named():
    torn = region("c", name="polygon", all_points_x=[1, 2, 3], all_points_y=[1, 2])
    with pytest.raises(InputError, match="has 3 x and 2 y coordinates"):
        read({"p": {"filename": "photo.jpg", "regions": [torn]}})
    with pytest.raises(InputError, match="VIA 3"):
        read({"project": {}, "metadata": {}, "attribute": {}})


def test_attributes_that_are_called_as_names_are_come_first():
    shape = region("", **CRATE_SHAPE)
    for attributes in ({"id": "7", "Label": "crate"}, {"class": "crate", "colour": "red"}):
        shape["region_attributes"] = attributes
        (found,) = read({"photo.jpg1": {"filename": "photo.jpg", "regions": [shape]}})
        assert found.name == "crate"


def test_where_only_boxes_are_drawn_it_is_said():
    boxes = {"photo.jpg1": {"filename": "photo.jpg", "regions": [region("a", name="rect")]}}
    warnings = []
    drawn = via_drawings(boxes, SIZE, "photo.jpg", "x.json", warnings)
    with pytest.raises(InputError, match=r"region 1 \(a\) is only a box"):
        list(instances(drawn, "x.json", warnings))
