import numpy as np
import pytest

from maquette.geometry.boxes import pixel_box
from maquette.photos.pixels import (
    connected_parts,
    crop,
    going_on,
    grown,
    large_parts,
    reduced,
    resize_mask,
    same_aspect,
    square,
    working_size,
)
from maquette.photos.pixels import disc as pixels_within
from tests.masks.pictures import disc, photo, three_masks


def test_a_box_holds_the_mask_and_touches_it_on_all_sides():
    for instance in three_masks():
        x0, y0, x1, y1 = pixel_box(instance.mask)
        inside = instance.mask[y0:y1, x0:x1]
        assert inside.sum() == instance.mask.sum()
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_a_cut_inside_of_the_picture_is_a_slice_and_beyond_it_lies_the_fill():
    image = photo()  # 48 x 64
    assert (crop(image, (10, 20, 30, 25)) == image[20:25, 10:30]).all()
    part = crop(image, (-3, 45, 5, 53), fill=(1, 2, 3))
    assert part.shape == (8, 8, 3) and (part[:3, 3:] == image[45:, :5]).all()
    assert (part[:, :3] == (1, 2, 3)).all() and (part[3:] == (1, 2, 3)).all()
    for box in ((200, 200, 204, 204), (-9, -9, -5, -5), (70, -5, 74, -1)):
        assert (crop(image, box) == 0).all()


def test_a_plane_goes_on_beyond_its_outline_and_a_step_does_not():
    rows, columns = np.indices((20, 30)).astype(float)
    own = np.zeros((20, 30), bool)
    own[6:14, 8:20] = True
    plane = 0.3 * columns - 0.2 * rows + 5
    seen = going_on(np.where(own, plane, 999.0), own, 1.0)
    assert np.allclose(seen[4:16, 6:22], plane[4:16, 6:22])
    assert np.allclose(seen[10, 25:], plane[10, 21])  # for two pixels
    stepped = going_on(np.where(own & (columns > 12), 50.0, 1.0), own, 1.0)
    assert np.allclose(stepped[own], np.where(columns > 12, 50.0, 1.0)[own])
    assert set(np.unique(stepped)) == {1.0, 50.0}


def test_parts_that_touch_at_a_corner_are_one_or_two():
    mask = np.zeros((8, 8), bool)
    mask[:3, :3] = mask[3:, 3:6] = True
    assert connected_parts(mask)[1].tolist() == [64 - 24, 24]
    number, areas = connected_parts(mask, connectivity=4)
    assert areas.tolist() == [64 - 24, 9, 15]
    assert [(number == k).sum() for k in range(3)] == areas.tolist()


@pytest.mark.parametrize(
    "size, reached",
    [((100, 200), (100, 200)), ((3000, 4000), (1536, 2048)), ((1, 4096), (1, 2048))],
)
def test_working_sizes(size, reached):
    assert working_size(size) == reached


def test_reducing_keeps_the_mean():
    image = photo()
    assert reduced(image, (48, 64)) is image
    small = reduced(image, (24, 32))
    assert small.shape == (24, 32, 3)
    assert np.abs(small.mean((0, 1)) - image.mean((0, 1))).max() < 1


@pytest.mark.parametrize(
    "a, b, agree",
    [
        ((427, 640), (213, 320), True),
        ((427, 640), (214, 320), True),
        ((1000, 1000), (1000, 1009), True),
        ((480, 640), (480, 660), False),
        ((3024, 4032), (192, 256), True),
        ((1080, 1920), (1080, 1440), False),
    ],
)
def test_same_aspect_is_symmetric(a, b, agree):
    assert same_aspect(a, b) is same_aspect(b, a) is agree


def test_a_single_pixel_survives_every_size():
    mask = np.zeros((480, 640), bool)
    mask[17, 333] = True
    for size in ((48, 64), (7, 9), (960, 1280)):
        resized = resize_mask(mask, size)
        y, x = np.argwhere(resized)[0]
        assert abs(y * 480 / size[0] - 17) <= 480 / size[0]
        assert abs(x * 640 / size[1] - 333) <= 640 / size[1]


def test_enlarging_a_mask_by_a_whole_number_repeats_its_pixels():
    mask = disc(20, 30, 12, 8, 6)
    assert (resize_mask(mask, (60, 90)) == mask.repeat(3, 0).repeat(3, 1)).all()
    assert resize_mask(mask, (20, 30)) is mask


def test_a_mask_grows_as_far_as_its_kernel_reaches():
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    y, x = np.mgrid[-10:11, -10:11]
    np.testing.assert_array_equal(grown(mask, square(3)), np.maximum(abs(x), abs(y)) <= 3)
    np.testing.assert_array_equal(grown(mask, square(1), 4), grown(mask, square(4)))
    round_one = grown(mask, pixels_within(4))
    assert round_one[10, 6] and round_one[14, 10] and not round_one[6, 6]


def test_large_parts_have_a_share_of_the_largest():
    assert large_parts(np.array([1000, 4, 100, 5]), 0.05).tolist() == [2, 3]
