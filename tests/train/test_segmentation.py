"""The segmenter's samples, and who points at them, on what can be worked out by hand."""

import numpy as np
import torch

from maquette.data.views import View
from maquette.train.segmentation import PointedWindows, _Pointing
from maquette.types import Camera


def squares(*places, side=8):
    mask = torch.zeros(len(places), side, side, dtype=torch.bool)
    for number, (low, high) in enumerate(places):
        mask[number, low:high, low:high] = True
    return mask


def batch(truth):
    return {"truth": truth, "inside": torch.ones_like(truth), "free": ~truth}


def test_pointing_answers_a_mask_with_a_click_at_its_error():
    truth = squares((4, 28), side=32)
    pointing = _Pointing(batch(truth), np.random.default_rng(0))
    pointing.begin(0.0, 0.0, 0.0)
    row, column = divmod(int(pointing.prompts[0, 0].argmax()), 16)
    assert truth[0, 2 * row, 2 * column] and not pointing.prompts[0, 1:].any()
    pointing.answer(torch.full((1, 16, 16), 5.0))  # everything: too much is found
    negative = pointing.prompts[0, 1]
    row, column = divmod(int(negative.argmax()), 16)
    assert negative.max() > 0.5 and not truth[0, 2 * row, 2 * column]
    assert float(pointing.prompts[0, 3].min()) > 0.99  # the mask before


def test_a_box_is_drawn_around_the_object():
    truth = squares((8, 24), side=32)
    pointing = _Pointing(batch(truth), np.random.default_rng(0))
    pointing.begin(1.0, 0.0, 0.0)
    assert not pointing.prompts[0, :2].any()
    boxed = pointing.prompts[0, 2] > 0
    assert boxed[5:11, 5:11].all() and int(boxed.sum()) <= 10 * 10


def view(rng):
    """A view of two bright squares on a dark ground."""
    labels = np.zeros((48, 48), np.int32)
    labels[6:22, 6:22] = 1
    labels[28:40, 24:44] = 2
    image = np.where(labels[..., None] > 0, (60 + 80 * labels)[..., None], 10)
    image = np.repeat(image.astype(np.uint8), 3, axis=2)
    camera = Camera(np.eye(3), np.eye(4), 48, 48)
    nothing = np.zeros((48, 48, 3), np.float32)
    return View(image, nothing[..., 0], nothing, labels, camera, np.eye(4), (), 0.0)


def test_windows_show_the_object_that_is_meant():
    samples = PointedWindows(view, 64, augment=False, seed=3)
    for index in range(12):
        sample = samples[index]
        truth, picture = sample["truth"], sample["picture"]
        levels = ((picture[0][truth] + 1) * 127.5).round()
        meant = levels.median()
        assert meant in (140, 220)
        assert (levels == meant).float().mean() > 0.7  # resampling mixes the edge
        assert not (truth & sample["free"]).any() and not (truth & ~sample["inside"]).any()


def test_a_sample_depends_on_its_index_only():
    first, again = (PointedWindows(view, 64, seed=1) for _ in range(2))
    for name, value in first[5].items():
        assert torch.equal(value, again[5][name])
    assert not torch.equal(first[5]["picture"], first[6]["picture"])
