"""Task: the image encoder's warm-up, which is also its first product: depth, normals, camera and
boxes from one photo with masks, and the relief of single objects in windows of their own
(models/relief.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.augment import augment_image, jitter_labels
from maquette.data.library import AssetLibrary
from maquette.data.views import View, boxes_in_scene
from maquette.models.conditioning import (
    Picture,
    camera_parameters,
    centre_depth,
    close_look,
    cut_window,
    geometry_input,
    letterbox,
)
from maquette.models.image_encoder import GeometryNet
from maquette.models.layout import ray_latitudes
from maquette.models.relief import Windows, centred, coarse_relief, window_widths

ViewSource = Callable[[np.random.Generator], View]  # a random view of a random scene

INSTANCES = 24  # boxes per view at most
WINDOWS = 2  # close looks per view
LEAST = 24  # pixels of a view that an object must have to be looked at closely
EXAMINED = 48  # held-out views
# Of pitch, log focal, centre x and y, log span. A wrong pitch puts objects at wrong distances; a
# wrong focal length hardly matters, and is hardly to be seen: with equal weights its noise drowned
# the rest.
CAMERA_WEIGHTS = (8.0, 0.5, 3.0, 3.0, 2.0)
MIRRORED = (
    "picture",
    "shown",
    "depth",
    "known",
    "object",
    "labels",
    "normal",
    "close_pictures",
    "close_depth",
    "close_own",
    "close_normal",
)
_FAR = 1.5  # log relative depth is not trained beyond +- this (endless ground)


def geometry_sample(
    view: View,
    boxes: np.ndarray,
    rng: np.random.Generator,
    size: int,
    augment: bool,
    close: int = 0,
) -> dict[str, Tensor]:
    """Network input and targets of one view and the boxes (K, 2, 3) of its placements; a random
    crop or letterbox makes every aspect.

    ``close``: pixels of the windows that look at single objects (0 = none).
    """
    image = view.image
    labels = view.instance.astype(np.int32)
    height, width = labels.shape
    # Cutting rows or columns off symmetrically keeps the principal point centred, as photos have
    # it.
    cut_x = cut_y = 0
    if augment and rng.random() < 0.6:
        keep = rng.uniform(0.55, 1.0)
        occupied_x = np.flatnonzero(labels.any(0))
        occupied_y = np.flatnonzero(labels.any(1))
        if rng.random() < 0.7:
            limit = min(occupied_y[0], height - 1 - occupied_y[-1]) if len(occupied_y) else 0
            cut_y = int(min((1 - keep) * height / 2, limit + 0.05 * height))
        else:
            limit = min(occupied_x[0], width - 1 - occupied_x[-1]) if len(occupied_x) else 0
            cut_x = int(min((1 - keep) * width / 2, limit + 0.05 * width))
    window = (slice(cut_y, height - cut_y), slice(cut_x, width - cut_x))
    truth = letterbox(
        np.ascontiguousarray(image[window]), np.ascontiguousarray(labels[window]), size
    )
    picture = _augmented(truth, rng) if augment else truth
    camera = camera_parameters(view.camera).astype(np.float64)
    longer_ratio = max(height, width) / max(height - 2 * cut_y, width - 2 * cut_x)
    log_centre_depth = np.log(centre_depth(camera))
    camera[1] += np.log(longer_ratio)
    camera[2:4] *= longer_ratio
    camera[4] -= np.log(longer_ratio)
    rows = (
        np.clip(
            ((np.arange(size) + 0.5 - truth.offset[1]) / truth.scale).astype(int),
            0,
            height - 2 * cut_y - 1,
        )
        + cut_y
    )
    columns = (
        np.clip(
            ((np.arange(size) + 0.5 - truth.offset[0]) / truth.scale).astype(int),
            0,
            width - 2 * cut_x - 1,
        )
        + cut_x
    )
    depth = view.depth[np.ix_(rows, columns)]
    relative = (
        np.log(np.clip(np.where(np.isfinite(depth), depth, 1e6), 1e-3, 1e6)) - log_centre_depth
    )
    known = truth.inside & np.isfinite(depth) & (np.abs(relative) < _FAR)
    normal = (
        view.normal[np.ix_(rows, columns)] @ view.camera.world_from_camera[:3, :3]
    )  # into the camera's axes
    padded = np.zeros((INSTANCES, 2, 3), np.float32)
    padded[: len(boxes)] = boxes[:INSTANCES]
    sample = {
        "picture": torch.from_numpy(geometry_input(picture)),
        "shown": torch.from_numpy(
            np.where(picture.labels <= INSTANCES, picture.labels, 0).astype(np.int64)
        ),
        "boxes": torch.from_numpy(padded),
        "depth": torch.from_numpy(np.clip(relative, -_FAR, _FAR).astype(np.float32)),
        "known": torch.from_numpy(known),
        "object": torch.from_numpy((truth.labels > 0) & known),
        "labels": torch.from_numpy(truth.labels.astype(np.int64)),
        "normal": torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)),
        "camera": torch.from_numpy(camera.astype(np.float32)),
    }
    if close:
        frame = (
            cut_x - truth.offset[0] / truth.scale,
            cut_y - truth.offset[1] / truth.scale,
            size / truth.scale,
        )
        sample |= close_samples(
            view, window, frame, np.unique(sample["shown"]), rng, close, augment
        )
    return mirrored(sample) if augment and rng.random() < 0.5 else sample


def close_samples(
    view: View,
    frame: tuple[slice, slice],
    square: tuple[float, float, float],
    shown: np.ndarray,
    rng: np.random.Generator,
    size: int,
    augment: bool,
) -> dict[str, Tensor]:
    """Windows around WINDOWS random objects of a view and what is true in them.

    frame: the part of the view that is the photo; square: left, top and side, in the view's pixels,
    of the letterboxed picture; shown: the labels that the picture shows.
    """
    image = view.image[frame]
    labels = view.instance[frame].astype(np.int32)
    origin = np.array([frame[1].start, frame[0].start])
    there = [label for label in shown[shown > 0] if (labels == label).sum() >= LEAST]
    chosen = (
        rng.permutation(there)[:WINDOWS]
        if len(there) >= WINDOWS
        else rng.choice(there, WINDOWS)
        if there
        else np.zeros(WINDOWS, int)
    )
    normal = view.normal[frame] @ view.camera.world_from_camera[:3, :3]
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("pictures", "places", "depth", "own", "normal")
    }
    for label in chosen:
        cut = cut_window(
            image, labels, int(label), size, float(rng.uniform(1.1, 1.5)) if augment else 1.25
        )
        depth = view.depth[frame][cut.pixels]
        own = (cut.labels == label) & (label > 0) & np.isfinite(depth)
        shown_cut = cut
        if augment:
            drawn = (
                jitter_labels(cut.labels, rng) if rng.random() < 0.3 and own.any() else cut.labels
            )
            shown_cut = replace(
                cut, colours=augment_image(cut.colours, rng), labels=np.where(cut.inside, drawn, 0)
            )
        parts["pictures"].append(close_look(shown_cut, int(label)))
        parts["places"].append(
            np.array([*(origin + cut.window[:2] - square[:2]), cut.window[2]]) / square[2]
        )
        parts["depth"].append(np.log(np.clip(np.where(own, depth, 1.0), 1e-3, 1e6)))
        parts["own"].append(own)
        parts["normal"].append(normal[cut.pixels].transpose(2, 0, 1))
    stacked = {f"close_{name}": np.stack(values) for name, values in parts.items()}
    tensors = {
        name: torch.from_numpy(a if a.dtype == bool else a.astype(np.float32))
        for name, a in stacked.items()
    }
    return tensors | {"close_labels": torch.from_numpy(chosen.astype(np.int64))}


def windows_of(batch: dict[str, Tensor]) -> Windows | None:
    """The close looks of a batch."""
    return (
        Windows(batch["close_pictures"], batch["close_places"], batch["close_labels"])
        if "close_pictures" in batch
        else None
    )


def relief_losses(
    relief: Tensor, normal: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """L1 of the relief, L1 of its differences, and 1 - cosine of the normals, on the objects' own
    pixels of all windows.
    """
    own = batch["close_own"]
    wide = window_widths(batch["close_places"], batch["camera"])[..., None, None]
    error = centred(relief, own) - (centred(batch["close_depth"], own) / wide).clamp(-3, 3)
    weight = own.float()
    value = (weight * error.abs()).sum() / weight.sum().clamp(min=1)
    slope = slope_error(error, own.long())
    bend = (weight * (1 - (normal * batch["close_normal"]).sum(2))).sum() / weight.sum().clamp(
        min=1
    )
    return value, slope, bend


def mirrored(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sample of the mirrored photo: x changes its sign in the picture and in the scene. Doing
    it twice changes nothing.
    """
    flipped = sample | {name: sample[name].flip(-1) for name in MIRRORED if name in sample}
    flipped["normal"] = flipped["normal"] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    if "close_places" in sample:
        left, top, side = sample["close_places"].unbind(-1)
        flipped["close_places"] = torch.stack([1 - left - side, top, side], dim=-1)
        flipped["close_normal"] = (
            flipped["close_normal"] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
        )
    flipped["camera"] = sample["camera"] * torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0])
    low, high = sample["boxes"].unbind(1)
    x = torch.tensor([1.0, 0.0, 0.0])
    flipped["boxes"] = torch.stack([low - x * (low + high), high - x * (low + high)], dim=1)
    return flipped


