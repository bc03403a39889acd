"""Which tool wrote a file is told by its content."""

import json

import pytest

from maquette.errors import InputError
from maquette.masks.documents import Reading, masks_from_document, masks_from_file

SIZE = (48, 64)


def reading(name="x.json"):
    return Reading(name, "photo.jpg", SIZE, [])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 10**5, "not JSON"),
        ("a.json", json.dumps({"a": 1}), "no 'annotations'"),
        ("a.json", json.dumps([1, 2]), "not objects"),
        ("a.json", json.dumps({"shapes": "x"}), "expected a list"),
        ("a.xml", "<a/>", "not CVAT"),
        ("a.txt", "chair", "number of a class"),
    ],
)
def test_what_no_tool_wrote_is_refused_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said) as refused:
        list(masks_from_file(tmp_path / name, reading(str(tmp_path / name))))
    assert "\n" not in str(refused.value)


def test_a_document_in_memory_is_read_like_a_file():
    task = {
        "image": "photo.jpg",
        "label": [{"polygonlabels": ["cup"], "points": [[0, 0], [50, 0], [50, 50]]}],
    }
    (found,) = masks_from_document([task], reading())
    assert found.name == "cup" and 300 < found.mask.sum() < 500
