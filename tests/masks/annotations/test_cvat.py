import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.annotations.cvat import cvat_drawings
from maquette.masks.annotations.drawn import instances
from tests.masks.annotations.drawings import BALL, CRATE, PLANK, SIZE, ball, inside, same


def points(corners):
    return ";".join(f"{x},{y}" for x, y in corners)


def run_lengths(part):
    """Of a mask (h, w), row by row, beginning with background."""
    flat = np.concatenate([[False], part.ravel()])
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[1], ends, [len(flat)]]))
    return ", ".join(map(str, runs))


def read(tmp_path, body, photo="photo.jpg", warnings=None):
    path = tmp_path / "annotations.xml"
    path.write_text(f'<?xml version="1.0"?><annotations>{body}</annotations>')
    warnings = [] if warnings is None else warnings
    return list(instances(cvat_drawings(path, SIZE, photo, warnings), str(path)))


def image(shapes, name="photo.jpg"):
    return f'<image name="{name}" width="{SIZE[1]}" height="{SIZE[0]}">{shapes}</image>'


def test_polygons_ellipses_and_masks_become_objects_with_their_names(tmp_path):
    (x, y), radius = BALL
    part = ball()[60:141, 150:231]
    mask = f'<mask label="m" rle="{run_lengths(part)}" left="150" top="60" width="81" height="81"/>'
    ellipse = f'<ellipse label="e" cx="{x}" cy="{y}" rx="{radius}" ry="{radius}"/>'
    found = read(
        tmp_path, image(f'<polygon label="crate" points="{points(CRATE)}"/>{mask}{ellipse}')
    )
    assert [m.name for m in found] == ["crate", "m", "e"]
    assert same(found[0].mask, inside(CRATE))
    assert np.array_equal(found[1].mask, ball())
    assert np.array_equal(found[2].mask, ball())


def test_the_photo_is_found_by_its_name(tmp_path):
    crate = image(f'<polygon label="crate" points="{points(CRATE)}"/>', "a/one.jpg")
    plank = image(f'<polygon label="plank" points="{points(PLANK)}"/>', "a/two.jpg")
    assert read(tmp_path, crate + plank, "two.jpg")[0].name == "plank"


def test_boxes_are_left_out_with_a_warning(tmp_path):
    warnings = []
    box = '<box label="b" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    crate = f'<polygon label="crate" points="{points(CRATE)}"/>'
    assert len(read(tmp_path, image(box + crate), warnings=warnings)) == 1
    assert "box 1 (b) is only a box" in warnings[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<track/>", "CVAT for video"),
        ("<other/>", "not CVAT for images"),
        ("<image", "not valid XML"),
        (
            image('<mask label="m" rle="3, 4" left="0" top="0" width="9" height="9"/>'),
            "add up to 7",
        ),
        (image('<mask label="m" rle="81" left="0" top="0" width="9"/>'), "no numbers"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, body, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, body)


def test_entities_are_never_unfolded(tmp_path):
    path = tmp_path / "annotations.xml"
    for encoding in ("utf-8", "utf-16"):
        path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', encoding)
        with pytest.raises(InputError, match="entities"):
            list(cvat_drawings(path, SIZE, None, []))
