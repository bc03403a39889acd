"""Task: the image encoder's warm-up, which is also its first product: depth, normals, camera and
boxes from one photo with masks, and the relief of single objects in windows of their own
(models/relief.py). train/photos.py makes the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.models.image_encoder import Geometry, GeometryNet
from maquette.models.layout import ray_latitudes
from maquette.models.relief import Windows, centred, coarse_relief, window_widths
from maquette.train.photos import GeometrySamples, SampleConfig
from maquette.train.sources import Sources
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Scores,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    picture_of,
    stacked,
)

EXAMINED = 48  # held-out views
SHOWN = 8  # of them, in the picture of the examination
# Of pitch, log focal, centre x and y, log span. A wrong pitch puts objects at wrong distances; a
# wrong focal length hardly matters, and is hardly to be seen: with equal weights its noise drowned
# the rest.
CAMERA_WEIGHTS = (8.0, 0.5, 3.0, 3.0, 2.0)


def windows_of(batch: Batch) -> Windows | None:
    """The close looks of a batch."""
    if "close_pictures" not in batch:
        return None
    return Windows(batch["close_pictures"], batch["close_places"], batch["close_labels"])


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of what counts; 0 where nothing does."""
    return (weights * values).sum() / weights.sum().clamp(min=1)


def depth_losses(depth: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """L1 of log relative depth (ground a quarter as important as objects), and L1 of its
    differences inside objects.
    """
    weight = 0.25 * batch["known"].float() + 0.75 * batch["object"].float()
    error = depth - batch["depth"]
    return weighted_mean(error.abs(), weight), slope_error(error, batch["labels"] * batch["object"])


def slope_error(error: Tensor, objects: Tensor) -> Tensor:
    """L1 of the differences of errors (..., H, W) between pixels 1 and 4 apart of the same object;
    objects: (..., H, W) int, 0 = none.
    """
    total = error.new_zeros(())
    for step in (1, 4):
        for dim in (-2, -1):
            length = error.shape[dim] - step
            here = objects.narrow(dim, 0, length)
            same = ((here == objects.narrow(dim, step, length)) & (here > 0)).float()
            first = error.narrow(dim, 0, length)
            second = error.narrow(dim, step, length)
            total = total + weighted_mean((second - first).abs(), same)
    return total


@dataclass(frozen=True, eq=False)
class ReliefErrors:
    """Of the close looks, on the objects' own pixels of all windows."""

    value: Tensor  # L1 of the relief
    slope: Tensor  # L1 of its differences
    normal: Tensor  # 1 - cosine


def relief_errors(relief: Tensor, normal: Tensor, batch: Batch) -> ReliefErrors:
    """Errors of reliefs (B, K, P, P) and normals (B, K, 3, P, P)."""
    own = batch["close_own"]
    wide = window_widths(batch["close_places"], batch["camera"])[..., None, None]
    truth = (centred(batch["close_depth"], own) / wide).clamp(-3, 3)
    error = centred(relief, own) - truth
    bend = 1 - (normal * batch["close_normal"]).sum(2)
    value = weighted_mean(error.abs(), own.float())
    slope = slope_error(error, own.long())
    return ReliefErrors(value, slope, weighted_mean(bend, own.float()))


def box_loss(boxes: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Error of the boxes' corners over their longest side plus half of 1 - IoU, and the mean IoU,
    of the instances that the input shows.
    """
    count = boxes.shape[1]
    truth = batch["boxes"][:, :count]
    labels = torch.arange(1, count + 1, device=boxes.device)[:, None]
    there = (batch["shown"].flatten(1)[:, None] == labels).any(-1).float()
    side = _sides(truth).amax(-1) + 0.05
    corner = (boxes - truth).abs().mean((2, 3)) / side
    high = torch.minimum(boxes[:, :, 1], truth[:, :, 1])
    low = torch.maximum(boxes[:, :, 0], truth[:, :, 0])
    overlap = (high - low).clamp(min=0).prod(-1)
    volume, true_volume = (_sides(box).clamp(min=0.005).prod(-1) for box in (boxes, truth))
    iou = overlap / (volume + true_volume - overlap)
    return weighted_mean(corner + 0.5 * (1 - iou), there), weighted_mean(iou, there)


def _sides(boxes: Tensor) -> Tensor:
    """(B, K, 3) side lengths of boxes (B, K, 2, 3)."""
    return boxes[:, :, 1] - boxes[:, :, 0]


def _latitude_error(latitude: Tensor, batch: Batch) -> Tensor:
    """Mean absolute error of the sine of the rays' latitudes."""
    return (latitude - ray_latitudes(batch["camera"], latitude.shape[-1])).abs().mean()


class GeometryTask(Task[GeometryNet]):
    """Train a GeometryNet on random views; ``size`` below the network's own makes early training
    several times cheaper.
    """

    collate = staticmethod(stacked)

    def __init__(
        self,
        model: GeometryNet,
        sources: Sources,
        seed: int = 0,
        size: int | None = None,
    ):
        self.model = model
        c = model.config
        trained = SampleConfig(size or c.size, close=c.close)
        judged = SampleConfig(c.size, augment=False, close=c.close)
        self.dataset = GeometrySamples(sources.views, sources.library, trained, seed)
        unseen, library = sources.unseen, sources.held_out
        self.held_out = GeometrySamples(unseen, library, judged, seed + 1)
        self.examined = HeldOut(self.held_out, EXAMINED, self.collate)

    def loss(
        self,
        model: GeometryNet,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Depth, slope, normals, camera, boxes, relief."""
        seen = model(batch["picture"], batch["shown"], windows_of(batch))
        value, slope = depth_losses(seen.depth, batch)
        surface = (batch["object"] * 0.9 + 0.1 * batch["known"]).float()
        bend = weighted_mean(1 - (seen.normal * batch["normal"]).sum(1), surface)
        off = F.smooth_l1_loss(seen.camera, batch["camera"], beta=0.05, reduction="none").mean(0)
        pose = (off * off.new_tensor(CAMERA_WEIGHTS)).mean()
        pitch = (seen.camera - batch["camera"])[:, 0].abs().mean()
        terms = [value, slope, 0.3 * bend, pose]
        parts = {
            "depth": value,
            "slope": slope,
            "normal": bend,
            "camera": pose,
            "pitch": pitch,
        }
        if seen.latitude is not None:
            parts["latitude"] = _latitude_error(seen.latitude, batch)
            terms.append(2 * parts["latitude"])
        if seen.boxes is not None:
            layout, parts["box_iou"] = box_loss(seen.boxes, batch)
            terms.append(0.5 * layout)
        if seen.relief is not None and seen.close_normal is not None:
            close = relief_errors(seen.relief, seen.close_normal, batch)
            parts |= {"relief": close.value, "close_normal": close.normal}
            terms += [2 * close.value, close.slope, 0.3 * close.normal]
        return sum(terms, value.new_zeros(())), detached(parts)

    @torch.no_grad()
    def examine(self, model: GeometryNet) -> ScoresAndPicture:
        """Errors on held-out views, and a picture of the first of them."""
        batch = self.examined.batch(device_of(model))
        seen = model(batch["picture"], batch["shown"], windows_of(batch))
        shown = {name: batch[name][:SHOWN].cpu() for name in ("picture", "known", "depth")}
        picture = _picture(shown, seen.depth[:SHOWN].cpu(), seen.normal[:SHOWN].cpu())
        return held_out_errors(seen, batch), picture


def held_out_errors(seen: Geometry, batch: Batch) -> Scores:
    """Errors of what is estimated: depth on objects (relative, per cent), pitch (degrees), focal
    (per cent), IoU of the boxes, and relief of the visible surface in per cent of its window's
    width, with and without the close look.
    """
    mask = batch["object"].float()
    error = (mask * (seen.depth - batch["depth"]).abs()).sum((1, 2))
    pixels = mask.sum((1, 2)).clamp(min=1)
    cosine = (mask * (seen.normal * batch["normal"]).sum(1)).sum() / mask.sum()
    off = (seen.camera - batch["camera"]).abs().mean(0).tolist()
    scores = {"depth_percent": 100 * float((error / pixels).mean())}
    scores["normal_cosine"] = float(cosine)
    scores["pitch_degrees"] = off[0] * 180 / np.pi
    scores["focal_percent"] = 100 * off[1]
    scores["span_percent"] = 100 * off[4]
    if seen.boxes is not None:
        scores["box_iou"] = float(box_loss(seen.boxes, batch)[1])
    if seen.latitude is not None:
        latitude = _latitude_error(seen.latitude, batch)
        scores["latitude_degrees"] = float(torch.rad2deg(latitude))
    windows = windows_of(batch)
    if windows is not None and seen.relief is not None and seen.close_normal is not None:
        coarse = coarse_relief(seen.depth, seen.camera, batch["shown"], windows)
        reliefs = {"relief_percent": seen.relief, "coarse_relief_percent": coarse}
        for name, relief in reliefs.items():
            scores[name] = 100 * float(relief_errors(relief, seen.close_normal, batch).value)
    return scores


def _grey(depth: Tensor) -> Tensor:
    """(3, H, W) in [-1, 1] of a log relative depth (H, W)."""
    return (depth[None] / 0.8).clamp(-1, 1).expand(3, -1, -1)


def _picture(batch: Batch, depth: Tensor, normal: Tensor) -> np.ndarray:
    """Photo, true depth, predicted depth, predicted normals of held-out views (on the CPU)."""
    columns = []
    for i, known in enumerate(batch["known"]):
        photo = batch["picture"][i, :3]
        depths = [_grey(shown) * known for shown in (batch["depth"][i], depth[i])]
        columns.append(torch.cat([photo, *depths, normal[i] * known], dim=1))
    return picture_of(torch.cat(columns, dim=2))
