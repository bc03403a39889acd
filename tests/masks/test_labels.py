import numpy as np
from PIL import Image

from maquette.masks.labels import VOID, read_label_picture


def _picture(array, **options):
    return read_label_picture(Image.fromarray(array, **options), "masks")


def test_grey_values_are_labels_even_in_a_colour_picture():
    grey = np.zeros((20, 30), np.uint8)
    grey[2:9, 3:9] = 3
    grey[10:, 20:] = 17
    assert (_picture(grey).labels == grey).all()
    assert (_picture(np.repeat(grey[..., None], 3, axis=2)).labels == grey).all()


def test_many_one_pixel_labels_are_not_taken_for_noise():
    grey = np.zeros((20, 30), np.uint8)
    grey[::4, ::4] = np.arange(1, 41).reshape(5, 8)
    assert (_picture(grey).labels == grey).all()


def test_undecided_outlines_of_pascal_voc_are_background():
    index = np.zeros((20, 30), np.uint8)
    index[4:12, 4:12] = 1
    index[4, 4:12] = 255
    image = Image.fromarray(index).convert("P")
    palette = np.zeros((256, 3), np.uint8)
    palette[1] = (128, 0, 0)
    palette[255] = VOID
    image.putpalette(palette.tobytes())
    picture = read_label_picture(image, "masks")
    assert (picture.labels == (index == 1)).all() and "undecided" in picture.warnings[0]


def test_transparent_pixels_are_background():
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[:, :15] = (200, 0, 0, 255)
    rgba[:, 15:] = (0, 0, 200, 0)
    assert (_picture(rgba).labels == (rgba[..., 3] > 0)).all()


def test_near_colours_stay_apart_in_a_clean_picture():
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:5] = (10, 0, 0)
    rgb[5:9] = (11, 0, 0)
    assert np.unique(_picture(rgb).labels).tolist() == [0, 1, 2]