def _augmented(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another photo of the same, with masks that a person or a program drew less exactly; done on
    the small picture, where it is cheap.
    """
    image = (
        augment_image(np.round((picture.image + 1) * 127.5).astype(np.uint8), rng).astype(
            np.float32
        )
        / 127.5
        - 1
    )
    labels = jitter_labels(picture.labels, rng) if rng.random() < 0.3 else picture.labels
    return replace(
        picture,
        image=image * picture.inside[..., None],
        labels=np.where(picture.inside, labels, 0).astype(np.int32),
    )


class GeometrySamples(Dataset):
    """Sample i depends on (seed, i) only."""

    def __init__(
        self,
        source: ViewSource,
        library: AssetLibrary,
        size: int,
        seed: int = 0,
        augment: bool = True,
        close: int = 0,
    ):
        self.source = source
        self.library = library
        self.size = size
        self.seed = seed
        self.augment = augment
        self.close = close

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index, 2))
        view = self.source(rng)
        return geometry_sample(
            view, boxes_in_scene(view, self.library), rng, self.size, self.augment, self.close
        )


def depth_losses(depth: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """L1 of log relative depth (ground a quarter as important as objects), and L1 of its
    differences inside objects.
    """
    weight = 0.25 * batch["known"].float() + 0.75 * batch["object"].float()
    error = depth - batch["depth"]
    value = (weight * error.abs()).sum() / weight.sum().clamp(min=1)
    return value, slope_error(error, batch["labels"] * batch["object"])


def slope_error(error: Tensor, objects: Tensor) -> Tensor:
    """L1 of the differences of errors (..., H, W) between pixels 1 and 4 apart of the same object;
    objects: (..., H, W) int, 0 = none.
    """
    total = error.new_zeros(())
    for step in (1, 4):
        for dim in (-2, -1):
            length = error.shape[dim] - step
            (a, b), (e, f) = (
                (x.narrow(dim, 0, length), x.narrow(dim, step, length)) for x in (objects, error)
            )
            same = ((a == b) & (a > 0)).float()
            total = total + (same * (f - e).abs()).sum() / same.sum().clamp(min=1)
    return total


def box_loss(boxes: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Error of the boxes' corners over their longest side plus half of 1 - IoU, and the mean IoU,
    of the instances that the input shows.
    """
    count = boxes.shape[1]
    truth = batch["boxes"][:, :count]
    there = (
        (
            batch["shown"].flatten(1)[:, None]
            == torch.arange(1, count + 1, device=boxes.device)[:, None]
        )
        .any(-1)
        .float()
    )
    side = (truth[:, :, 1] - truth[:, :, 0]).amax(-1) + 0.05
    corner = (boxes - truth).abs().mean((2, 3)) / side
    overlap = (
        (
            torch.minimum(boxes[:, :, 1], truth[:, :, 1])
            - torch.maximum(boxes[:, :, 0], truth[:, :, 0])
        )
        .clamp(min=0)
        .prod(-1)
    )
    volumes = [(box[:, :, 1] - box[:, :, 0]).clamp(min=0.005).prod(-1) for box in (boxes, truth)]
    iou = overlap / (volumes[0] + volumes[1] - overlap)
    total = there.sum().clamp(min=1)
    return (there * (corner + 0.5 * (1 - iou))).sum() / total, (there * iou).sum() / total


class GeometryTask:
    """Train a GeometryNet on random views; ``size`` below the network's own makes early training
    several times cheaper.
    """

    def __init__(
        self,
        model: GeometryNet,
        sources: tuple[ViewSource, ViewSource],
        libraries: tuple[AssetLibrary, AssetLibrary],
        seed: int = 0,
        size: int | None = None,
    ):
        """``sources`` and ``libraries``: of the training, and of the examination on held-out
        objects.
        """
        self.model = model
        close = model.config.close
        self.dataset = GeometrySamples(
            sources[0], libraries[0], size or model.config.size, seed, close=close
        )
        self.held_out = GeometrySamples(
            sources[1], libraries[1], model.config.size, seed + 1, augment=False, close=close
        )
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Stack."""
        return {key: torch.stack([s[key] for s in samples]) for key in samples[0]}

    def loss(
        self, model: GeometryNet, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Depth, slope, normals, camera, boxes, relief."""
        seen = model(batch["picture"], batch["shown"], windows_of(batch))
        value, slope = depth_losses(seen.depth, batch)
        surface = (batch["object"] * 0.9 + 0.1 * batch["known"]).float()
        bend = (surface * (1 - (seen.normal * batch["normal"]).sum(1))).sum() / surface.sum().clamp(
            min=1
        )
        off = F.smooth_l1_loss(seen.camera, batch["camera"], beta=0.05, reduction="none").mean(0)
        pose = (off * off.new_tensor(CAMERA_WEIGHTS)).mean()
        total = value + slope + 0.3 * bend + pose
        pitch = (seen.camera - batch["camera"])[:, 0].abs().mean()
        parts = {"depth": value, "slope": slope, "normal": bend, "camera": pose, "pitch": pitch}
        if seen.latitude is not None:
            parts["latitude"] = (
                (seen.latitude - ray_latitudes(batch["camera"], seen.latitude.shape[-1]))
                .abs()
                .mean()
            )
            total = total + 2 * parts["latitude"]
        if seen.boxes is not None:
            layout, parts["box_iou"] = box_loss(seen.boxes, batch)
            total = total + 0.5 * layout
        if seen.relief is not None:
            parts["relief"], relief_slope, close_bend = relief_losses(
                seen.relief, seen.close_normal, batch
            )
            parts["close_normal"] = close_bend
            total = total + 2 * parts["relief"] + relief_slope + 0.3 * close_bend
        return total, {name: float(part.detach()) for name, part in parts.items()}

    @torch.no_grad()
    def examine(self, model: GeometryNet) -> tuple[dict[str, float], np.ndarray | None]:
        """Errors on held-out views: depth on objects (relative, per cent), pitch (degrees), focal
        (per cent), IoU of the boxes, and relief of the visible surface in per cent of its window's
        width, with and without the close look.
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([self.held_out[i] for i in range(EXAMINED)])
        batch = {name: values.to(device) for name, values in self._examination.items()}
        seen = model(batch["picture"], batch["shown"], windows_of(batch))
        mask = batch["object"].float()
        error = (mask * (seen.depth - batch["depth"]).abs()).sum((1, 2)) / mask.sum((1, 2)).clamp(
            min=1
        )
        cosine = (mask * (seen.normal * batch["normal"]).sum(1)).sum() / mask.sum()
        off = (seen.camera - batch["camera"]).abs().mean(0)
        scores = {
            "depth_percent": 100 * float(error.mean()),
            "normal_cosine": float(cosine),
            "pitch_degrees": float(off[0]) * 180 / np.pi,
            "focal_percent": 100 * float(off[1]),
            "span_percent": 100 * float(off[4]),
        }
        if seen.boxes is not None:
            scores["box_iou"] = float(box_loss(seen.boxes, batch)[1])
        if seen.latitude is not None:
            off = (
                (seen.latitude - ray_latitudes(batch["camera"], seen.latitude.shape[-1]))
                .abs()
                .mean()
            )
            scores["latitude_degrees"] = float(torch.rad2deg(off))
        if seen.relief is not None:
            coarse = coarse_relief(seen.depth, seen.camera, batch["shown"], windows_of(batch))
            for name, relief in (
                ("relief_percent", seen.relief),
                ("coarse_relief_percent", coarse),
            ):
                scores[name] = 100 * float(relief_losses(relief, seen.close_normal, batch)[0])
        return scores, _picture(
            {k: v.cpu() for k, v in batch.items()}, seen.depth.cpu(), seen.normal.cpu()
        )

    def finish(self, model: GeometryNet) -> None:
        """Nothing to add."""


def _picture(batch: dict[str, Tensor], depth: Tensor, normal: Tensor) -> np.ndarray:
    """Photo, true depth, predicted depth, predicted normals of eight held-out views."""
    rows = []
    for i in range(8):
        planes = [batch["picture"][i, :3]]
        planes += [
            (d[None] / 0.8).clamp(-1, 1).expand(3, -1, -1) * batch["known"][i]
            for d in (batch["depth"][i], depth[i])
        ]
        planes.append(normal[i] * batch["known"][i])
        rows.append(torch.cat(planes, dim=1))
    return (
        ((torch.cat(rows, dim=2).permute(1, 2, 0).numpy() + 1) * 127.5)
        .clip(0, 255)
        .astype(np.uint8)
    )
