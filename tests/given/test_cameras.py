"""One camera in every notation is one camera."""

import json

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.given.cameras import read_camera

OPENCV = np.array([[600.0, 0, 319.5], [0, 610.0, 239.5], [0, 0, 1]])  # first pixel's centre at 0
OURS = OPENCV + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
FOUR = "600 610 319.5 239.5"


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.txt", FOUR),
        ("k.txt", "600 0 319.5\n0 610 239.5\n0 0 1\n"),
        ("k.txt", "600, 0, 319.5, 0; 0, 610, 239.5, 0; 0 0 1 0".replace(";", "\n")),
        ("k.json", {"fx": 600, "fy": 610, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480}),
        ("k.json", {"intrinsic_matrix": [600, 0, 0, 0, 610, 0, 319.5, 239.5, 1]}),  # by columns
        ("k.json", {"camera_matrix": {"rows": 3, "cols": 3, "data": OPENCV.ravel().tolist()}}),
        ("k.json", {"K": OPENCV.tolist()}),
        ("k.yaml", "fu: 600\nfv: 610\npu: 319.5\npv: 239.5\n"),
        ("cameras.txt", "# list\n1 PINHOLE 640 480 600 610 320 240\n"),
        ("transforms.json", {"fl_x": 600, "fl_y": 610, "cx": 320, "cy": 240, "w": 640, "h": 480}),
        (
            "transforms.json",
            {
                "w": 640,
                "h": 480,
                "frames": [
                    {"file_path": "images/other.png", "fl_x": 1, "fl_y": 1, "cx": 1, "cy": 1},
                    {
                        "file_path": "images/desk.png",
                        "fl_x": 600,
                        "fl_y": 610,
                        "cx": 320,
                        "cy": 240,
                    },
                ],
            },
        ),
    ],
)
def test_every_notation_is_the_same_camera(tmp_path, name, content):
    camera = read_camera(write(tmp_path / name, content), "photos/desk.png")
    np.testing.assert_allclose(camera.matrix, OURS)


def test_numbers_and_arrays(tmp_path):
    np.save(tmp_path / "k.npy", OPENCV)
    np.savez(tmp_path / "k.npz", intrinsics=OPENCV)
    given = [FOUR, FOUR.replace(" ", ","), OPENCV, [600, 610, 319.5, 239.5]]
    for source in [*given, tmp_path / "k.npy", tmp_path / "k.npz"]:
        np.testing.assert_allclose(read_camera(source).matrix, OURS)


def test_shares_of_the_picture_are_told_from_pixels():
    shares = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    camera = read_camera(shares)
    assert camera.normalised and np.array_equal(camera.matrix, shares)
    assert not read_camera(OPENCV).normalised


def test_a_lens_that_bends_is_told(tmp_path):
    line = "1 SIMPLE_RADIAL 640 480 600 320 240 0.1"
    assert "undistort" in read_camera(write(tmp_path / "c.txt", line)).warnings[0]


def test_an_angle_and_a_size_are_a_camera(tmp_path):
    angle = 2 * np.arctan(0.5 * 640 / 600)
    content = {"camera_angle_x": angle, "w": 640, "h": 480, "frames": []}
    camera = read_camera(write(tmp_path / "transforms.json", content))
    np.testing.assert_allclose(camera.matrix, [[600, 0, 320], [0, 600, 240], [0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("k.txt", "600 610 320", "3 numbers"),
        ("k.txt", "six hundred", "something else than numbers"),
        ("k.txt", "-600 610 320 240", "above 0"),
        ("k.json", {"width": 640}, "no focal length"),
        ("k.json", {"fx": "long", "width": 4, "height": 4}, "no numbers"),
        ("k.json", [1, 2], "named numbers"),
        ("k.json", "{", "not JSON"),
        ("k.yaml", "a: [", "not YAML"),
        ("c.txt", "1 PINHOLE 64 48 60 60 32 24\n2 PINHOLE 64 48 60 60 32 24", "2 cameras"),
        ("c.txt", "1 FISHEYE 64 48 60 60 32 24", "FISHEYE is not one of"),
        ("k.bin", "\x00\x01", "something else than numbers"),
    ],
)
def test_what_is_no_camera_is_refused_in_one_line(tmp_path, name, content, said):
    with pytest.raises(InputError, match=said):
        read_camera(write(tmp_path / name, content))


def test_an_array_of_text_is_no_camera(tmp_path):
    np.save(tmp_path / "k.npy", np.array([["", "a"]]))
    with pytest.raises(InputError, match="holds no numbers"):
        read_camera(tmp_path / "k.npy")


def test_the_angles_of_moge_are_a_centred_camera(tmp_path):
    path = tmp_path / "fov.json"
    path.write_text('{"fov_x": 90, "fov_y": 53.13010235415598}')
    stored = read_camera(path)
    assert stored.normalised
    assert np.allclose(stored.matrix, [[0.5, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1]])
    path.write_text('{"fov_x": 190, "fov_y": 53}')
    with pytest.raises(InputError, match="190 and 53 degrees"):
        read_camera(path)
