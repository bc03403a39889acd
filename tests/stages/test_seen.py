"""What a network of others sees goes the way of what a user gives."""

import numpy as np
import pytest

from maquette.checkpoints.depth_networks import DepthNetwork, SeenDepth
from maquette.errors import InputError
from maquette.stages.seen import from_inverse, with_seen_depth
from maquette.types import Focal, GivenGeometry, InstanceMask, SceneInput

SIZE = (40, 60)
DEPTH = (2 + np.add.outer(np.arange(40) / 40, np.arange(60) / 30)).astype(np.float32)


def given(**fields):
    mask = np.zeros(SIZE, bool)
    mask[10:30, 10:50] = True
    image = np.zeros((*SIZE, 3), np.uint8)
    return SceneInput(image, (InstanceMask(1, mask),), **fields)


def network(**fields):
    asked = []

    def look(photo, focal):
        asked.append(focal)
        return SeenDepth(**{"depth": DEPTH, "metric": True} | fields)

    return DepthNetwork("eye", look), asked


def nobody(_):
    raise AssertionError("our own depth is not needed")


def test_a_metric_network_gives_depth_and_camera():
    eye, asked = network(focal=0.9)
    seen = with_seen_depth(given(), eye, nobody).geometry
    assert seen.metric and seen.source == "eye" and (seen.depth == DEPTH).all() and asked == [None]
    assert seen.intrinsics[0, 0] == pytest.approx(54) and seen.intrinsics[0, 2] == 30


def test_what_the_user_gives_stays():
    matrix = np.array([[30.0, 0, 31], [0, 30, 20], [0, 0, 1]])
    eye, asked = network(focal=0.9)
    known = GivenGeometry(intrinsics=matrix, down=np.array([0, 1.0, 0]))
    seen = with_seen_depth(given(geometry=known, focal=Focal(0.7, "EXIF")), eye, nobody).geometry
    assert (seen.intrinsics == matrix).all() and (seen.down == [0, 1, 0]).all()
    assert asked == [pytest.approx(0.5)]
    with_seen_depth(given(focal=Focal(0.7, "EXIF")), eye, nobody)
    assert asked[-1] == 0.7
    with pytest.raises(InputError, match="one of the two"):
        with_seen_depth(given(geometry=GivenGeometry(depth=DEPTH)), eye, nobody)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_inverse_depth_is_fitted_to_our_own(noise):
    rng = np.random.default_rng(0)
    inverse = (1 / DEPTH - 0.1) * 7
    own = 1.5 * DEPTH * (1 + noise * rng.standard_normal(SIZE))
    own[12:14, 10:50] *= 3  # our own may be quite wrong somewhere
    eye, _ = network(depth=inverse.astype(np.float32), metric=False, inverse=True)
    seen = with_seen_depth(given(), eye, lambda bare: own).geometry
    assert not seen.metric and seen.intrinsics is None
    off = np.abs(np.log(seen.depth / (1.5 * DEPTH)))
    assert np.median(off) < 0.02 + 2 * noise


def test_a_reverse_order_is_not_followed():
    objects = np.ones(SIZE, bool)
    seen = SeenDepth(DEPTH, False, inverse=True)  # grows where it should shrink
    depth = from_inverse(seen, DEPTH, objects)
    assert np.corrcoef(depth.ravel(), DEPTH.ravel())[0, 1] < 0  # its own order is kept
    assert np.isfinite(depth).mean() > 0.5 and (depth[np.isfinite(depth)] > 0).all()


def test_a_blind_network_is_said():
    eye, _ = network(depth=np.full(SIZE, np.nan, np.float32))
    with pytest.raises(InputError, match="sees no surface"):
        with_seen_depth(given(), eye, nobody)
