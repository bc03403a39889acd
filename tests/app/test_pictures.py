"""Pictures of the app lose nothing."""

import io

import numpy as np
from PIL import Image

from maquette.app import pictures
from maquette.types import InstanceMask

RNG = np.random.default_rng(0)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_png_is_lossless_for_colour_and_grey(tmp_path):
    for shape in ((9, 7, 3), (9, 7)):
        image = RNG.integers(0, 256, shape, dtype=np.uint8)
        np.testing.assert_array_equal(decoded(pictures.png(image)), image)
    pictures.write(tmp_path / "a.png", pictures.png(image))
    np.testing.assert_array_equal(pictures.read_picture(tmp_path / "a.png", "L"), image)


def test_equal_masks_are_one_file_and_come_back(tmp_path):
    mask = RNG.random((13, 21)) > 0.5
    names = {pictures.write_mask(tmp_path, mask), pictures.write_mask(tmp_path, mask.copy())}
    assert (
        len(names) == 1
        and pictures.write_mask(tmp_path, ~mask) not in names
        and pictures.write_mask(tmp_path, mask.T) not in names
    )
    np.testing.assert_array_equal(pictures.read_mask(tmp_path, names.pop()), mask)
    assert len(list(tmp_path.iterdir())) == 3


def test_label_pictures_hold_large_labels_and_mark_overlaps():
    large = np.zeros((6, 8), bool)
    small = np.zeros((6, 8), bool)
    large[:, :5] = True
    small[2:4, 3:7] = True
    picture = decoded(
        pictures.label_picture([InstanceMask(1000, small), InstanceMask(7, large)], (6, 8))
    ).astype(int)
    labels = picture[..., 0] + 256 * picture[..., 1]
    np.testing.assert_array_equal(labels, np.where(small, 1000, np.where(large, 7, 0)))
    np.testing.assert_array_equal(picture[..., 2] == 255, large & small)
    assert not decoded(pictures.label_picture([], (6, 8))).any()


def test_thumbnails_are_small_and_keep_the_shape():
    assert decoded(pictures.thumbnail(np.zeros((300, 900, 3), np.uint8))).shape == (107, 320, 3)
