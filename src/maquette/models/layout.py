"""Where each object is: one box per instance in the scene frame, hidden parts included, from the
image network's features.

In the flow: photo and masks -> depth, camera (image_encoder.py) -> boxes. The visible surface,
lifted through the estimated camera, already gives half of a box; the other half, and the correction
of the depth itself, is what a transformer over the instances and the picture's tokens learns.
Shapes: B pictures, N instances (label k + 1 is row k), S pixels a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.attention import attend, merge_heads, split_heads
from maquette.nn.blocks import FeedForward
from maquette.nn.layers import repeated, zero_init

# Numbers per instance that are computed, not learnt: see ``VisibleCues``.
CUE_WIDTH = 29
SPREADS = 2.5  # deviations from the mean; a visible box reaches no farther, whatever its outliers
EDGE = 0.05  # scene units; the corrections of a box are relative to its visible size plus this


def pixel_steps(size: int, like: Tensor) -> Tensor:
    """(size,) places of the pixels of a square picture, from its centre, in its sides."""
    return (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size - 0.5


def lift_points(relative: Tensor, camera: Tensor) -> Tensor:
    """Points (B, 3, S, S) in the scene frame of log relative depths (B, S, S) and camera parameters
    (B, 5), differentiable.

    The same geometry as ``conditioning.camera_from_parameters`` and ``cameras.lift`` for a square
    picture.
    """
    steps = pixel_steps(relative.shape[-1], relative)
    pitch, log_focal, centre_x, centre_y, log_span = (camera[:, i, None, None] for i in range(5))
    span = torch.exp(log_span)
    nearness = torch.exp(relative)
    x = span * (nearness * steps[None, None, :] - centre_x)
    y = span * (nearness * steps[None, :, None] - centre_y)
    z = torch.exp(log_focal + log_span + relative) - torch.exp(log_focal + log_span)
    sin = torch.sin(pitch)
    cos = torch.cos(pitch)
    # Columns of view_centric_rotation(pitch): x -> x, camera down and forward -> up and back.
    up = -cos * y - sin * z
    back = sin * y - cos * z
    return torch.stack([x, up, back], dim=1)


def ray_latitudes(camera: Tensor, size: int) -> Tensor:
    """(B, size, size) sine of the angle above the horizon of the rays through a grid of pixels;
    camera parameters (B, 5).
    """
    pitch = camera[:, 0, None, None]
    focal = camera[:, 1, None, None].exp()
    steps = pixel_steps(size, camera)
    x = steps[None, None, :]
    y = steps[None, :, None]
    height = -torch.cos(pitch) * y - torch.sin(pitch) * focal
    length = (x.square() + y.square() + focal.square()).sqrt()
    return height / length


@dataclass(frozen=True, eq=False)
class VisibleCues:
    """What is computed of N instances of B pictures. Everything in scene units is of the instance's
    visible points, everything in the picture is in its sides, from its centre.
    """

    box: Tensor  # (B, N, 2, 3) of the points without outliers
    mean: Tensor  # (B, N, 3)
    spread: Tensor  # (B, N, 3) standard deviation along each axis
    outline: Tensor  # (B, N, 4) left, right, top, bottom in the picture; 0 where nothing is seen
    share: Tensor  # (B, N, 1) of the picture
    touched: Tensor  # (B, N, 4) how much of the upper, lower, left and right edge it covers
    camera: Tensor  # (B, N, 5)
    offset: Tensor  # (B, N, 3) of its mean from the mean of all instances

    @property
    def numbers(self) -> Tensor:
        """(B, N, CUE_WIDTH) all of it."""
        where = [self.box.flatten(2), self.mean, self.spread, self.outline]
        return torch.cat([*where, self.share, self.touched, self.camera, self.offset], dim=-1)


def visible_cues(points: Tensor, masks: Tensor, camera: Tensor) -> VisibleCues:
    """The cues of instances with masks (B, N, P, P) bool, at least one pixel each where an instance
    exists, in pictures whose pixels are at ``points`` (B, 3, P, P), scene frame; camera (B, 5).
    """
    instances, side = masks.shape[1:3]
    inside = masks.flatten(2)
    there = inside.any(-1, keepdim=True)
    weight = inside.to(points.dtype)
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    mean, spread = _mean_and_spread(points.flatten(2), weight, count)
    low, high = (corner * there for corner in _outermost(points.flatten(2), inside))
    low = torch.maximum(low, mean - SPREADS * spread)
    high = torch.minimum(high, mean + SPREADS * spread)
    box = torch.stack([low, high], dim=2)
    objects = there.sum(1, keepdim=True).clamp(min=1)
    offset = mean - (mean * there).sum(1, keepdim=True) / objects
    share = count / side**2
    cameras = camera[:, None].expand(-1, instances, -1)
    outline = _outline(masks, points)
    return VisibleCues(box, mean, spread, outline, share, _touched(masks), cameras, offset)


def _mean_and_spread(points: Tensor, weight: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, N, 3) of points (B, 3, P^2), ``count`` (B, N, 1) of which
    have the weight (B, N, P^2) 1, the others 0.
    """
    powers = torch.cat([points, points.square()], dim=1)
    with torch.autocast(points.device.type, enabled=False):
        moments = torch.einsum("bnp,bcp->bnc", weight, powers) / count
    mean, square = moments.chunk(2, dim=-1)
    return mean, ((square - mean.square()).clamp(min=0) + 1e-8).sqrt()


