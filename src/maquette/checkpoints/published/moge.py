"""MoGe-2 and MoGe-3 as they are released: one file of tensors, from whose names and shapes the
sizes follow.

The backbone has the names of DINOv2's hub; all else has ours. Heads of two blocks' norms, as older
training runs had them, are not of the releases and are refused; the normals are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import torch

from maquette.checkpoints.published.base import Tensors
from maquette.checkpoints.published.dinov2 import HUB_NAMES
from maquette.checkpoints.published.names import from_published
from maquette.errors import CheckpointError
from maquette.models.moge import MoGe, MoGeConfig, PyramidConfig
from maquette.models.moge_refiner import RefinerConfig
from maquette.models.vision import VisionConfig

BACKBONE = "encoder.backbone."
HEAD_WIDTH = 64  # of attention, in every DINOv2
DEPTHS = 4  # of blocks whose tokens are used, evenly apart
UNUSED = ("encoder.image_mean", "encoder.image_std", f"{BACKBONE}mask_token")
RULES = tuple(
    replace(
        rule,
        ours=re.escape(BACKBONE) + rule.ours,
        theirs=tuple(BACKBONE + name for name in rule.theirs),
    )
    for rule in HUB_NAMES
)


def is_moge(names: Tensors) -> bool:
    """Whether tensors are those of MoGe-2 or MoGe-3."""
    return "points_head.output_blocks.4.weight" in names and f"{BACKBONE}cls_token" in names


def config_of(tensors: Tensors) -> MoGeConfig:
    """Sizes, read off names and shapes. CheckpointError when something is missing."""
    try:
        vision = _vision(tensors)
        step = vision.blocks // DEPTHS
        layers = tuple(step * (k + 1) - 1 for k in range(DEPTHS))
        features = len(tensors["encoder.output_projections.0.weight"])
        neck, points, mask = (
            _pyramid(tensors, name) for name in ("neck", "points_head", "mask_head")
        )
        scale = _widths(tensors, "scale_head")
        refiner = _refiner(tensors) if "refiner.out_proj.weight" in tensors else None
        return MoGeConfig(vision, layers, features, neck, points, mask, scale, refiner)
    except KeyError as error:
        raise CheckpointError(f"these are not the weights of MoGe: {error} is missing") from error


def _vision(tensors: Tensors) -> VisionConfig:
    width = tensors[f"{BACKBONE}cls_token"].shape[-1]
    patch = tensors[f"{BACKBONE}patch_embed.proj.weight"].shape[-1]
    side = round((tensors[f"{BACKBONE}pos_embed"].shape[1] - 1) ** 0.5)
    blocks = _count(tensors, rf"{re.escape(BACKBONE)}blocks\.(\d+)\.norm1\.weight")
    return VisionConfig(
        image_size=side * patch,
        patch=patch,
        width=width,
        blocks=blocks,
        heads=width // HEAD_WIDTH,
        registers=0,
        antialias=False,
        stretch_offset=0.1,
    )


def _count(tensors: Tensors, pattern: str) -> int:
    found = [int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name))]
    return max(found, default=-1) + 1


def _pyramid(tensors: Tensors, name: str) -> PyramidConfig:
    steps = _count(tensors, rf"{name}\.resamplers\.(\d+)\.1\.weight")
    levels = range(steps + 1)
    if f"{name}.res_blocks.1.0.layers.0.weight" in tensors:
        raise CheckpointError(f"{name} has norms between its convolutions; no release has them")
    coarsest = tensors[f"{name}.input_blocks.0.weight"].shape[0]
    finer = [tensors[f"{name}.resamplers.{level}.1.weight"].shape[0] for level in range(steps)]
    convolved = rf"{name}\.res_blocks\.%d\.(\d+)\.layers\.2\.weight"
    return PyramidConfig(
        tuple(_channels(tensors, f"{name}.input_blocks.{level}", 1) for level in levels),
        (coarsest, *finer),
        tuple(_channels(tensors, f"{name}.output_blocks.{level}", 0) for level in levels),
        tuple(_count(tensors, convolved % level) for level in levels),
        tuple(f"{name}.resamplers.{level}.0.weight" in tensors for level in range(steps)),
    )


def _channels(tensors: Tensors, layer: str, axis: int) -> int | None:
    weight = tensors.get(f"{layer}.weight")
    return None if weight is None else weight.shape[axis]


def _widths(tensors: Tensors, name: str) -> tuple[int, ...]:
    layers = range(0, _count(tensors, rf"{name}\.(\d+)\.weight"), 2)
    first = tensors[f"{name}.0.weight"].shape[1]
    return (first, *(tensors[f"{name}.{k}.weight"].shape[0] for k in layers))


def _refiner(tensors: Tensors) -> RefinerConfig:
    steps = _count(tensors, r"refiner\.downsample_blocks\.(\d+)\.linear\.weight")
    layers = ["input_proj", *(f"downsample_blocks.{level}.linear" for level in range(steps))]
    widths = tuple(len(tensors[f"refiner.{layer}.weight"]) for layer in layers)
    features = tensors["refiner.encoder_fuse.weight"].shape[1]
    down = _blocks(tensors, [f"down_stages.{level}" for level in range(steps + 1)])
    up = _blocks(tensors, [f"up_stages.{level}" for level in reversed(range(steps))])
    (coarsest,) = _blocks(tensors, ["bottleneck_stage"])
    return RefinerConfig(features, widths, down, coarsest, up)


def _blocks(tensors: Tensors, stages: Iterable[str]) -> tuple[int, ...]:
    patterns = [rf"refiner\.{re.escape(stage)}\.(\d+)\.norm1\.weight" for stage in stages]
    return tuple(_count(tensors, pattern) for pattern in patterns)


def load(tensors: Tensors, dtype: torch.dtype = torch.float32) -> MoGe:
    """The network of a released file. CheckpointError when it is not one."""
    wanted = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in UNUSED and not name.startswith("normal_head.")
    }
    with torch.device("meta"):
        network = MoGe(config_of(wanted))
    from_published(network, wanted, dtype, rules=RULES)
    return network
