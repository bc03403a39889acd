"""Depth maps come back as they were written, whatever the file; what is none is refused."""

import numpy as np
import pytest
from PIL import Image

from maquette.errors import InputError, MissingExtraError
from maquette.given.depth import read_depth, read_points

MILLIMETRES = np.random.default_rng(0).integers(0, 5000, (12, 16)).astype(np.uint16)
METRES = (MILLIMETRES / 1000).astype(np.float32)


def write_npz(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize("name", ["d.png", "d.tif", "d.npy"])
def test_whole_numbers_of_16_bits_come_back(tmp_path, name):
    path = tmp_path / name
    if name == "d.npy":
        np.save(path, MILLIMETRES)
    else:
        Image.fromarray(MILLIMETRES).save(path)
    stored = read_depth(path)
    assert stored.whole and stored.bits == 16
    np.testing.assert_array_equal(stored.values, MILLIMETRES)


@pytest.mark.parametrize("name", ["d.tif", "d.npy", "d.npz"])
def test_fractions_come_back(tmp_path, name):
    path = tmp_path / name
    if name == "d.tif":
        Image.fromarray(METRES).save(path)
    elif name == "d.npy":
        np.save(path, METRES[None])  # as networks leave them
    else:
        np.savez(path, depth=METRES)
    stored = read_depth(path)
    assert not stored.whole
    np.testing.assert_array_equal(stored.values, METRES)


def test_archives_of_moge_and_of_depth_anything(tmp_path):
    matrix = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    mask = MILLIMETRES > 1000
    np.savez(tmp_path / "moge.npz", depth=METRES, mask=mask, intrinsics=matrix)
    stored = read_depth(tmp_path / "moge.npz")
    np.testing.assert_array_equal(stored.intrinsics, matrix)
    np.testing.assert_array_equal(np.isnan(stored.values), ~mask)
    pixels = matrix[None] * [[[16], [12], [1]]]
    np.savez(tmp_path / "da3.npz", depth=METRES[None], conf=METRES[None], intrinsics=pixels)
    stored = read_depth(tmp_path / "da3.npz")
    np.testing.assert_array_equal(stored.intrinsics, pixels[0])
    np.testing.assert_array_equal(stored.values, METRES)


def test_the_depth_of_points_is_their_z(tmp_path):
    points = np.random.default_rng(1).normal(size=(12, 16, 3))
    np.save(tmp_path / "p.npy", points)
    np.testing.assert_array_equal(read_points(tmp_path / "p.npy").values, points[..., 2])
    np.testing.assert_array_equal(read_points(points).points, points)


def test_exr_is_read_or_its_extra_named(tmp_path):
    path = tmp_path / "d.exr"
    try:
        import OpenEXR
    except ImportError:
        path.write_bytes(b"v/1\x01")
        with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[exr\]'"):
            read_depth(path)
        return
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": METRES}).write(str(path))
    np.testing.assert_array_equal(read_depth(path).values, METRES)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: Image.new("RGB", (4, 4)).save(p / "x.png"), "3 channels"),
        (lambda p: (p / "x.png").write_bytes(b"no picture"), "not an image"),
        (lambda p: np.save(p / "x.npy", np.zeros((3, 4, 5))), r"shape \(H, W\)"),
        (lambda p: np.save(p / "x.npy", np.array([["a", "b"]])), "numbers"),
        (lambda p: np.savez(p / "x.npz", a=METRES, b=METRES), "no array 'depth' but a, b"),
        (lambda p: np.savez(p / "x.npz", depth=np.stack([METRES] * 3)), "3 pictures"),
        (lambda p: (p / "x.npz").write_bytes(b"PK"), "sound"),
        (lambda p: None, "no such file"),
    ],
)
def test_what_is_no_depth_map_is_refused_in_one_line(tmp_path, make, said):
    make(tmp_path)
    (path,) = [*tmp_path.iterdir()] or [tmp_path / "missing.png"]
    with pytest.raises(InputError, match=said):
        read_depth(path)


def test_points_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"\(H, W, 3\)"):
        read_points(np.zeros((4, 5)))


def test_points_of_an_exr_are_red_green_blue_and_a_cloud_has_no_pixels(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    points = np.random.default_rng(0).random((12, 16, 3)).astype(np.float32)
    channels = {name: np.ascontiguousarray(points[..., k]) for k, name in enumerate("RGB")}
    path = tmp_path / "points.exr"
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, channels).write(str(path))
    stored = read_points(path)
    assert np.allclose(stored.points, points) and np.allclose(stored.values, points[..., 2])
    with pytest.raises(InputError, match="which point belongs to which pixel"):
        read_points(tmp_path / "cloud.ply")
