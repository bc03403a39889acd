"""What masks cost: of one object that is meant, and of everything at once.

In the flow: logits of the segmenter + true labels -> this module -> train/segmentation.py. Logits
have half the side of the windows; what lies outside of the picture does not count.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.models.segmenter import Everything, Segmented


class MaskLoss(NamedTuple):
    """Of one round, means over the windows in which an object is meant."""

    entropy: Tensor  # binary cross-entropy of pixels
    dice: Tensor
    quality: Tensor  # cross-entropy of the expected IoU, of all windows; 0 is expected of nothing
    iou: Tensor


def mask_loss(found: Segmented, truth: Tensor, inside: Tensor) -> MaskLoss:
    """Logits against masks, at the logits' half size; truth and inside: (B, S, S) bool."""
    meant = truth.flatten(1).any(1).float()
    counts = _halved(inside)
    wanted = _halved(truth)
    logits = found.logits.float()
    entropy, dice = _entropy_and_dice(logits, wanted, counts, (1, 2))
    iou = meant * mask_iou(logits > 0, wanted > 0.5, counts > 0)
    quality = F.binary_cross_entropy_with_logits(found.quality.float(), iou)
    of_meant = meant / meant.sum().clamp(min=1)
    entropy, dice, iou = ((value * of_meant).sum() for value in (entropy, dice, iou))
    return MaskLoss(entropy, dice, quality, iou)


class EverythingLoss(NamedTuple):
    """Of a look without prompts."""

    entropy: Tensor  # binary cross-entropy of being of an object
    dice: Tensor
    middle: Tensor  # mean distance to the object's middle in its pixels, shares of the side
    iou: Tensor  # of all objects together


def everything_loss(found: Everything, labels: Tensor, inside: Tensor) -> EverythingLoss:
    """Against labels (B, S, S), 0 where no object is; inside: (B, S, S) bool."""
    counts = _halved(inside)
    there = _halved(labels > 0)
    logits = found.logits.float()
    entropy, dice = _entropy_and_dice(logits, there, counts)
    at = labels[:, ::2, ::2]
    missed = torch.linalg.vector_norm(found.middle.float() - ways_to_middles(at), dim=1)
    own = (at > 0).float()
    middle = (missed * own).sum() / own.sum().clamp(min=1)
    iou = mask_iou(logits > 0, there > 0.5, counts > 0).mean()
    return EverythingLoss(entropy, dice, middle, iou)


def _halved(masks: Tensor) -> Tensor:
    return F.avg_pool2d(masks[:, None].float(), 2)[:, 0]


def _entropy_and_dice(
    logits: Tensor,
    wanted: Tensor,
    counts: Tensor,
    over: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of pixels and Dice loss, over some dimensions or all."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    shares = logits.sigmoid() * counts
    common = (shares * wanted).sum(over)
    both = shares.sum(over) + wanted.sum(over)
    return (entropy * counts).sum(over) / counts.sum(over), 1 - (2 * common + 1) / (both + 1)


def ways_to_middles(labels: Tensor) -> Tensor:
    """(B, 2, H, W) x and y from each place of labels (B, H, W) to the mean place of its label, in
    shares of the sides; 0 where no object is.
    """
    count, height, width = labels.shape
    most = int(labels.max()) + 1
    x = (torch.arange(width, device=labels.device) + 0.5) / width
    y = (torch.arange(height, device=labels.device) + 0.5) / height
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    picture = torch.arange(count, device=labels.device)[:, None, None]
    groups = (labels.long() + most * picture).flatten()
    spread = places[:, None].expand(-1, count, -1, -1).flatten(1)
    sums = spread.new_zeros(2, most * count).index_add_(1, groups, spread)
    areas = torch.bincount(groups, minlength=most * count).clamp(min=1)
    ways = (sums / areas)[:, groups] - spread
    return ways.unflatten(1, (count, height, width)).transpose(0, 1) * (labels > 0)[:, None]


def mask_iou(found: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
    """(B,) IoU of masks (B, H, W) bool; 1 where both are empty."""
    common = (found & truth & counts).sum((1, 2))
    either = ((found | truth) & counts).sum((1, 2))
    return torch.where(either > 0, common / either.clamp(min=1), 1.0)
