"""A release with batch norms is the trunk without them."""

import pytest
import torch
import torch.nn.functional as F

from maquette.checkpoints.efficientnet import EPSILON, load_release, trunk_from_release
from maquette.errors import CheckpointError
from maquette.models.backbone import STAGES, STEM


def release(seed=0):
    """Random tensors under the released names, head included, whatever builds the trunk."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}

    def add(convolution, norm, after, before, kernel):
        tensors[f"{convolution}.weight"] = 0.2 * torch.randn(
            after, before, kernel, kernel, generator=generator
        )
        for name in ("weight", "running_var"):
            tensors[f"{norm}.{name}"] = 0.5 + torch.rand(after, generator=generator)
        for name in ("bias", "running_mean"):
            tensors[f"{norm}.{name}"] = 0.1 * torch.randn(after, generator=generator)

    add("_conv_stem", "_bn0", STEM, 3, 3)
    before, number = STEM, 0
    for stage in STAGES:
        for _ in range(stage.count):
            own, wide = f"_blocks.{number}", before * stage.expand
            if stage.expand > 1:
                add(f"{own}._expand_conv", f"{own}._bn0", wide, before, 1)
            add(f"{own}._depthwise_conv", f"{own}._bn1", wide, 1, stage.kernel)
            add(f"{own}._project_conv", f"{own}._bn2", stage.width, wide, 1)
            before, number = stage.width, number + 1
    add("_conv_head", "_bn1", 1280, 320, 1)
    return tensors


def normed(x, tensors, norm):
    parts = [tensors[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *parts, eps=EPSILON)


def test_the_first_maps_are_those_of_convolution_and_norm():
    tensors = release()
    x = torch.randn(1, 3, 16, 16)
    h = F.conv2d(F.pad(x, (0, 1, 0, 1)), tensors["_conv_stem.weight"], stride=2)
    h = F.relu6(normed(h, tensors, "_bn0"))
    own = "_blocks.0"
    deep = tensors[f"{own}._depthwise_conv.weight"]
    h = F.relu6(normed(F.conv2d(h, deep, padding=1, groups=STEM), tensors, f"{own}._bn1"))
    h = normed(F.conv2d(h, tensors[f"{own}._project_conv.weight"]), tensors, f"{own}._bn2")
    torch.testing.assert_close(trunk_from_release(tensors)(x)[0], h, atol=1e-5, rtol=1e-4)


def test_another_file_is_named(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name in ("other.pth", "missing.pth"):
        with pytest.raises(CheckpointError, match=rf"{name}: cannot be read as EfficientNet-Lite0"):
            load_release(tmp_path / name)


def test_a_file_comes_back(tmp_path):
    tensors = release(1)
    torch.save(tensors, tmp_path / "lite0.pth")
    x = torch.randn(1, 3, 32, 32)
    for ours, theirs in zip(
        load_release(tmp_path / "lite0.pth")(x), trunk_from_release(tensors)(x)
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
