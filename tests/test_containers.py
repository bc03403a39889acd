"""Files of strangers: what they declare is measured before memory is taken, and nothing is run."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from maquette.containers import (
    MemoryBudget,
    read_bytes,
    read_json,
    read_npy,
    read_npz,
    read_picture,
)
from maquette.errors import InputError

SMALL = 1 << 20


def npy(array=None, declares=None):
    """An .npy file; its header may declare another array than it holds."""
    stream = io.BytesIO()
    if declares is None:
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    else:
        header = {"descr": "|u1", "fortran_order": False, "shape": declares}
        np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def archive(members, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def patched(content, offset, value):
    """Overwrite two bytes of every entry, in both of its headers."""
    changed = bytearray(content)
    for signature, place in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        start = changed.find(signature)
        while start >= 0:
            changed[start + place : start + place + 2] = struct.pack("<H", value)
            start = changed.find(signature, start + 4)
    return bytes(changed)


def png_header(width, height):
    def chunk(kind, data):
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_arrays_come_back(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.eye(3, dtype=np.int16)),
        "names": np.array(["x", "yz"]),
        "empty": np.zeros((0, 4)),
        "number": np.array(3),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_npz(tmp_path / "a.npz", "a.npz", MemoryBudget())
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    np.save(tmp_path / "a.npy", arrays["a"])
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy", MemoryBudget()), arrays["a"])


GOOD = npy([1, 2, 3])
BAD = {
    "nothing": b"",
    "no archive": b"not a zip",
    "truncated": archive({"a.npy": GOOD})[:-30],
    "encrypted": patched(archive({"a.npy": GOOD}), 6, 1),
    "unknown compression": patched(archive({"a.npy": GOOD}), 8, 97),
    "no array": archive({"a.txt": b"words"}),
    "array by name only": archive({"a.npy": b"words"}),
    "objects": archive({"a.npy": npy(np.array([{}, []], dtype=object))}),
    "declares more than it has": archive({"a.npy": npy(declares=(200_000, 200_000)) + b"1"}),
    "negative sides": archive({"a.npy": npy(declares=(-1, 5)) + b"12345"}),
    "broken header": archive({"a.npy": GOOD.replace(b"'descr'", b"'descr")}),
    "endless header": archive({"a.npy": GOOD[:10] + b"(" * 4000 + b"\n"}),
    "odd type": archive({"a.npy": GOOD.replace(b"'<i8'", b"['8']")}),
    "larger than the budget": archive({"a.npy": npy(np.zeros(SMALL, np.uint8))}),
    "larger together": archive({f"{k}.npy": npy(np.zeros(SMALL // 4, np.uint8)) for k in range(4)}),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_bad_archives_are_named_in_one_line(content):
    with pytest.raises(InputError) as caught:
        read_npz(io.BytesIO(content), "room/state.npz", MemoryBudget(SMALL))
    said = str(caught.value)
    assert said.startswith("room/state.npz") and "\n" not in said and len(said) < 500


@pytest.mark.parametrize("name", ["encrypted", "objects", "no array", "larger together"])
def test_the_real_reason_is_said(name):
    says = {"no array": "is no array", "objects": "never read", "larger together": "would take"}
    with pytest.raises(InputError, match=says.get(name, name)):
        read_npz(io.BytesIO(BAD[name]), "a", MemoryBudget(SMALL))


def test_nothing_is_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    content = npy(np.array([Harmful()], dtype=object))
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError):
        read_npy(tmp_path / "a.npy", MemoryBudget())
    for members in ({"a.npy": content}, {"a.npy": pickle.dumps(Harmful())}):
        with pytest.raises(InputError):
            read_npz(io.BytesIO(archive(members)), "a", MemoryBudget())
    assert not (tmp_path / "ran").exists()


def test_a_bomb_is_refused_before_it_goes_off():
    bomb = archive({"a.npy": npy(np.zeros(64 * SMALL, np.uint8))})
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="would take 64 MB"):
            read_npz(io.BytesIO(bomb), "a", MemoryBudget(32 * SMALL))
        with pytest.raises(InputError, match="MB"):
            read_picture(png_header(13000, 13000), "a.png", MemoryBudget(32 * SMALL))
        assert tracemalloc.get_traced_memory()[1] < 2 * SMALL
    finally:
        tracemalloc.stop()


def test_one_budget_lasts_for_all_files():
    budget = MemoryBudget(3 * SMALL)
    content = archive({"a.npy": npy(np.zeros(SMALL, np.uint8))})
    for name in ("first", "second"):
        read_npz(io.BytesIO(content), name, budget)
    with pytest.raises(InputError, match=r"third: would take 1 MB, but of the 3 MB .* 1 MB are"):
        read_npz(io.BytesIO(content), "third", budget)


def test_pictures_come_back_or_are_named():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    content = stream.getvalue()
    np.testing.assert_array_equal(read_picture(content, "a", MemoryBudget()), pixels)
    for bad in (b"", b"no picture", content[:60], png_header(60000, 60000), png_header(4, 4)):
        with pytest.raises(InputError, match=r"a\.png: not an image"):
            read_picture(bad, "a.png", MemoryBudget())


BAD_JSON = [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5001]


@pytest.mark.parametrize("content", BAD_JSON, ids=["empty", "cut", "bytes", "deep", "digits"])
def test_json_is_read_or_named(tmp_path, content):
    (tmp_path / "good.json").write_text(json.dumps({"a": [1]}))
    (tmp_path / "bad.json").write_bytes(content)
    assert read_json(tmp_path / "good.json", "repeat", MemoryBudget()) == {"a": [1]}
    for encoding in ("utf-8-sig", "utf-16"):  # with the marks of Windows programs
        (tmp_path / "marked.json").write_text('{"a": "é"}', encoding=encoding)
        assert read_json(tmp_path / "marked.json", "repeat", MemoryBudget()) == {"a": "é"}
    with pytest.raises(InputError, match=r"bad\.json: not JSON.*; repeat$"):
        read_json(tmp_path / "bad.json", "repeat", MemoryBudget())


def test_files_that_are_none_are_named(tmp_path):
    for path, says in (
        (tmp_path, "no regular file"),
        (tmp_path / "none", "no such file"),
        (tmp_path / ("x" * 5000), "File name too long"),
    ):
        with pytest.raises(InputError, match=says):
            read_bytes(path, "check the path", MemoryBudget())
    (tmp_path / "large").write_bytes(bytes(100))
    with pytest.raises(InputError, match="large: would take"):
        read_bytes(tmp_path / "large", "check the path", MemoryBudget(99))
