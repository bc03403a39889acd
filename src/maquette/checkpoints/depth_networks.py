"""Networks of others that see depth: any depth model of transformers, and MoGe-2.

In the flow: a folder of weights -> DepthNetwork: photo -> SeenDepth, which goes the same way as a
depth map that a user brings (``stages.seen``). Nothing is fetched here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.checkpoints.catalogue import hub_folder
from maquette.checkpoints.hub import INSTALL
from maquette.checkpoints.layouts import find_weights, read_config, read_tensors
from maquette.checkpoints.published import moge
from maquette.errors import CheckpointError, InputError, MissingExtraError, contained
from maquette.models.moge import MoGe, focal_and_shift

METRIC = ("depth_pro", "zoedepth", "glpn")  # kinds of models that tell metres
DISPARITY = ("dpt",)  # kinds that tell inverse depth of unknown scale and shift
BY_CONFIG = ("depth_anything", "prompt_depth_anything")  # kinds whose configuration says it
REMEDY = "fetch the model again, or give another one"


@dataclass(frozen=True, eq=False)
class SeenDepth:
    """What a network says of a photo (H, W)."""

    depth: np.ndarray  # (H, W) float32 z-depth, nan = not known; or inverse depth
    metric: bool  # in metres
    inverse: bool = False  # ``depth`` is inverse depth, up to a scale and a shift
    focal: float | None = None  # of the photo's longer side; None = it says nothing of it


@dataclass(frozen=True, eq=False)
class DepthNetwork:
    """A network that is loaded."""

    name: str
    # photo (H, W, 3) uint8, and its focal length where it is known (of the longer side)
    look: Callable[[np.ndarray, float | None], SeenDepth]


def open_depth_network(name: str, device: torch.device) -> DepthNetwork:
    """A network by its short name, OWNER/NAME, or folder. InputError when it is not here,
    CheckpointError when it is none that sees depth.
    """
    folder = hub_folder(name, gives="depth")
    if not (folder / "config.json").is_file():
        tensors = read_tensors(*find_weights(folder))
        if not moge.is_moge(tensors):
            raise CheckpointError(
                f"{folder}: has no config.json, and its weights are not those of MoGe; {REMEDY}"
            )
        return DepthNetwork(name, functools.partial(_look_moge, moge.load(tensors).to(device)))
    return DepthNetwork(name, _transformers_look(folder, device))


@torch.no_grad()
def _look_moge(network: MoGe, photo: np.ndarray, focal: float | None) -> SeenDepth:
    device = next(network.parameters()).device
    seen = network(colours_of(photo).to(device))
    points = seen.points[0].float().cpu().numpy()
    there = seen.mask[0].cpu().numpy() > 0.5
    found, shift = focal_and_shift(points, there, focal)
    if not found > 0:
        raise InputError(f"no camera sees the points of MoGe ({found:.2f}); give --intrinsics")
    depth = points[..., 2] + shift
    known = there & (depth > 0)
    metres = np.where(known, depth * float(seen.scale[0]), np.nan)
    return SeenDepth(metres.astype(np.float32), True, focal=found)


def colours_of(photo: np.ndarray) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


def _transformers_look(
    folder: Path, device: torch.device
) -> Callable[[np.ndarray, float | None], SeenDepth]:
    config = read_config(folder / "config.json")
    kind = str(config.get("model_type"))
    known = (*METRIC, *DISPARITY, *BY_CONFIG)
    if kind not in known:
        raise CheckpointError(
            f"{folder}: is a {kind}, of which it is not known what its depth means; "
            f"known are {', '.join(known)} and MoGe-2"
        )
    if kind == "prompt_depth_anything":
        raise CheckpointError(
            f"{folder}: completes a depth map and does not see one; give it as --depth FILE"
        )
    network = loaded(folder, "AutoModelForDepthEstimation").to(device)
    if kind == "depth_pro":
        size = read_config(folder / "preprocessor_config.json").get("size", {})
        return functools.partial(_look_depth_pro, network, size.get("height", 1536))
    processor = loaded(folder, "AutoImageProcessor")
    relative = config.get("depth_estimation_type", "relative") == "relative"
    inverse = kind in DISPARITY or (kind in BY_CONFIG and relative)
    return functools.partial(_look_any, network, processor, inverse)


def loaded(folder: Path, auto: str) -> Any:
    """A part of a model through one of transformers' Auto classes, from its folder alone."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(f"{folder}: reading it needs transformers: {INSTALL}") from error
    with contained(f"{folder}: transformers cannot read it", REMEDY, CheckpointError):
        found = getattr(transformers, auto).from_pretrained(folder, local_files_only=True)
    return found.eval() if hasattr(found, "eval") else found


@torch.no_grad()
def _look_any(
    network: Any,
    processor: Any,
    inverse: bool,
    photo: np.ndarray,
    focal: float | None,
) -> SeenDepth:
    size = photo.shape[:2]
    told = {"target_sizes": [size]}
    if network.config.model_type == "zoedepth":
        told["source_sizes"] = [size]
    given = processor(images=[photo], return_tensors="pt").to(network.device)
    (seen,) = processor.post_process_depth_estimation(network(**given), **told)
    depth = seen["predicted_depth"].float().cpu().numpy()
    if not inverse:
        depth = np.where(depth > 0, depth, np.nan)
    return SeenDepth(depth.astype(np.float32), not inverse, inverse)


@torch.no_grad()
def _look_depth_pro(
    network: Any,
    side: int,
    photo: np.ndarray,
    focal: float | None,
) -> SeenDepth:
    """Depth Pro (arXiv 2410.02073): inverse depth of a camera whose focal length is the picture's
    width, and the angle of its own. side: of the picture that the network takes.
    """
    height, width = photo.shape[:2]
    pixels = F.interpolate(2 * colours_of(photo) - 1, (side, side), mode="bilinear")
    seen = network(pixels.to(network.device))
    degrees = 0.0 if seen.field_of_view is None else seen.field_of_view.item()
    if focal is None and 0 < degrees < 180:
        focal = 0.5 * width / np.tan(np.deg2rad(degrees / 2)) / max(height, width)
    raw = seen.predicted_depth.float()[:, None]
    plane = F.interpolate(raw, (height, width), mode="bilinear")[0, 0].cpu().numpy()
    in_widths = max(height, width) / width * (focal or 1.0)
    depth = 1.0 / np.clip(plane / in_widths, 1e-4, 1e4)
    return SeenDepth(depth.astype(np.float32), focal is not None, focal=focal)
