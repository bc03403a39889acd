"""What is known of a photo survives its file, entire or in part."""

import numpy as np
import pytest

from maquette.app.known import with_known, write_known
from maquette.types import Focal, GivenGeometry, SceneInput

BARE = SceneInput(np.zeros((4, 6, 3), np.uint8), (), focal=Focal(1.0, "EXIF"))


@pytest.mark.parametrize("parts", [(), ("depth",), ("intrinsics", "down")])
def test_a_round_trip(tmp_path, parts):
    arrays = {
        "depth": np.full((4, 6), np.nan, np.float32),
        "intrinsics": np.eye(3),
        "down": np.array([0, 1.0, 0]),
    }
    known = GivenGeometry(metric=True, source="a.png", **{key: arrays[key] for key in parts})
    write_known(tmp_path / "known.npz", known, Focal(0.8, "given") if parts else None)
    found = with_known(BARE, tmp_path / "known.npz")
    for key in arrays:
        value = getattr(found.geometry, key)
        assert (value is None) == (key not in parts)
        assert value is None or np.array_equal(value, arrays[key], equal_nan=True)
    assert found.geometry.source == "a.png" and found.geometry.metric
    assert found.focal.ratio == (0.8 if parts else 1.0)
