"""Framing: sizes and crops of the original processors, whitening, padding."""

import numpy as np
import pytest
from PIL import Image

from maquette.errors import CheckpointError
from maquette.framing.crops import (
    Framing,
    centre_crop,
    frame,
    framing_from_config,
    pad_square,
    whiten,
)

MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.2, 0.2)


def ramp(height, width):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1), np.zeros(x.shape)], -1
    ).astype(np.uint8)


@pytest.mark.parametrize("size", [(60, 200), (200, 60), (64, 64)])
def test_the_crop_shows_the_middle_of_the_picture(size):
    picture = frame(ramp(*size), Framing(48, (32, 32), MEAN, STD))
    assert picture.shape == (32, 32, 3) and picture.dtype == np.float32
    np.testing.assert_allclose(picture.mean((0, 1))[:2], 0.5, atol=0.02)
    shown = picture[:, -1, 0].mean() - picture[:, 0, 0].mean()
    assert shown == pytest.approx(31 / 48 * min(size) / size[1], abs=0.02)


def test_without_a_shortest_edge_the_aspect_is_given_up():
    picture = frame(ramp(40, 90), Framing(None, (24, 30), MEAN, STD))
    assert picture.shape == (24, 30, 3) and picture[:, -1, 0].mean() > 0.97


def test_centre_crop_pads_with_black_what_is_too_small():
    image = np.ones((3, 6, 3), np.uint8)
    cropped = centre_crop(image, (6, 4))
    assert (
        cropped.shape == (6, 4, 3)
        and cropped.sum() == 3 * 4 * 3
        and (cropped[0] == 0).all()
        and (cropped[-1] == 0).all()
    )
    inner = np.arange(49).reshape(7, 7)
    np.testing.assert_array_equal(centre_crop(inner, (3, 3)), inner[2:5, 2:5])


def test_the_processor_file_is_read_in_its_spellings():
    colours = {"image_mean": MEAN, "image_std": STD}
    first = framing_from_config(
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 220}, **colours}
    )
    assert first == Framing(256, (224, 220), MEAN, STD)
    assert (
        framing_from_config({"size": 256, "crop_size": 224, "resample": 2, **colours}).resample
        == Image.Resampling.BILINEAR
    )
    fixed = framing_from_config(
        {"size": {"height": 30, "width": 40}, "do_center_crop": False, **colours}
    )
    assert fixed == Framing(None, (30, 40), MEAN, STD)


@pytest.mark.parametrize(
    "config, named",
    [
        ({"size": 256, "image_mean": MEAN, "image_std": STD}, "does not crop"),
        ({"crop_size": 224, "image_mean": MEAN}, r"image_std \(\)"),
    ],
)
def test_what_the_processor_file_lacks_is_named(config, named):
    with pytest.raises(CheckpointError, match=named):
        framing_from_config(config)


def test_whitening_keeps_the_instance_in_its_place():
    image = ramp(8, 9)
    mask = np.zeros((8, 9), bool)
    mask[2:4, 3:6] = True
    white = whiten(image, mask)
    assert (
        (white[~mask] == 255).all()
        and (white[mask] == image[mask]).all()
        and white.dtype == np.uint8
    )


def test_padding_is_square_and_gives_room_only_where_objects_touch_the_border():
    image = ramp(40, 60)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 15:25, 20:30] = True
    square, padded = pad_square(image, mask)
    assert (
        square.shape == (60, 60, 3)
        and (square[:40] == image).all()
        and (square[40:] == 255).all()
        and padded[0, :40].sum() == 100
    )
    mask[0, 0:3, 20:30] = True
    square, padded = pad_square(image, mask)
    assert (
        square.shape == (72, 72, 3)
        and (square[4:44, 6:66] == image).all()
        and padded.sum() == mask.sum()
    )
    assert (padded[0, 4:44, 6:66] == mask[0]).all()
