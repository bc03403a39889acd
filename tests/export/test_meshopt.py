"""Packed buffers, against what the original program (meshoptimizer 0.23) packed and unpacked."""

from pathlib import Path

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.export.meshopt import _filtered, unpack

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "meshopt" / "io.npz")
PACKED = [name.removesuffix("_packed") for name in GOLDEN.files if name.endswith("_packed")]
FILTERS = [name.removesuffix("_in") for name in GOLDEN.files if name.endswith("_in")]


def unpacked(name, packed, **more):
    truth = GOLDEN[name]
    mode = name.partition("_")[0].upper()
    stride = truth.shape[1] if truth.ndim == 2 else truth.itemsize
    given = {"count": len(truth), "stride": stride, "filter_name": "NONE"} | more
    return unpack(packed, mode, **given)


@pytest.mark.compiles
@pytest.mark.parametrize("name", PACKED)
def test_packed_buffers_are_what_was_packed(name):
    assert unpacked(name, GOLDEN[f"{name}_packed"].tobytes()) == GOLDEN[name].tobytes()


def test_short_indices_have_two_bytes():
    packed = GOLDEN["triangles_ball_v1_packed"].tobytes()
    found = np.frombuffer(unpacked("triangles_ball_v1", packed, stride=2), np.uint16)
    assert np.array_equal(found, GOLDEN["triangles_ball_v1"])


@pytest.mark.parametrize("name", FILTERS)
def test_filters_give_what_the_original_gives(name):
    kind = {"OCTAHEDRAL_4": np.int8, "EXPONENTIAL_12": np.uint32}
    dtype = kind.get(name.removeprefix("filter_"), np.int16)
    found = np.ascontiguousarray(_filtered(GOLDEN[f"{name}_in"], name.split("_")[1]))
    off = found.view(dtype).astype(np.int64) - GOLDEN[name].view(dtype).astype(np.int64)
    # the original takes a faster reciprocal root for bytes
    assert np.abs(off).max() <= (name == "filter_OCTAHEDRAL_4")


@pytest.mark.parametrize("name", PACKED)
def test_damaged_buffers_are_refused_or_give_as_many_bytes(name):
    packed = GOLDEN[f"{name}_packed"]
    rng = np.random.default_rng(0)
    broken = [packed[: int(length)] for length in rng.integers(0, len(packed), 20)]
    for _ in range(20):
        changed = packed.copy()
        changed[rng.integers(len(packed), size=3)] = rng.integers(256, size=3)
        broken.append(changed)
    for content in broken:
        try:
            assert len(unpacked(name, content.tobytes())) == GOLDEN[name].nbytes
        except InputError as error:
            assert "meshopt" in str(error)


def test_what_is_not_known_is_named():
    with pytest.raises(InputError, match="mode 'TEA'"):
        unpack(b"\xa0", "TEA", 1, 4, "NONE")
    packed = GOLDEN["attributes_17_12_packed"].tobytes()
    with pytest.raises(InputError, match="filter 'BLUE'"):
        unpacked("attributes_17_12", packed, filter_name="BLUE")
    with pytest.raises(InputError, match="version 1"):
        unpacked("attributes_17_12", b"\xa1" + packed[1:])