def _outermost(points: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest coordinates (B, N, 3) of points (B, 3, P^2) inside (B, N, P^2) bool.

    Gradients reach the outermost points alone; those of amin and amax would pass through every
    point of every instance.
    """
    candidates = inside[:, :, None]
    with torch.no_grad():
        lowest = torch.where(candidates, points[:, None], torch.inf).argmin(-1)
        highest = torch.where(candidates, points[:, None], -torch.inf).argmax(-1)
    low, high = (points.gather(2, index.mT).mT for index in (lowest, highest))
    return low, high


def _outline(masks: Tensor, like: Tensor) -> Tensor:
    """(B, N, 4) left, right, top and bottom of masks (B, N, P, P); 0 where there is nothing."""
    steps = pixel_steps(masks.shape[-1], like)
    bounds = []
    for lines in (masks.any(2), masks.any(3)):  # which columns, which rows
        bounds.append(torch.where(lines, steps, torch.inf).amin(-1))
        bounds.append(torch.where(lines, steps, -torch.inf).amax(-1))
    return torch.stack(bounds, -1).nan_to_num(posinf=0.0, neginf=0.0)


def _touched(masks: Tensor) -> Tensor:
    """(B, N, 4) how much of the picture's edges masks (B, N, P, P) cover."""
    upper, *_, lower = masks.unbind(2)
    left, *_, right = masks.unbind(3)
    edges = (upper, lower, left, right)
    return torch.stack([edge.float().mean(-1) for edge in edges], -1)


class InstanceBlock(nn.Module):
    """Instances attend to one another and to the picture's tokens in one softmax, then a
    feed-forward layer.
    """

    def __init__(
        self,
        width: int,
        context_width: int,
        heads: int,
    ):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.context_to_kv = nn.Linear(context_width, 2 * width)
        self.to_out = nn.Linear(width, width)
        self.mlp = FeedForward(width)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        there: Tensor,
    ) -> Tensor:
        """Tokens of instances x (B, N, width) after a look at one another and at the picture's
        context (B, T, context width); there: (B, N) bool which instances exist.
        """
        own = split_heads(self.to_qkv(self.norm1(x)), self.heads, 3)
        far = split_heads(self.context_to_kv(context), self.heads, 2)
        query, key, value = (part.transpose(1, 2) for part in own)
        far_key, far_value = (part.transpose(1, 2) for part in far)
        seen = torch.cat([there, there.new_ones(context.shape[:2])], dim=1)
        out = attend(query, [key, far_key], [value, far_value], seen[:, None, None])
        x = x + self.to_out(merge_heads(out))
        return x + self.mlp(self.norm2(x))


class LayoutHead(nn.Module):
    """Boxes (B, N, 2, 3) of all instances of a picture; see the module docstring."""

    def __init__(
        self,
        fine_width: int,
        context_width: int,
        width: int = 160,
        blocks: int = 2,
        heads: int = 4,
    ):
        super().__init__()
        known = CUE_WIDTH + fine_width + context_width
        self.inputs = nn.Sequential(nn.Linear(known, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = repeated(blocks, InstanceBlock, width, context_width, heads)
        hidden = nn.Linear(width, width)
        corrections = zero_init(nn.Linear(width, 6))
        self.out = nn.Sequential(nn.LayerNorm(width), hidden, nn.SiLU(), corrections)

    def forward(
        self,
        fine: Tensor,
        tokens: Tensor,
        points: Tensor,
        camera: Tensor,
        labels: Tensor,
        count: int,
    ) -> Tensor:
        """fine: (B, F, S/2, S/2); tokens: (B, T, C); points: (B, 3, S, S); camera: (B, 5); labels:
        (B, S, S); count: N.
        """
        wanted = torch.arange(1, count + 1, device=labels.device)[None, :, None, None]
        whole = F.max_pool2d((labels[:, None] == wanted).float(), 2)
        there = whole.flatten(2).amax(-1) > 0
        # One pixel in four; all of them would mix depths at outlines.
        sampled = labels[:, None, 1::2, 1::2] == wanted
        exact = sampled.flatten(2).any(-1)[..., None, None]
        masks = torch.where(exact, sampled, whole > 0)
        halved = points[:, :, 1::2, 1::2].float()
        cues = visible_cues(halved, masks, camera.float())
        pooled = [_pooled(whole, fine.float()), _pooled_tokens(whole, tokens.float())]
        x = self.inputs(torch.cat([cues.numbers, *pooled], dim=-1))
        for block in self.blocks:
            x = block(x, tokens, there)
        low, high = cues.box.unbind(2)
        size = (high - low).amax(-1)[..., None, None] + EDGE
        corrections = self.out(x).float().unflatten(-1, (2, 3))
        corners = cues.box + size * corrections
        return torch.stack([corners.amin(2), corners.amax(2)], dim=2)


def _pooled(masks: Tensor, fine: Tensor) -> Tensor:
    """(B, N, F) mean of fine features (B, F, H, W) over masks (B, N, H, W)."""
    sums = torch.einsum("bnhw,bfhw->bnf", masks, fine)
    return sums / masks.sum((2, 3)).clamp(min=1)[..., None]


def _pooled_tokens(masks: Tensor, tokens: Tensor) -> Tensor:
    """(B, N, C) mean of coarse tokens (B, T, C) over masks (B, N, H, W)."""
    share = F.adaptive_avg_pool2d(masks, round(tokens.shape[1] ** 0.5)).flatten(2)
    return share @ tokens / share.sum(-1, keepdim=True).clamp(min=1e-6)
