"""Damaged files are one line that names them, whatever the parser stumbled over."""

import json
import pickle
import tokenize
import zlib

import pytest
from PIL import Image

from maquette.errors import InputError, OutputError
from maquette.evaluate.files import (
    damage_named,
    fingerprint,
    read_object,
    read_record,
    write_record,
)

SEEN = [
    AttributeError("'str' object has no attribute 'shape'"),
    Image.DecompressionBombError("too many pixels"),
    MemoryError(),
    RecursionError(),
    UnboundLocalError("mesh"),
    pickle.UnpicklingError("it names os.system"),
    tokenize.TokenError("EOF"),
    zlib.error("incorrect header\ncheck"),
]


@pytest.mark.parametrize("error", SEEN, ids=lambda error: type(error).__name__)
def test_what_readers_were_seen_to_raise_names_the_file_in_one_line(error):
    message = rf"^room/a\.glb: .*{type(error).__name__}"
    with pytest.raises(InputError, match=message) as caught, damage_named("room/a.glb"):
        raise error
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error


@pytest.mark.parametrize("error", [InputError("b.png: too small"), OutputError("disk full")])
def test_our_own_errors_pass_as_they_are(error):
    with pytest.raises(type(error), match=str(error)), damage_named("a"):
        raise error


def test_ctrl_c_is_no_damage():
    with pytest.raises(KeyboardInterrupt), damage_named("a"):
        raise KeyboardInterrupt


def test_records_come_back_and_what_is_none_says_what_to_do(tmp_path):
    write_record(tmp_path / "a" / "b.json", {"x": [1, None]})
    assert read_record(tmp_path / "a" / "b.json", "do it") == {"x": [1, None]}
    with pytest.raises(InputError, match=r"none\.json: no such file; do it"):
        read_record(tmp_path / "none.json", "do it")
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b""):
        (tmp_path / "c.json").write_bytes(content)
        with pytest.raises(InputError, match=r"c\.json: not JSON.*do it"):
            read_record(tmp_path / "c.json", "do it")


def test_objects_are_objects_or_absent(tmp_path):
    assert read_object(tmp_path / "none.json", "do it") == {}
    for content in ([1], "text", None, 3):
        (tmp_path / "a.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=f"holds a {type(content).__name__} instead"):
            read_object(tmp_path / "a.json", "do it")


def test_a_fingerprint_changes_with_names_and_sizes_only(tmp_path):
    a = tmp_path / "a"
    b = tmp_path / "b"
    a.write_text("12")
    b.write_text("1")
    first = fingerprint([a, b])
    assert fingerprint([b, a]) == first and len(first) == 12
    a.write_text("34")
    assert fingerprint([a, b]) == first
    a.write_text("345")
    assert fingerprint([a, b]) != first
