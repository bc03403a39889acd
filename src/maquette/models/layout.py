"""Where each object is: one box per instance in the scene frame, hidden parts included, from the
image network's features.

In the flow: photo and masks -> depth, camera (image_encoder.py) -> boxes. The visible surface,
lifted through the estimated camera, already gives half of a box; the other half, and the correction
of the depth itself, is what a transformer over the instances and the picture's tokens learns.
Shapes: B pictures, N instances (label k + 1 is row k), S pixels a side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.attention import attend
from maquette.nn.blocks import FeedForward, zero_init

CUES = 29  # numbers per instance that are computed, not learnt: see ``visible_cues``
EDGE = 0.05  # scene units; the corrections of a box are relative to its visible size plus this


def lift_points(relative: Tensor, camera: Tensor) -> Tensor:
    """Points (B, 3, S, S) in the scene frame of log relative depths (B, S, S) and camera parameters
    (B, 5), differentiable.

    The same geometry as ``conditioning.camera_from_parameters`` and ``cameras.lift`` for a square
    picture.
    """
    size = relative.shape[-1]
    pitch, log_focal, centre_x, centre_y, log_span = (camera[:, i, None, None] for i in range(5))
    steps = (torch.arange(size, device=relative.device, dtype=relative.dtype) + 0.5) / size - 0.5
    z = torch.exp(log_focal + log_span + relative)
    x = torch.exp(log_span) * (torch.exp(relative) * steps[None, None, :] - centre_x)
    y = torch.exp(log_span) * (torch.exp(relative) * steps[None, :, None] - centre_y)
    z = z - torch.exp(log_focal + log_span)
    sin = torch.sin(pitch)
    cos = torch.cos(pitch)
    # Columns of view_centric_rotation(pitch): x -> x, camera down and forward -> up and back.
    return torch.stack([x, -cos * y - sin * z, sin * y - cos * z], dim=1)


def ray_latitudes(camera: Tensor, size: int) -> Tensor:
    """(B, size, size) sine of the angle above the horizon of the rays through a grid of pixels;
    camera parameters (B, 5).
    """
    pitch = camera[:, 0, None, None]
    focal = camera[:, 1, None, None].exp()
    steps = (torch.arange(size, device=camera.device, dtype=camera.dtype) + 0.5) / size - 0.5
    x = steps[None, None, :]
    y = steps[None, :, None]
    return (-torch.cos(pitch) * y - torch.sin(pitch) * focal) / (
        x.square() + y.square() + focal.square()
    ).sqrt()


def visible_cues(points: Tensor, masks: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
    """Box (B, N, 2, 3) of each instance's visible points, and its cues (B, N, CUES).

    points: (B, 3, P, P); masks: (B, N, P, P) bool, at least one pixel each where an instance
    exists. Cues: box 6, mean 3, spread 3, picture box 4, share of the picture 1, how much of each
    picture edge it touches 4, camera 5, and the box of all instances' visible points relative to
    its own mean 3.
    """
    b, n, side, _ = masks.shape
    flat = points.flatten(2)
    inside = masks.flatten(2)
    # (B, N, P^2), (B, N, 1)
    weight = inside.to(points.dtype)
    there = inside.any(-1, keepdim=True)
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    with torch.autocast(points.device.type, enabled=False):
        moments = (
            torch.einsum("bnp,bcp->bnc", weight, torch.cat([flat, flat.square()], dim=1)) / count
        )
    mean, square = moments.chunk(2, dim=-1)
    spread = ((square - mean.square()).clamp(min=0) + 1e-8).sqrt()
    # Gradients reach the outermost points alone; those of amin and amax would pass through every
    # point of every instance.
    with torch.no_grad():
        lowest = torch.where(inside[:, :, None], flat[:, None], torch.inf).argmin(-1)
        highest = torch.where(inside[:, :, None], flat[:, None], -torch.inf).argmax(-1)
    low, high = (flat.gather(2, index.mT).mT * there for index in (lowest, highest))
    box = torch.stack(
        [torch.maximum(low, mean - 2.5 * spread), torch.minimum(high, mean + 2.5 * spread)], dim=2
    )
    # which columns, which rows
    across = masks.any(2)
    along = masks.any(3)
    steps = (torch.arange(side, device=points.device, dtype=points.dtype) + 0.5) / side - 0.5
    picture = [
        torch.where(lines, steps, s * torch.inf).amin(-1)
        if s > 0
        else torch.where(lines, steps, s * torch.inf).amax(-1)
        for lines in (across, along)
        for s in (1, -1)
    ]
    edges = [
        line.float().mean(-1)
        for line in (masks[:, :, 0], masks[:, :, -1], masks[..., 0], masks[..., -1])
    ]
    whole = (mean * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    cues = torch.cat(
        [
            box.flatten(2),
            mean,
            spread,
            torch.stack(picture, -1).nan_to_num(posinf=0.0, neginf=0.0),
            count / side**2,
            torch.stack(edges, -1),
            camera[:, None].expand(b, n, -1),
            mean - whole,
        ],
        dim=-1,
    )
    return box, cues


class InstanceBlock(nn.Module):
    """Instances attend to one another and to the picture's tokens in one softmax, then a
    feed-forward layer.
    """

    def __init__(self, width: int, context_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.context_to_kv = nn.Linear(context_width, 2 * width)
        self.to_out = nn.Linear(width, width)
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor, there: Tensor) -> Tensor:
        """(B, N, width), (B, T, context width), (B, N) bool which instances exist -> (B, N, width)."""
        query, key, value = (
            y.transpose(1, 2)
            for y in self.to_qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        )
        keys, values = (
            y.transpose(1, 2)
            for y in self.context_to_kv(context).unflatten(-1, (2, self.heads, -1)).unbind(2)
        )
        seen = torch.cat([there, there.new_ones(context.shape[:2])], dim=1)[:, None, None]
        out = attend(query, [key, keys], [value, values], seen)
        x = x + self.to_out(out.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class LayoutHead(nn.Module):
    """Boxes (B, N, 2, 3) of all instances of a picture; see the module docstring."""

    def __init__(
        self, fine_width: int, context_width: int, width: int = 160, blocks: int = 2, heads: int = 4
    ):
        super().__init__()
        self.inputs = nn.Sequential(
            nn.Linear(CUES + fine_width + context_width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.blocks = nn.ModuleList(
            InstanceBlock(width, context_width, heads) for _ in range(blocks)
        )
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), zero_init(nn.Linear(width, 6))
        )

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
        masks = whole > 0
        there = whole.flatten(2).amax(-1) > 0
        sampled = (
            labels[:, None, 1::2, 1::2] == wanted
        )  # one pixel in four; all of them would mix depths at outlines
        exact = sampled.flatten(2).any(-1)[..., None, None]
        box, cues = visible_cues(
            points[:, :, 1::2, 1::2].float(), torch.where(exact, sampled, masks), camera.float()
        )
        pooled = (
            torch.einsum("bnhw,bfhw->bnf", whole, fine.float())
            / whole.sum((2, 3)).clamp(min=1)[..., None]
        )
        side = round(tokens.shape[1] ** 0.5)
        coarse = F.adaptive_avg_pool2d(whole, side).flatten(2)
        coarse = (coarse @ tokens.float()) / coarse.sum(-1, keepdim=True).clamp(min=1e-6)
        x = self.inputs(torch.cat([cues, pooled, coarse], dim=-1))
        for block in self.blocks:
            x = block(x, tokens, there)
        size = (box[:, :, 1] - box[:, :, 0]).amax(-1)[..., None, None] + EDGE
        corners = box + size * self.out(x).float().unflatten(-1, (2, 3))
        return torch.stack([corners.amin(2), corners.amax(2)], dim=2)
