"""Names of classes beside YOLO's label files: which file counts, and what is read of its YAML."""

import time

import pytest

from maquette.masks.annotations.class_names import class_names, names_in_yaml

ALIKE = {  # two names, as tools write them
    "flow": "names: ['crate', \"it's a plank\"]",
    "flow over several lines": "names: [\n  crate,  # the first\n  'it''s a plank',\n]\n",
    "plain with an apostrophe": "names: [crate, it's a plank]\nnc: 2\n",
    "block": "nc: 2\nnames:\n- crate\n- it's a plank\nroboflow:\n  version: 3\n",
    "indented block": 'names:\n  - crate # wood\n\n  - "it\'s a plank"\n',
    "mapping": "# classes\nnames:\n  0: crate\n  1: it's a plank\n\ntrain: images\n",
    "mapping in another order": "names:\n  1: it's a plank\n  0: crate\n",
    "flow mapping": "names: {0: crate, 1: 'it''s a plank'}",
    "quoted keys": "'names':\n  '0': crate\n  \"1\": \"it's a plank\"\n",
    "JSON": '{\n"nc": 2,\n"names": ["crate", "it\'s a plank"]\n}',
    "Windows": "nc: 2\r\nnames:\r\n  0: crate\r\n  1: it's a plank\r\n",
}
MORE = {
    "names: [a b, 'c, d', \"e # f\", g#h, 3]": {0: "a b", 1: "c, d", 2: "e # f", 3: "g#h", 4: "3"},
    "names: {7: a:b}": {7: "a:b"},
    'names: ["\\u00e9\\t"]': {0: "é\t"},
    "names:\n  0:\n  1: ~\n": {0: "", 1: ""},
    "names: []": {},
}
NOT_UNDERSTOOD = (
    "names: !!python/object/apply:os.system ['touch PWNED']",
    "names:\n  - !!python/object/apply:os.system ['touch PWNED']\n",
    "names: *others",
    "names: &all [a]",
    "names: [a, [b]]",
    "names: [a, b",
    "names: a",
    "names:\n  a: 0\n",
    'names: ["\\x"]',
    "names: |\n  a\n  b\n",
    "names:",
    "nc: 3\n",
    "",
)


@pytest.mark.parametrize("form", ALIKE)
def test_every_form_that_tools_write_is_read(form):
    assert names_in_yaml(ALIKE[form]) == {0: "crate", 1: "it's a plank"}


@pytest.mark.parametrize("text", MORE)
def test_texts_are_what_yaml_says(text):
    assert names_in_yaml(text) == MORE[text]


@pytest.mark.parametrize("text", [*ALIKE.values(), *MORE])
def test_another_reader_of_yaml_reads_the_same(text):
    yaml = pytest.importorskip("yaml")
    names = yaml.safe_load(text)["names"]
    entries = names.items() if isinstance(names, dict) else enumerate(names)
    same = {int(key): "" if name is None else str(name) for key, name in entries}
    assert names_in_yaml(text) == same


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_anything_else_is_not_understood(text):
    assert names_in_yaml(text) is None


@pytest.mark.parametrize("odd", [" ", "'", '"', "\n", "a", "0", ", ", "names\n", "# ", "- "])
def test_no_text_takes_long(odd):
    many = odd * (2**19 // len(odd))
    start = time.monotonic()
    for text in (f"names: [a{many}", f"names:\n  - a{many}", f"names: {{0: {many}", many):
        names_in_yaml(text)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("place", ["data/train/labels", "data/labels", "data"])
def test_the_file_of_the_data_set_lies_beside_or_above(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (tmp_path / "data" / "data.yaml").write_text("names: [crate]")
    assert class_names(folder / "photo.txt", []) == {0: "crate"}


def test_the_nearest_file_counts_and_a_list_before_yaml(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    (tmp_path / "data.yaml").write_text("names: [far]")
    assert class_names(labels / "photo.txt", []) == {0: "far"}
    (labels / "other.yml").write_text("nc: 1")
    (labels / "coco8-seg.yaml").write_text("names: [near]")
    assert class_names(labels / "photo.txt", []) == {0: "near"}
    (labels / "classes.txt").write_text("listed\n")
    assert class_names(labels / "photo.txt", []) == {0: "listed"}


def test_what_is_not_understood_is_a_warning(tmp_path):
    (tmp_path / "data.yaml").write_text("names: *others")
    warnings = []
    assert class_names(tmp_path / "photo.txt", warnings) == {}
    assert len(warnings) == 1 and "data.yaml" in warnings[0]
    (tmp_path / "data.yaml").write_bytes(b"names: [\xff]")
    assert class_names(tmp_path / "photo.txt", warnings) == {} and len(warnings) == 1
