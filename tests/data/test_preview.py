from types import SimpleNamespace

import numpy as np

from maquette.data.preview import MARGIN, PAPER, contact_sheet, palette, truth_strip

RNG = np.random.default_rng(0)


def view(size=12):
    depth = np.full((size, size), np.inf, np.float32)
    depth[2:10, 2:10] = np.linspace(1, 3, 64, dtype=np.float32).reshape(8, 8)
    instance = np.zeros((size, size), np.int32)
    instance[3:6, 3:6] = 1
    instance[6:9, 6:9] = 2
    normal = np.zeros((size, size, 3), np.float32)
    normal[2:10, 2:10] = (0, 0, 1)
    return SimpleNamespace(
        image=RNG.integers(0, 256, (size, size, 3), dtype=np.uint8),
        depth=depth,
        normal=normal,
        instance=instance,
    )


def test_colours_of_a_palette_differ():
    colours = palette(40).astype(int)
    apart = np.abs(colours[:, None] - colours).sum(-1) + 1000 * np.eye(40, dtype=int)
    assert apart.min() > 8 and np.array_equal(palette(3), palette(40)[:3])


def test_truth_shows_what_it_is_made_of():
    one = view()
    masks, depth, normal = truth_strip(one)
    assert np.array_equal(masks[0, 0], (0.5 * one.image[0, 0]).astype(np.uint8))
    assert (
        np.abs(
            masks[4, 4].astype(int) - (0.35 * one.image[4, 4] + 0.65 * palette(2)[0]).astype(int)
        ).max()
        <= 1
    )
    assert (np.diff(depth[2:10, 2:10, 0].astype(int).ravel()) <= 0).all() and depth[
        2, 2, 0
    ] > depth[9, 9, 0]  # near is bright
    assert (
        (depth[0] == 0).all()
        and (normal[0] == PAPER).all()
        and np.array_equal(normal[5, 5], [127, 127, 255])
    )


def test_an_empty_view_is_drawn_too():
    empty = view()
    empty.depth[:] = np.inf
    empty.instance[:] = 0
    assert all(picture.shape == (12, 12, 3) for picture in truth_strip(empty))


def test_every_picture_stands_unchanged_in_the_sheet():
    scenes = [[view(), view()] for _ in range(3)]
    sheet = contact_sheet(scenes, columns=2)
    step = 12 + MARGIN
    strip = 5 * (12 + MARGIN)
    assert sheet.shape == (2 * 12 + MARGIN, 2 * strip - MARGIN, 3)
    for k, views in enumerate(scenes):
        top = (k // 2) * step
        left = (k % 2) * strip
        for n, picture in enumerate([*(v.image for v in views), *truth_strip(views[0])]):
            assert np.array_equal(
                sheet[top : top + 12, left + n * step : left + n * step + 12], picture
            )
    assert (sheet[step : step + 12, strip:] == PAPER).all()
