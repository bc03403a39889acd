"""What masks cost, on what can be worked out by hand."""

import math

import numpy as np
import pytest
import torch

from maquette.models.segmenter import Everything, Segmented
from maquette.train.mask_losses import everything_loss, mask_iou, mask_loss, ways_to_middles


def squares(*places, side=8):
    mask = torch.zeros(len(places), side, side, dtype=torch.bool)
    for number, (low, high) in enumerate(places):
        mask[number, low:high, low:high] = True
    return mask


def found(mask, sure=20.0, quality=0.0):
    """The answer that says a mask (B, S, S), at half its size."""
    logits = torch.where(mask[:, ::2, ::2], sure, -sure)
    return Segmented(logits, torch.full((len(mask),), quality))


def test_iou_counts_what_counts():
    a, b = squares((0, 4)), squares((2, 6))
    everywhere = torch.ones_like(a)
    assert float(mask_iou(a, b, everywhere)) == pytest.approx(4 / 28)
    left = everywhere.clone()
    left[:, :, 4:] = False
    assert float(mask_iou(a, b, left)) == pytest.approx(4 / 20)
    assert float(mask_iou(a & False, b & False, everywhere)) == 1


def test_the_truth_costs_nothing_and_its_opposite_all():
    truth = squares((2, 6), (0, 4))
    inside = torch.ones_like(truth)
    right, wrong = mask_loss(found(truth), truth, inside), mask_loss(found(~truth), truth, inside)
    assert float(right.entropy) < 1e-6 and float(right.dice) < 1e-6 and float(right.iou) == 1
    assert float(wrong.entropy) == pytest.approx(20) and float(wrong.iou) == 0
    assert float(wrong.dice) == pytest.approx(1 - 1 / (16 + 1), abs=1e-4)  # 4 + 12 cells
    assert float(right.quality) == pytest.approx(math.log(2))  # it said one half


def test_where_nothing_is_meant_only_quality_counts():
    truth = torch.cat([squares((2, 6)), torch.zeros(1, 8, 8, dtype=torch.bool)])
    inside = torch.ones_like(truth)
    answer = found(torch.cat([truth[:1], ~truth[1:]]), quality=3.0)
    loss = mask_loss(answer, truth, inside)
    assert float(loss.entropy) < 1e-6 and float(loss.iou) == 1
    wanted = (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(3))) / 2
    assert float(loss.quality) == pytest.approx(wanted, rel=1e-5)


def test_the_truth_about_everything_costs_nothing():
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 2:6, 2:8] = 1
    labels[:, 8:14, 8:14] = 3
    half = labels[:, ::2, ::2]
    inside = torch.ones_like(labels, dtype=torch.bool)
    sure = torch.where(half > 0, 20.0, -20.0)
    right = everything_loss(Everything(sure, ways_to_middles(half)), labels, inside)
    assert float(right.entropy) < 1e-6 and float(right.dice) < 1e-3
    assert float(right.middle) == 0 and float(right.iou) == 1
    away = ways_to_middles(half) + torch.tensor([0.3, 0.4])[:, None, None]
    wrong = everything_loss(Everything(-sure, away), labels, inside)
    assert float(wrong.middle) == pytest.approx(0.5) and float(wrong.iou) == 0


def test_the_way_to_the_middle_ends_there():
    labels = torch.zeros(2, 10, 12, dtype=torch.int64)
    labels[0, 1:4, 2:7] = 1
    labels[1, 5:9, 3:12] = 1  # of another picture
    labels[1, 0:2, 0:2] = 2
    for picture, ways in zip(labels, ways_to_middles(labels)):
        for label in (1, 2):
            rows, columns = (picture == label).nonzero(as_tuple=True)
            x = (columns + 0.5) / 12 + ways[0, rows, columns]
            y = (rows + 0.5) / 10 + ways[1, rows, columns]
            if len(rows):
                np.testing.assert_allclose(x, (columns + 0.5).mean() / 12, atol=1e-6)
                np.testing.assert_allclose(y, (rows + 0.5).mean() / 10, atol=1e-6)
