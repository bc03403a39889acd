"""Losses of the image encoder: those of their definitions, on what can be worked out by hand."""

import pytest
import torch

from maquette.train.geometry import box_loss, depth_losses, slope_error, weighted_mean


def test_a_mean_of_nothing_is_zero():
    values = torch.tensor([1.0, 5.0, 9.0])
    assert weighted_mean(values, torch.tensor([0.0, 3.0, 1.0])) == 6
    assert weighted_mean(values, torch.zeros(3)) == 0


def test_slopes_are_compared_within_objects_only():
    """An error that rises by 1 a pixel along x: 1 and 4 for pixels 1 and 4 apart, 0 along y."""
    error = torch.arange(12.0).expand(1, 12, 12)
    whole = torch.ones(1, 12, 12, dtype=torch.long)
    assert slope_error(error, whole) == 5
    halves = whole.clone()
    halves[..., 6:] = 2
    jump = error + 100 * (halves == 2)
    assert slope_error(jump, halves) == 5
    assert slope_error(jump, torch.zeros_like(whole)) == 0


def test_ground_counts_a_quarter():
    known = torch.ones(1, 4, 4, dtype=torch.bool)
    objects = torch.zeros(1, 4, 4, dtype=torch.bool)
    objects[:, :2] = True
    depth = torch.where(objects, 3.0, 1.0)
    batch = {"known": known, "object": objects, "labels": objects.long()}
    batch["depth"] = torch.zeros(1, 4, 4)
    value, slope = depth_losses(depth, batch)
    assert float(value) == pytest.approx((8 * 3 + 0.25 * 8 * 1) / (8 + 0.25 * 8))
    assert slope == 0


def test_boxes_are_compared_where_they_are_shown():
    truth = torch.zeros(1, 24, 2, 3)
    truth[0, :3, 1] = 1.0  # unit cubes at the origin
    shown = torch.tensor([[[1, 3], [0, 1]]])  # the second is hidden
    boxes = truth[:, :3].clone()
    loss, iou = box_loss(boxes, {"boxes": truth, "shown": shown})
    assert (loss, iou) == (0, 1)
    boxes[0, 1] += 7.0
    assert box_loss(boxes, {"boxes": truth, "shown": shown})[1] == 1
    boxes[0, 2, :, 0] += 0.5  # a third of both is common
    loss, iou = box_loss(boxes, {"boxes": truth, "shown": shown})
    assert float(iou) == pytest.approx((1 + 1 / 3) / 2)
    corner = 0.5 / 3 / 1.05
    assert float(loss) == pytest.approx((corner + 0.5 * 2 / 3) / 2)
