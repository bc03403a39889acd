"""Pointing at photos: windows and photos agree on places, and a network is asked about the right
part of the picture.
"""

import numpy as np
import pytest
import torch

from maquette.checkpoints.embedded import FILES, embedded_folder
from maquette.errors import InputError
from maquette.geometry.boxes import pixel_box
from maquette.masks.propose import Click
from maquette.masks.read import read_masks
from maquette.models.segmenter import Everything, Segmented, SegmenterConfig
from maquette.photos.read import read_image
from maquette.stages.point import CutOut, PointedPhoto, Window, _different, embedded_proposer
from maquette.train.clicks import next_click
from maquette.train.mask_losses import ways_to_middles


class Bright(torch.nn.Module):
    """Stands for the segmenter: whatever is bright and of the clicked half of the window's picture
    is meant. It notes what it was shown.
    """

    config = SegmenterConfig(size=64)

    def __init__(self):
        super().__init__()
        self.shown = []
        self.asked = []

    def look(self, pictures):
        self.shown.append(pictures[0].numpy())
        return [pictures]

    def forward(self, maps, prompts):
        self.asked.append(prompts[0].numpy())
        bright = torch.nn.functional.avg_pool2d(maps[0].mean(1, keepdim=True), 2)[:, 0]
        quality = 4.0 * (bright * prompts[:, 0]).amax((1, 2))
        return Segmented(20.0 * bright, quality)

    def everything(self, maps):
        """Bright is of an object; each half of the window's picture has one."""
        bright = torch.nn.functional.avg_pool2d(maps[0].mean(1, keepdim=True), 2)[:, 0]
        labels = torch.ones(bright.shape, dtype=torch.int64)
        labels[..., bright.shape[-1] // 2 :] = 2
        return Everything(20.0 * bright, ways_to_middles(labels * (bright > 0)))


def photo(size=(200, 300)):
    """A bright block on a dark ground."""
    image = np.full((*size, 3), 20, np.uint8)
    image[60:90, 200:240] = 235
    return image


def block(size=(200, 300)):
    mask = np.zeros(size, bool)
    mask[60:90, 200:240] = True
    return mask


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("window", [Window(10, 20, 64), Window(-30, -10, 96), Window(40, 60, 80)])
def test_a_window_finds_its_masks_again(window):
    """Photo -> window -> photo: the same mask inside of the window, when a cell is a pixel."""
    rng = np.random.default_rng(0)
    mask = np.kron(rng.random((15, 15)) < 0.5, np.ones((8, 8))).astype(bool)
    seen = window.of_photo(mask, window.side)
    back = window.in_photo(seen - 0.5, mask.shape)
    ys = slice(max(window.top, 0), window.top + window.side)
    xs = slice(max(window.left, 0), window.left + window.side)
    np.testing.assert_array_equal(back[ys, xs], mask[ys, xs])
    back[ys, xs] = False
    assert not back.any()


def test_windows_agree_on_what_they_see():
    """A plane moved from one window to another is that plane there: a ramp stays the ramp."""
    far, near = Window(0, 0, 200), Window(50, 30, 100)
    y, x = np.mgrid[:50, :50].astype(np.float32)
    ramp = (far.left + (x + 0.5) * far.side / 50) + 3 * (far.top + (y + 0.5) * far.side / 50)
    moved = far.seen(ramp, near, 40)
    y, x = np.mgrid[:40, :40]
    wanted = (near.left + (x + 0.5) * near.side / 40) + 3 * (near.top + (y + 0.5) * near.side / 40)
    np.testing.assert_allclose(moved, wanted, atol=0.2)


def test_windows_are_moved_into_the_photo_where_they_fit():
    assert Window.around((0, 0, 20, 10), 2.0, (100, 100)) == (0, 0, 40)
    assert Window.around((90, 80, 100, 100), 2.0, (100, 100)) == (60, 60, 40)
    # one that is larger than the photo is high goes on beyond it on both sides
    assert Window.around((20, 0, 80, 40), 1.0, (40, 200)) == (20, -10, 60)
    assert Window.whole((60, 100)) == (0, -20, 100)


def test_a_click_is_looked_at_from_far_once_and_then_from_near():
    net = Bright()
    pointed = PointedPhoto(photo(), net)
    click = [Click(220, 75, 1)]
    found = pointed.clicked(click)
    assert iou(found, block()) > 0.9
    assert len(net.shown) == 2
    far, near = net.asked
    assert not far[3].any() and near[3].max() > 0.9  # from near it knows what it saw from far
    row, column = divmod(int(near[0].argmax()), 32)
    assert near[3][row, column] > 0.5  # both at the same place of the window
    pointed.clicked(click)
    assert len(net.shown) == 3  # the whole photo is not looked at again


def test_a_box_and_a_mask_say_where_to_look():
    net = Bright()
    pointed = PointedPhoto(photo(), net)
    assert iou(pointed.boxed((200, 60, 240, 90)), block()) > 0.9
    assert len(net.shown) == 1
    boxed = net.asked[0][2]
    assert 0.9 < boxed.sum() * (56 / 32) ** 2 / (40 * 30) < 1.15  # a cell is 56 / 32 pixels wide
    changed = pointed.clicked([Click(100, 75, 1, False)], block())
    assert iou(changed, block()) > 0.85  # a cell of this wide window is three pixels wide
    assert net.asked[1][1].max() > 0.5 and not net.asked[1][0].any()
    assert len(net.shown) == 2


def test_specks_go_unless_they_are_clicked_on():
    image = photo()
    image[150:155, 20:25] = 235
    pointed = PointedPhoto(image, Bright(), 256)
    assert not pointed.clicked([Click(220, 75, 1)])[140:, :60].any()
    both = pointed.clicked([Click(220, 75, 1), Click(22.5, 152.5, 1)])
    assert both[152, 22] and both[75, 220]


def test_a_click_does_not_take_what_looks_alike_elsewhere():
    image = photo()
    image[20:60, 30:80] = 200
    found = PointedPhoto(image, Bright(), 128).clicked([Click(55, 40, 1)])
    assert found[40, 55] and not found[60:90, 200:240].any()


def test_everything_is_what_stands_out_each_thing_once():
    image = photo()
    image[20:60, 30:80] = 200
    found = PointedPhoto(image, Bright(), 128).everything()
    assert len(found) == 2 and [mask.label for mask in found] == list(range(1, len(found) + 1))
    together = np.logical_or.reduce([mask.mask for mask in found])
    assert iou(together, image[..., 0] > 100) > 0.9
    assert sum(mask.mask.sum() for mask in found) == together.sum()  # no pixel twice
    with pytest.raises(InputError, match="no object"):
        PointedPhoto(np.full((90, 120, 3), 20, np.uint8), Bright()).everything()


def test_of_answers_that_are_alike_the_best_is_kept():
    answers = []
    for low, high, quality in ((0, 8, 0.7), (1, 8, 0.9), (8, 16, 0.6), (8, 12, 0.2), (3, 3, 0.8)):
        mask = np.zeros((16, 16), bool)
        mask[low:high] = True
        answers.append(CutOut(mask, quality))
    assert _different(answers) == [answers[1], answers[2]]


def test_the_deepest_place_of_a_plane_is_one_of_the_photo():
    window = Window(-50, 10, 200)
    plane = np.zeros((100, 100), np.float32)
    plane[20:41, 60:81] = 0.9
    click = window.deepest(plane, (300, 300))
    assert (click.x, click.y) == (pytest.approx(91), pytest.approx(71)) and click.positive
    outside = window.deepest(np.ones((100, 100), np.float32), (300, 300))
    assert 0 <= outside.x < 300 and 0 <= outside.y < 300


@pytest.fixture(scope="module")
def table():
    """A bundled picture, the masks of its objects, and the embedded segmenter's look at it."""
    if not (embedded_folder() / FILES["segmenter"]).exists():
        pytest.skip("the segmenter's weights are not embedded")
    folder = embedded_folder().parent / "assets" / "examples" / "table"
    image = read_image(folder / "photo.jpg")
    masks = [found.mask for found in read_masks(folder / "masks.png", image.shape[:2])]
    return image, masks, embedded_proposer()(image)


def test_a_click_on_bare_ground_is_said_to_meet_nothing(table):
    image, _, looked_at = table
    height, width = image.shape[:2]
    corners = [(width * x, height * y) for x in (0.04, 0.96) for y in (0.04, 0.96)]
    refused = 0
    for x, y in corners:
        try:
            looked_at.clicked([Click(x, y, 1)])
        except InputError as error:
            assert "looks like an object" in str(error)
            refused += 1
    assert refused >= 3
    x0, y0 = corners[0]
    assert looked_at.clicked([Click(x0, y0, 1), Click(x0 + 9, y0 + 9, 1)]).any()  # who insists


def test_objects_of_a_bundled_picture_are_found_by_boxes(table):
    _, masks, looked_at = table
    scores = [iou(looked_at.boxed(pixel_box(mask)), mask) for mask in masks]
    assert np.mean(scores) > 0.75 and min(scores) > 0.4


def test_a_mirrored_picture_has_mirrored_masks(table):
    image, masks, looked_at = table
    mirrored = embedded_proposer()(np.ascontiguousarray(image[:, ::-1]))
    width = image.shape[1]
    for mask in masks[:2]:
        x0, y0, x1, y1 = pixel_box(mask)
        found = mirrored.boxed((width - x1, y0, width - x0, y1))[:, ::-1]
        assert iou(found, looked_at.boxed((x0, y0, x1, y1))) > 0.8


def test_a_negative_click_takes_back_what_a_positive_one_gave(table):
    _, masks, looked_at = table
    click = next_click(masks[0], np.zeros_like(masks[0]))
    there = Click(click.column + 0.5, click.row + 0.5, 1)
    found = looked_at.clicked([there])
    assert found[click.row, click.column]
    less = looked_at.clicked([Click(there.x, there.y, 1, False)], found)
    assert not less[click.row, click.column]
    assert (less & found).sum() < found.sum()
