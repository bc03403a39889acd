"""What was measured is what is perceived, whatever the network says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import lift, pitch_of
from maquette.models.conditioning import camera_from_parameters, camera_parameters
from maquette.models.image_encoder import GeometryNet
from maquette.stages.measured import (
    Measured,
    down_of_pitch,
    filled,
    floors,
    posed_camera,
    upright_rotation,
    without_mixed_pixels,
)
from maquette.stages.perceive import perceive
from maquette.types import GROUND, Focal, GivenGeometry, Support
from tests.given.scenery import HEIGHT, WIDTH, scenery
from tests.tiny import GEOMETRY


def perceived(truth, **known):
    torch.manual_seed(0)
    depth = np.where(np.isfinite(truth.depth), truth.depth, np.nan).astype(np.float32)
    geometry = GivenGeometry(depth, True, truth.camera.intrinsics, **known)
    return perceive(GeometryNet(GEOMETRY).eval(), replace(truth.given, geometry=geometry))


@pytest.mark.parametrize("roll", [0.0, 0.15])
@pytest.mark.parametrize("centre", [(80.0, 60.0), (95.0, 50.0)])
def test_lengths_and_upright_are_the_truth(roll, centre):
    """An untrained network, so nothing else can make them right."""
    truth = scenery(roll, centre)
    down = -truth.camera.world_from_camera[1, :3]
    found = perceived(truth, down=down)
    points = lift(truth.camera, np.where(np.isfinite(truth.depth), truth.depth, 0.0))
    seen = lift(found.camera, found.photo_depth.astype(np.float64))
    own = truth.labels > 0
    pairs = np.random.default_rng(0).integers(0, own.sum(), (500, 2)).T
    true_length, length = (
        np.linalg.norm(p[own][pairs[0]] - p[own][pairs[1]], axis=1) for p in (points, seen)
    )
    right = np.abs(length * found.metres_per_unit - true_length) < 1e-4
    assert right.mean() > 0.98  # all but the slivers of a side that could be mixed pixels
    heights = seen[own][:, 1] * found.metres_per_unit
    lower = heights - np.median(heights)
    np.testing.assert_allclose(
        np.quantile(lower, [0.02, 0.98]),
        np.quantile(points[own][:, 1] - np.median(points[own][:, 1]), [0.02, 0.98]),
        atol=6e-3,
    )
    assert (np.abs(found.points[found.picture.labels > 0]) < 0.52).all()


def test_gravity_is_read_off_the_ground_when_the_estimate_is_near():
    truth = scenery()
    down = -truth.camera.world_from_camera[1, :3]
    parameters = camera_parameters(truth.camera)
    parameters[0] += 0.2
    camera = posed_camera(parameters, GivenGeometry(), WIDTH, HEIGHT, None)
    assert pitch_of(camera) == pytest.approx(pitch_of(truth.camera) + 0.2, abs=1e-6)
    right = posed_camera(parameters, GivenGeometry(), WIDTH, HEIGHT, down)
    assert pitch_of(right) == pytest.approx(pitch_of(truth.camera), abs=1e-6)


def test_a_centred_camera_without_gravity_is_that_of_the_parameters():
    parameters = np.array([0.4, 0.3, 0.05, -0.1, 0.7])
    ours = posed_camera(parameters, GivenGeometry(), WIDTH, HEIGHT, None)
    theirs = camera_from_parameters(parameters, WIDTH, HEIGHT)
    np.testing.assert_allclose(ours.world_from_camera, theirs.world_from_camera, atol=1e-12)
    np.testing.assert_allclose(ours.intrinsics, theirs.intrinsics)


@pytest.mark.parametrize("pitch", [-0.2, 0.0, 0.5, 1.2])
def test_the_middle_ray_looks_down_by_the_pitch_along_minus_z(pitch):
    ray = np.array([0.2, -0.1, 1.0])
    down = down_of_pitch(ray, pitch)
    rotation = upright_rotation(down, ray)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    x, y, z = rotation @ ray / np.linalg.norm(ray)
    assert (x, y) == pytest.approx((0.0, -np.sin(pitch)), abs=1e-9) and z < 0
    assert down[0] == 0  # no roll


def test_unknown_pixels_take_the_estimate_and_known_ones_never_do():
    truth = scenery()
    rng = np.random.default_rng(0)
    own = truth.labels > 0
    known = np.where(own & (rng.random(own.shape) < 0.5), truth.depth, np.nan)
    rough = np.where(own, 0.5 * truth.depth, 1.0)  # the right shape, half as far
    depth = filled(known, rough, truth.labels)
    np.testing.assert_allclose(depth[own], truth.depth[own], rtol=0.02)
    there = np.isfinite(known)
    np.testing.assert_array_equal(depth[there], known[there])


def test_to_be_told_what_is_estimated_changes_nothing():
    """Intrinsics of the centred camera that a known focal length means anyway."""
    torch.manual_seed(0)
    net = GeometryNet(replace(GEOMETRY, layout_blocks=1)).eval()
    given = replace(scenery().given, focal=Focal(0.9, "given"))
    plain = perceive(net, given)
    told = perceive(net, replace(given, geometry=GivenGeometry(intrinsics=plain.camera.intrinsics)))
    np.testing.assert_allclose(told.depth, plain.depth, rtol=1e-6)
    np.testing.assert_allclose(
        told.camera.world_from_camera, plain.camera.world_from_camera, atol=1e-9
    )
    assert told.boxes.keys() == plain.boxes.keys() and told.supports == plain.supports


def test_a_camera_alone_changes_the_lens_and_not_the_unit():
    truth = scenery()
    torch.manual_seed(0)
    geometry = GivenGeometry(intrinsics=truth.camera.intrinsics)
    found = perceive(GeometryNet(GEOMETRY).eval(), replace(truth.given, geometry=geometry))
    np.testing.assert_allclose(found.camera.intrinsics, truth.camera.intrinsics)
    assert found.metres_per_unit is None and found.given_depth is None


def test_mixed_pixels_at_outlines_go_and_surfaces_stay():
    truth = scenery()
    depth = np.where(np.isfinite(truth.depth), truth.depth, np.nan)
    own = truth.labels > 0
    kept = np.isfinite(without_mixed_pixels(depth, truth.labels)[own]).mean()
    assert kept > 0.99  # a sliver of a side cannot be told from mixed pixels
    rows, columns = np.nonzero(truth.labels == 1)
    first = rows == rows.min()
    mixed = depth.copy()
    mixed[rows[first], columns[first]] = 6.0  # what lies behind
    cleaned = without_mixed_pixels(mixed, truth.labels)
    assert np.isnan(cleaned[rows[first], columns[first]]).all()
    assert np.isfinite(cleaned[own]).sum() >= 0.99 * own.sum() - first.sum()


def test_a_floor_is_what_the_depth_shows_under_the_foot():
    """A box on the ground, one on that box, and one whose foot is hidden."""
    there = scenery()
    depth = np.where(np.isfinite(there.depth), there.depth, np.nan)
    seen = SimpleNamespace(camera=there.camera)
    known = Measured(seen, {}, None, 1.0, depth)
    supports = {1: Support(GROUND), 2: Support(None)}
    low = floors(known, supports, there.labels)
    assert low[1] == pytest.approx(0.0, abs=0.01)
    assert low[2] == low[1]  # not seen: the lowest ground
    stacked = floors(known, {1: Support(GROUND), 2: Support(1)}, there.labels)
    assert stacked[2] <= there.boxes[2][0, 1] + 0.02  # it is seen further down than that
    assert floors(Measured(seen, {}, None, None), supports, there.labels) == {}
