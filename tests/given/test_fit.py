"""Depth of every unit, kind and size is the same depth; what is of another photo is refused."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from maquette.errors import InputError
from maquette.geometry.cameras import pixel_rays
from maquette.given.depth import read_points
from maquette.given.fit import (
    GeometrySource,
    Shown,
    camera_of_points,
    check_outlines,
    fit_geometry,
    outline_steps,
    ray_lengths,
)
from maquette.types import Focal
from tests.given.scenery import HEIGHT, WIDTH, scenery

TRUTH = scenery()
DEPTH = np.where(TRUTH.depth < 10, TRUTH.depth, np.nan)
MATRIX = TRUTH.camera.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
PHOTO = Shown((HEIGHT, WIDTH), TRUTH.labels)


def depth_of(source, photo=PHOTO):
    return fit_geometry(source, photo).geometry


@pytest.mark.parametrize(
    ("stored", "unit", "kind"),
    [
        (DEPTH.astype(np.float32), "auto", "z"),
        (np.nan_to_num(1000 * DEPTH).round().astype(np.uint16), "auto", "z"),
        (np.nan_to_num(1000 * DEPTH).astype(np.float32), "mm", "z"),
        (np.nan_to_num(5000 * DEPTH).round().astype(np.uint16), "0.0002", "z"),
        (100 * DEPTH, "cm", "z"),
        (DEPTH * ray_lengths(TRUTH.camera.intrinsics, DEPTH.shape), "m", "ray"),
        (1 / DEPTH, "m", "inverse"),
        (np.where(np.isnan(DEPTH), np.inf, DEPTH), "auto", "z"),
    ],
)
def test_every_unit_and_kind_is_the_same_depth(stored, unit, kind):
    found = depth_of(GeometrySource(stored, unit, kind, MATRIX))
    assert found.metric
    np.testing.assert_allclose(found.depth, DEPTH, rtol=1e-3)
    np.testing.assert_allclose(found.intrinsics, TRUTH.camera.intrinsics)


def test_depth_of_no_known_unit_is_not_metric():
    assert not depth_of(GeometrySource(7 * DEPTH, "relative")).metric
    assert not depth_of(GeometrySource(1 / DEPTH, "auto", "inverse")).metric


def test_large_fractions_are_millimetres_with_a_warning():
    fitted = fit_geometry(GeometrySource(1000 * DEPTH), PHOTO)
    assert "millimetres" in fitted.warnings[0]
    np.testing.assert_allclose(fitted.geometry.depth, DEPTH, rtol=1e-5)


def test_a_map_of_half_the_size_and_a_camera_of_its_own_size(tmp_path):
    coarse = DEPTH[::2, ::2]
    camera = {"fx": 75, "fy": 75, "cx": 39.5, "cy": 29.5, "width": 80, "height": 60}
    (tmp_path / "k.json").write_text(json.dumps(camera))
    found = depth_of(GeometrySource(coarse, intrinsics=tmp_path / "k.json"))
    np.testing.assert_allclose(found.intrinsics, TRUTH.camera.intrinsics)
    assert found.depth.shape == DEPTH.shape
    agree = np.abs(found.depth / DEPTH - 1) < 0.05
    assert agree[np.isfinite(DEPTH)].mean() > 0.95


def test_points_tell_their_camera():
    points = pixel_rays(TRUTH.camera) * DEPTH[..., None]
    found = depth_of(GeometrySource(points=points))
    np.testing.assert_allclose(found.intrinsics, TRUTH.camera.intrinsics, atol=1e-6)
    np.testing.assert_allclose(found.depth, DEPTH, rtol=1e-6)
    camera = camera_of_points(read_points(points))
    assert (camera.width, camera.height) == (WIDTH, HEIGHT)
    with pytest.raises(InputError, match="no pinhole camera"):
        depth_of(GeometrySource(points=points * [1, -1, 1]))  # y upwards
    with pytest.raises(InputError, match="no pinhole camera"):
        depth_of(GeometrySource(points=points * [1e300, 1, 1]))


def test_depth_of_another_photo_is_refused():
    with pytest.raises(InputError, match="of another photo"):
        depth_of(GeometrySource(DEPTH[:, ::-1]))
    with pytest.raises(InputError, match="from 3 to 3 in the whole photo"):
        depth_of(GeometrySource(np.full_like(DEPTH, 3.0)))
    with pytest.raises(InputError, match="not of one picture"):
        depth_of(GeometrySource(DEPTH[:, :100]))
    with pytest.raises(InputError, match="turn it"):
        depth_of(GeometrySource(DEPTH.T))


def test_ground_that_recedes_has_no_outlines():
    """z = height / (slope of the ray): far ground changes by several per cent a pixel, and a flat
    thing on it by no more.
    """
    rows = np.arange(HEIGHT)[:, None] + np.zeros(WIDTH)
    ground = 40.0 / (rows + 12.0)
    labels = np.zeros((HEIGHT, WIDTH), int)
    labels[5:15, 20:60] = 1
    assert np.abs(np.diff(np.log(ground), axis=0))[4].mean() > 0.05
    assert outline_steps(ground, labels).max() < 1e-6
    raised = np.where(labels == 1, 0.8 * ground, ground)
    np.testing.assert_allclose(outline_steps(raised, labels), -np.log(0.8), atol=1e-6)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (GeometrySource(np.zeros((HEIGHT, WIDTH))), "nothing is known"),
        (GeometrySource(-DEPTH), "negative"),
        (GeometrySource(np.full((HEIGHT, WIDTH), np.nan)), "nothing is known"),
        (GeometrySource(DEPTH, "feet"), "a unit of depth"),
        (GeometrySource(DEPTH, depth_kind="sideways"), "a kind of depth"),
        (GeometrySource(DEPTH, depth_kind="ray"), "need a camera"),
        (GeometrySource(np.nan_to_num(DEPTH * 50).astype(np.uint8)), "8 bits"),
        (GeometrySource(DEPTH, points=np.zeros((2, 2, 3))), "give one of the two"),
        (GeometrySource(DEPTH, intrinsics="900,900,640,360"), "not near the middle"),
        (GeometrySource(gravity="0,-1,0"), "upwards"),
        (GeometrySource(gravity="down"), "three numbers"),
        (GeometrySource(gravity=(0, 0, 0)), "three numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(source, said):
    with pytest.raises(InputError, match=said):
        depth_of(source)


def test_a_camera_that_the_photo_contradicts_is_refused_with_both_numbers():
    photo = Shown((HEIGHT, WIDTH), TRUTH.labels, Focal(2.0, "EXIF, 72 mm"))
    with pytest.raises(InputError, match=r"0\.94 .* 2\.00"):
        depth_of(GeometrySource(intrinsics=MATRIX), photo)


def test_a_camera_of_the_full_photo_fits_the_reduced_one():
    full = (4 * HEIGHT, 4 * WIDTH)
    large = np.diag([4, 4, 1.0]) @ TRUTH.camera.intrinsics
    large[:2, 2] -= 0.5
    found = depth_of(GeometrySource(intrinsics=large), Shown(full, TRUTH.labels))
    np.testing.assert_allclose(found.intrinsics, TRUTH.camera.intrinsics)


def test_depth_from_a_file_and_an_array_are_one(tmp_path):
    whole = np.nan_to_num(1000 * DEPTH).round().astype(np.uint16)
    Image.fromarray(whole).save(tmp_path / "d.png")
    one, other = (depth_of(GeometrySource(s)).depth for s in (tmp_path / "d.png", whole))
    np.testing.assert_array_equal(one, other)


def circles(centres):
    """A depth map (160, 200) of a floor with discs that stand on it, and their labels."""
    rows, columns = np.mgrid[:160, :200]
    depth = 300.0 / (rows + 60.0)
    labels = np.zeros((160, 200), int)
    for label, (row, column) in enumerate(centres, start=1):
        disc = np.hypot(rows - row, columns - column) < 20
        labels[disc] = label
        depth[disc] = 300.0 / (row + 80.0)
    return depth, labels


@pytest.mark.parametrize("fault", ["none", "noise", "blur", "holes"])
def test_a_depth_of_the_same_kind_of_scene_is_refused_and_its_own_is_not(fault):
    rng = np.random.default_rng(0)
    depth, labels = circles([(50, 40), (90, 110), (60, 160)])
    _, others = circles([(100, 60), (60, 90), (110, 150)])
    faults = {
        "none": depth,
        "noise": depth * (1 + 0.02 * rng.standard_normal(depth.shape)),
        "blur": cv2.GaussianBlur(depth, (0, 0), 4),
        "holes": np.where(rng.random(depth.shape) < 0.1, np.nan, depth),
    }
    check_outlines(faults[fault], labels, "own.png")
    with pytest.raises(InputError, match=r"other.png: has steps at \d+% .* 20% .*chance"):
        check_outlines(faults[fault], others, "other.png")


def test_a_flat_thing_on_a_floor_is_of_its_photo():
    """Nothing tells where there are no steps; what has them elsewhere does."""
    depth, _ = circles([])
    labels = np.zeros(depth.shape, int)
    labels[60:90, 50:120] = 1
    rounded = np.rint(depth * 1000) / 1000
    check_outlines(rounded, labels, "rug.png")
    stepped = np.where(np.roll(labels, (40, 60), (0, 1)) == 1, 0.6 * rounded, rounded)
    with pytest.raises(InputError, match="another photo"):
        check_outlines(stepped, labels, "rug.png")


def test_an_object_that_the_depth_says_nothing_of_is_named():
    depth = np.where(TRUTH.labels == 2, np.nan, DEPTH)
    told = fit_geometry(GeometrySource(depth, intrinsics=MATRIX), PHOTO).warnings
    assert len(told) == 1 and "no known pixel of instance 2;" in told[0]
    depth[TRUTH.labels == 1] = 0
    told = fit_geometry(GeometrySource(depth, intrinsics=MATRIX), PHOTO).warnings
    assert "no known pixel of instance 1, 2;" in told[-1]
