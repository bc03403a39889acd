"""A stored depth map says nothing of a camera that its file has not."""

import numpy as np

from maquette.given.stored import StoredDepth


def test_camera_and_points_are_optional():
    stored = StoredDepth(np.ones((2, 3)), True, 16, "depth.png")
    assert stored.intrinsics is None and stored.points is None
