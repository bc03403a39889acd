"""The close look: the shape of one object's visible surface, read off a crop of the photo in which
it is large.

In the flow: photo and masks -> depth of the whole picture (image_encoder.py) -> a window around
each object, seen once more by the same network -> relief: how far each visible point lies before or
behind the object's middle, in units of the window's width. A picture of a whole scene spends a few
pixels on an object, and its depth there is told in shares of the camera's distance; in its own
window and in its own units every object is as large as any other. Shapes: B pictures, K windows
each, S pixels a side of the picture, P of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOST = 3.0  # widths of the window; a coarse relief beyond it is cut


@dataclass(frozen=True, eq=False)
class Windows:
    """What a close look is given: see ``conditioning.close_look``."""

    pictures: Tensor  # (B, K, 7, P, P) colour, any object, outlines, inside the photo, own mask
    places: Tensor  # (B, K, 3) left, top and side in the whole square picture, whose side is 1
    labels: Tensor  # (B, K) int64 which object each is of

    @property
    def own(self) -> Tensor:
        """(B, K, P, P) bool."""
        return self.pictures[:, :, 6] > 0.5


def window_widths(places: Tensor, camera: Tensor) -> Tensor:
    """(B, K) the windows' sides over the focal length: how wide they are at a distance of 1."""
    return places[..., 2] * torch.exp(-camera[:, None, 1])


def centred(values: Tensor, own: Tensor) -> Tensor:
    """Values (..., P, P) less their mean over the object's own pixels (..., P, P) bool."""
    weight = own.to(values.dtype)
    sums = (values * weight).sum((-2, -1), keepdim=True)
    return values - sums / weight.sum((-2, -1), keepdim=True).clamp(min=1)


def coarse_relief(
    depth: Tensor,
    camera: Tensor,
    labels: Tensor,
    windows: Windows,
) -> Tensor:
    """(B, K, P, P) the relief that a depth map of the whole picture gives; 0 where it says nothing
    of the object.

    depth: (B, S, S) log depth; camera: (B, 5); labels: (B, S, S) int64. Only pixels of the object
    itself are mixed.
    """
    side = windows.pictures.shape[-1]
    count = windows.labels.shape[1]
    steps = (torch.arange(side, device=depth.device, dtype=torch.float32) + 0.5) / side
    left, top, span = (windows.places[..., i, None].float() for i in range(3))
    x = 2 * (left + span * steps) - 1
    y = 2 * (top + span * steps) - 1
    places = torch.broadcast_tensors(x[:, :, None, :], y[:, :, :, None])
    grid = torch.stack(places, dim=-1).flatten(0, 1)
    mine = labels[:, None] == windows.labels[..., None, None]
    mine = mine.flatten(0, 1).float()  # (B K, S, S)
    both = torch.stack([depth.float().repeat_interleave(count, dim=0) * mine, mine], dim=1)
    summed, weight = F.grid_sample(both, grid, padding_mode="zeros", align_corners=False).unbind(1)
    known = (weight > 0.05) & windows.own.flatten(0, 1)
    mean = torch.where(known, summed / weight.clamp(min=0.05), 0.0)
    relief = centred(mean, known).unflatten(0, windows.labels.shape)
    relief = relief / window_widths(windows.places, camera)[..., None, None].float()
    return (relief * known.view_as(relief)).clamp(-MOST, MOST)
