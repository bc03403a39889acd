import pytest

from maquette.errors import InputError
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.yolo import yolo_drawings
from tests.masks.annotations.drawings import CRATE, PLANK, SIZE, inside, same


def line(number, corners, *more):
    shares = [f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in corners]
    return " ".join([str(number), *shares, *more])


def read(path, text, size=SIZE, warnings=None):
    path.write_text(text)
    warnings = [] if warnings is None else warnings
    return list(instances(yolo_drawings(path, size, warnings), str(path)))


def test_outlines_become_objects_of_the_photos_size(tmp_path):
    found = read(tmp_path / "photo.txt", f"{line(0, CRATE)}\n\n{line(1, PLANK, '0.93')}\n")
    assert [same(m.mask, inside(c)) for m, c in zip(found, (CRATE, PLANK))] == [True, True]
    assert [m.name for m in found] == ["", ""]


def test_classes_may_be_written_with_a_point(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nplank\n")
    (found,) = read(tmp_path / "photo.txt", line("1.000", PLANK))
    assert found.name == "plank"


def test_names_come_from_the_list_beside_or_above(tmp_path):
    (tmp_path / "classes.txt").write_text("crate\nplank\n")
    (tmp_path / "labels").mkdir()
    found = read(tmp_path / "labels" / "photo.txt", f"{line(1, PLANK)}\n{line(0, CRATE)}\n")
    assert [m.name for m in found] == ["plank", "crate"]


def test_boxes_are_left_out_with_a_warning(tmp_path):
    warnings = []
    read(tmp_path / "photo.txt", f"0 0.5 0.5 0.1 0.1\n{line(0, CRATE)}", warnings=warnings)
    assert "line 1 is only a box" in warnings[0]
    with pytest.raises(InputError, match="holds no outline"):
        read(tmp_path / "photo.txt", "0 0.5 0.5 0.1 0.1\n")


@pytest.mark.parametrize(
    ("text", "size", "said"),
    [
        ("chair 0.1 0.1 0.2 0.2 0.3 0.1", SIZE, "expected the number of a class"),
        ("0 10 10 20 20 30 10", SIZE, "expected shares of the photo's sides"),
        ("0 a b c d e f", SIZE, "no numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.1", None, "give the photo, too"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, size, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path / "photo.txt", text, size)
