"""Record3D's archives. Where the library that unpacks LZFSE is missing, another packing stands in
for it.
"""

import json
import sys
import types
import zipfile
import zlib

import numpy as np
import pytest

from maquette.errors import InputError, MissingExtraError
from maquette.given.depth import read_depth
from maquette.given.fit import GeometrySource, Shown, fit_geometry

DEPTH = (1.0 + np.add.outer(np.arange(24), np.arange(32)) / 20).astype("<f4")
DEPTH[3, 4] = np.nan
K = [300.0, 0, 0, 0, 300.0, 0, 159.5, 119.5, 1]  # column by column, of 320 x 240


@pytest.fixture
def pack(monkeypatch):
    try:
        import liblzfse
    except ImportError:
        stand_in = types.SimpleNamespace(decompress=zlib.decompress)
        monkeypatch.setitem(sys.modules, "liblzfse", stand_in)
        return zlib.compress
    return liblzfse.compress


def archive(path, pack, frames=("0",), **changes):
    metadata = {"K": K, "w": 320, "h": 240, "dw": 32, "dh": 24, "fps": 60} | changes
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata", json.dumps(metadata))
        for number, frame in enumerate(frames):
            file.writestr(f"rgbd/{frame}.depth", pack((DEPTH + number).tobytes()))
    return path


def test_depth_and_camera_of_the_frame_that_the_photo_is(tmp_path, pack):
    path = archive(tmp_path / "a.r3d", pack, ("0", "7"))
    stored = read_depth(path, "somewhere/7.jpg")
    assert np.array_equal(stored.values, DEPTH + 1, equal_nan=True) and not stored.whole
    labels = np.zeros((240, 320), np.int32)
    fitted = fit_geometry(GeometrySource(depth=path), Shown((240, 320), labels, name="7.jpg"))
    assert fitted.geometry.metric and fitted.geometry.depth.shape == (240, 320)
    expected = [[300, 0, 160], [0, 300, 120], [0, 0, 1]]  # centres at +0.5
    assert np.allclose(fitted.geometry.intrinsics, expected)


def test_one_frame_needs_no_name_and_several_do(tmp_path, pack):
    alone = archive(tmp_path / "a.r3d", pack)
    assert np.array_equal(read_depth(alone).values, DEPTH, equal_nan=True)
    several = archive(tmp_path / "b.r3d", pack, ("0", "1"))
    with pytest.raises(InputError, match=r"2 frames and none is 'photo'.*0\.jpg"):
        read_depth(several, "photo.jpg")


@pytest.mark.parametrize(
    "changes", [{"dw": 33}, {"K": [1, 2]}, {"dh": 0, "h": 0}, {"dw": 10**9}, {"w": "wide"}]
)
def test_what_is_damaged_is_one_line(tmp_path, pack, changes):
    with pytest.raises(InputError, match=r"a\.r3d|its depth") as caught:
        read_depth(archive(tmp_path / "a.r3d", pack, **changes))
    assert "\n" not in str(caught.value)


def test_no_archive_and_no_library(tmp_path, pack, monkeypatch):
    path = tmp_path / "no.r3d"
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="not a sound Record3D archive"):
        read_depth(path)
    good = archive(tmp_path / "a.r3d", pack)
    monkeypatch.setitem(sys.modules, "liblzfse", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[record3d\]'"):
        read_depth(good)
