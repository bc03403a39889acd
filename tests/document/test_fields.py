import json
from pathlib import Path

import numpy as np
import pytest

from maquette.document.fields import Fields
from maquette.errors import InputError

GOOD = {
    "text": "a",
    "whole": 3,
    "number": 0.5,
    "matrix": [[1, 2], [3, 4]],
    "texts": ["a", "b"],
    "object": {"inner": 1},
    "objects": [{}, {"x": 2}],
}
FILE = Path("scene.json")


def test_what_is_there_is_given_back():
    fields = Fields(FILE, GOOD)
    assert (
        fields.text("text"),
        fields.whole("whole"),
        fields.number("number"),
        fields.texts("texts"),
    ) == ("a", 3, 0.5, ("a", "b"))
    assert np.array_equal(fields.matrix("matrix", 2, 2), [[1, 2], [3, 4]])
    assert (
        fields.object("object").whole("inner") == 1 and fields.objects("objects")[1].whole("x") == 2
    )


WRONG = [
    ("text", 3),
    ("whole", -1),
    ("whole", 1.5),
    ("whole", True),
    ("number", "1"),
    ("number", float("nan")),
    ("number", True),
    ("texts", ["a", 1]),
    ("texts", "a"),
    ("object", []),
    ("objects", [1]),
    ("objects", {}),
]


@pytest.mark.parametrize(
    ("kind", "value"), [*WRONG, *((kind, None) for kind in GOOD if kind != "matrix")]
)
def test_what_is_wrong_is_named_with_its_place(kind, value):
    fields = Fields(FILE, {"key": value}, "instances[2].")
    with pytest.raises(
        InputError, match=r"scene\.json: instances\[2\]\.key(\[\d\])? is .*expected"
    ) as caught:
        getattr(fields, kind)("key")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, [[1, 2]], [[1, 2], [3]], [[1, 2], [3, float("inf")]], [["a", 2], [3, 4]], 7]
)
def test_a_matrix_has_its_shape_and_finite_numbers(value):
    with pytest.raises(InputError, match="2x2 matrix"):
        Fields(FILE, {"key": value}).matrix("key", 2, 2)


def test_a_missing_key_is_called_missing():
    with pytest.raises(InputError, match="lost is missing"):
        Fields(FILE, {}).text("lost")


def test_nested_places_are_joined():
    with pytest.raises(InputError, match=r"a\.b\[1\]\.c is 0"):
        Fields(FILE, {"a": {"b": [{}, {"c": 0}]}}).object("a").objects("b")[1].text("c")


def test_files_stay_below_the_document(tmp_path):
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "a.npz").write_bytes(b"")
    document = tmp_path / "scene.json"
    assert Fields(document, {"file": "mesh/a.npz"}).path("file") == tmp_path / "mesh" / "a.npz"
    for name in ("../scene.json", "/etc/passwd", "mesh/../../x", "C:x", "mesh\\a.npz", ""):
        with pytest.raises(InputError, match="below the document"):
            Fields(document, {"file": name}).path("file")
    with pytest.raises(InputError, match=r"missing; .* refers to it"):
        Fields(document, {"file": "mesh/b.npz"}).path("file")


DAMAGED = [
    (b"{", "truncated"),
    (b"[1]", "list instead"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 200_000, "not JSON"),
]


@pytest.mark.parametrize(("content", "says"), DAMAGED)
def test_what_is_no_document_is_said(tmp_path, content, says):
    (tmp_path / "scene.json").write_bytes(content)
    with pytest.raises(InputError, match=says):
        Fields.read(tmp_path / "scene.json")
    with pytest.raises(InputError, match="no such file"):
        Fields.read(tmp_path / "other.json")
    with pytest.raises(InputError, match="cannot be read"):
        Fields.read(tmp_path)


def test_a_file_gives_what_was_written(tmp_path):
    (tmp_path / "scene.json").write_text(json.dumps(GOOD))
    assert Fields.read(tmp_path / "scene.json").data == GOOD
