"""Task: the image encoder's warm-up, which is also its first product: depth, normals, camera and
boxes from one photo with masks, and the relief of single objects in windows of their own
(models/relief.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from maquette.models.image_encoder import Geometry, GeometryNet
from maquette.models.layout import ray_latitudes
from maquette.models.relief import Windows, centred, coarse_relief, window_widths
from maquette.train.sources import ViewSource
from maquette.train.task import Batch, HeldOut, Sample, Scores, Task, detached, device_of, stacked

INSTANCES = 24  # boxes per view at most
WINDOWS = 2  # close looks per view
LEAST = 24  # pixels of a view that an object must have to be looked at closely
EXAMINED = 48  # held-out views
SHOWN = 8  # of them, in the picture of the examination
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
_DEPTHS = (1e-3, 1e6)  # whose logarithm is taken


@dataclass(frozen=True)
class PhotoCut:
    """How a photo is cut out of a view: so many rows are missing above and below, so many columns
    on both sides. Symmetric cuts keep the principal point centred, as photos have it.
    """

    rows: int = 0
    columns: int = 0

    def of(self, array: np.ndarray) -> np.ndarray:
        """The photo's part of an array (H, W, ...) of the view."""
        height, width = array.shape[:2]
        rows = slice(self.rows, height - self.rows)
        return array[rows, self.columns : width - self.columns]

    def enlarges(self, shape: tuple[int, ...]) -> float:
        """Longer side of a view (H, W) over that of the photo."""
        height, width = shape
        return max(height, width) / max(height - 2 * self.rows, width - 2 * self.columns)


def random_cut(labels: np.ndarray, rng: np.random.Generator) -> PhotoCut:
    """None, or a photo of another aspect that cuts off little of the objects (H, W) of a view."""
    if rng.random() >= 0.6:
        return PhotoCut()
    keep = rng.uniform(0.55, 1.0)
    axis = 0 if rng.random() < 0.7 else 1
    side = labels.shape[axis]
    occupied = np.flatnonzero(labels.any(1 - axis))
    free = min(occupied[0], side - 1 - occupied[-1]) if len(occupied) else 0
    cut = int(min((1 - keep) * side / 2, free + 0.05 * side))
    return PhotoCut(rows=cut) if axis == 0 else PhotoCut(columns=cut)


@dataclass(frozen=True)
class SampleConfig:
    """What a view is made into."""

    size: int  # pixels of the square picture
    augment: bool = True  # cuts, other colours, masks that are less exact, mirror images
    close: int = 0  # pixels of the windows that look at single objects; 0 = none


def geometry_sample(
    view: View, boxes: np.ndarray, rng: np.random.Generator, config: SampleConfig
) -> Sample:
    """Network input and targets of one view and the boxes (K, 2, 3) of its placements; a random
    cut or letterbox makes every aspect.
    """
    labels = view.instance.astype(np.int32)
    cut = random_cut(labels, rng) if config.augment else PhotoCut()
    photo = np.ascontiguousarray(cut.of(view.image))
    truth = letterbox(photo, np.ascontiguousarray(cut.of(labels)), config.size)
    picture = _augmented(truth, rng) if config.augment else truth
    arrays = {
        "picture": geometry_input(picture),
        "shown": np.where(picture.labels <= INSTANCES, picture.labels, 0).astype(np.int64),
        "boxes": _padded(boxes),
        "labels": truth.labels.astype(np.int64),
        "camera": _camera_of_cut(view, cut).astype(np.float32),
        **_surface_targets(view, cut, truth),
    }
    if config.close:
        shown = np.unique(arrays["shown"])
        arrays |= close_samples(view, PhotoWindow.of(cut, truth), shown, rng, config)
    sample = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return mirrored(sample) if config.augment and rng.random() < 0.5 else sample


def _padded(boxes: np.ndarray) -> np.ndarray:
    padded = np.zeros((INSTANCES, 2, 3), np.float32)
    padded[: len(boxes)] = boxes[:INSTANCES]
    return padded


def _camera_of_cut(view: View, cut: PhotoCut) -> np.ndarray:
    """(5,) parameters of the photo's camera; their unit is its longer side."""
    camera = camera_parameters(view.camera).astype(np.float64)
    ratio = cut.enlarges(view.instance.shape)
    camera[1] += np.log(ratio)
    camera[2:4] *= ratio
    camera[4] -= np.log(ratio)
    return camera


def _surface_targets(view: View, cut: PhotoCut, truth: Picture) -> dict[str, np.ndarray]:
    """What is true in each pixel of the letterboxed picture: log depth relative to the scene's
    centre, where it is known and where an object is, and the normal in the camera's axes.
    """
    pixels = _nearest_pixels(truth, cut.of(view.instance).shape)
    depth = cut.of(view.depth)[pixels]
    middle = np.log(centre_depth(camera_parameters(view.camera).astype(np.float64)))
    relative = _log_depth(depth, np.isfinite(depth), _DEPTHS[1]) - middle
    known = truth.inside & np.isfinite(depth) & (np.abs(relative) < _FAR)
    normal = cut.of(view.normal)[pixels] @ view.camera.world_from_camera[:3, :3]
    return {
        "depth": np.clip(relative, -_FAR, _FAR).astype(np.float32),
        "known": known,
        "object": (truth.labels > 0) & known,
        "normal": np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32),
    }


def _nearest_pixels(picture: Picture, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Index of the photo's pixels (H, W) that the pixels of its letterboxed picture show."""
    centres = np.arange(len(picture.labels)) + 0.5
    left, top = picture.offset
    found = []
    for offset, length in ((top, shape[0]), (left, shape[1])):
        places = ((centres - offset) / picture.scale).astype(int)
        found.append(np.clip(places, 0, length - 1))
    return np.ix_(*found)


def _log_depth(depth: np.ndarray, known: np.ndarray, otherwise: float) -> np.ndarray:
    return np.log(np.clip(np.where(known, depth, otherwise), *_DEPTHS))


@dataclass(frozen=True)
class PhotoWindow:
    """Where photo and letterboxed picture lie in a view."""

    cut: PhotoCut
    corner: tuple[float, float]  # left, top of the picture, in the view's pixels
    side: float  # of the picture, in the view's pixels

    @classmethod
    def of(cls, cut: PhotoCut, picture: Picture) -> PhotoWindow:
        """Of the picture of a photo that was cut out of a view."""
        left = cut.columns - picture.offset[0] / picture.scale
        top = cut.rows - picture.offset[1] / picture.scale
        return cls(cut, (left, top), len(picture.labels) / picture.scale)


def close_samples(
    view: View,
    place: PhotoWindow,
    shown: np.ndarray,
    rng: np.random.Generator,
    config: SampleConfig,
) -> dict[str, np.ndarray]:
    """Windows around WINDOWS random objects of a view and what is true in them.

    shown: the labels that the picture shows.
    """
    cut = place.cut
    labels = cut.of(view.instance).astype(np.int32)
    normal = cut.of(view.normal) @ view.camera.world_from_camera[:3, :3]
    chosen = _objects_to_look_at(labels, shown, rng)
    looks = []
    for label in chosen.tolist():
        margin = float(rng.uniform(1.1, 1.5)) if config.augment else 1.25
        window = cut_window(cut.of(view.image), labels, label, config.close, margin)
        depth = cut.of(view.depth)[window.pixels]
        own = (window.labels == label) & (label > 0) & np.isfinite(depth)
        seen = window
        if config.augment:
            jittered = rng.random() < 0.3 and own.any()
            drawn = jitter_labels(window.labels, rng) if jittered else window.labels
            colours = augment_image(window.colours, rng)
            seen = replace(window, colours=colours, labels=np.where(window.inside, drawn, 0))
        corner = np.array([cut.columns, cut.rows]) + window.window[:2] - place.corner
        look = {
            "close_pictures": close_look(seen, label),
            "close_places": np.array([*corner, window.window[2]]) / place.side,
            "close_depth": _log_depth(depth, own, 1.0),
            "close_normal": normal[window.pixels].transpose(2, 0, 1),
        }
        floats = {name: value.astype(np.float32) for name, value in look.items()}
        looks.append({**floats, "close_own": own})
    together = {name: np.stack([look[name] for look in looks]) for name in looks[0]}
    return {**together, "close_labels": chosen.astype(np.int64)}


def _objects_to_look_at(
    labels: np.ndarray, shown: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(WINDOWS,) labels: different ones if there are as many, 0 if there is none."""
    there = [label for label in shown[shown > 0] if (labels == label).sum() >= LEAST]
    if len(there) >= WINDOWS:
        return rng.permutation(there)[:WINDOWS]
    return rng.choice(there, WINDOWS) if there else np.zeros(WINDOWS, int)


def mirrored(sample: Sample) -> Sample:
    """The sample of the mirrored photo: x changes its sign in the picture and in the scene. Doing
    it twice changes nothing.
    """
    flipped = sample | {name: sample[name].flip(-1) for name in MIRRORED if name in sample}
    against_x = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    flipped["normal"] = flipped["normal"] * against_x
    if "close_places" in sample:
        left, top, side = sample["close_places"].unbind(-1)
        flipped["close_places"] = torch.stack([1 - left - side, top, side], dim=-1)
        flipped["close_normal"] = flipped["close_normal"] * against_x
    flipped["camera"] = sample["camera"] * torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0])
    low, high = sample["boxes"].unbind(1)
    shift = torch.tensor([1.0, 0.0, 0.0]) * (low + high)
    flipped["boxes"] = torch.stack([low - shift, high - shift], dim=1)
    return flipped


def _augmented(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another photo of the same, with masks that a person or a program drew less exactly; done on
    the small picture, where it is cheap.
    """
    colours = np.round((picture.image + 1) * 127.5).astype(np.uint8)
    image = augment_image(colours, rng).astype(np.float32) / 127.5 - 1
    labels = jitter_labels(picture.labels, rng) if rng.random() < 0.3 else picture.labels
    inside = picture.inside
    shown = np.where(inside, labels, 0).astype(np.int32)
    return replace(picture, image=image * inside[..., None], labels=shown)


class GeometrySamples(Dataset):
    """Sample i depends on (seed, i) only."""

    def __init__(
        self, source: ViewSource, library: AssetLibrary, config: SampleConfig, seed: int = 0
    ):
        self.source = source
        self.library = library
        self.config = config
        self.seed = seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index, 2))
        view = self.source(rng)
        return geometry_sample(view, boxes_in_scene(view, self.library), rng, self.config)


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
            change = error.narrow(dim, step, length) - error.narrow(dim, 0, length)
            total = total + weighted_mean(change.abs(), same)
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
    return ReliefErrors(
        weighted_mean(error.abs(), own.float()),
        slope_error(error, own.long()),
        weighted_mean(bend, own.float()),
    )


def box_loss(boxes: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Error of the boxes' corners over their longest side plus half of 1 - IoU, and the mean IoU,
    of the instances that the input shows.
    """
    count = boxes.shape[1]
    truth = batch["boxes"][:, :count]
    labels = torch.arange(1, count + 1, device=boxes.device)[:, None]
    there = (batch["shown"].flatten(1)[:, None] == labels).any(-1).float()
    side = (truth[:, :, 1] - truth[:, :, 0]).amax(-1) + 0.05
    corner = (boxes - truth).abs().mean((2, 3)) / side
    low = torch.maximum(boxes[:, :, 0], truth[:, :, 0])
    high = torch.minimum(boxes[:, :, 1], truth[:, :, 1])
    overlap = (high - low).clamp(min=0).prod(-1)
    volumes = [(box[:, :, 1] - box[:, :, 0]).clamp(min=0.005).prod(-1) for box in (boxes, truth)]
    iou = overlap / (volumes[0] + volumes[1] - overlap)
    return weighted_mean(corner + 0.5 * (1 - iou), there), weighted_mean(iou, there)


def _latitude_error(latitude: Tensor, batch: Batch) -> Tensor:
    return (latitude - ray_latitudes(batch["camera"], latitude.shape[-1])).abs().mean()


class GeometryTask(Task):
    """Train a GeometryNet on random views; ``size`` below the network's own makes early training
    several times cheaper.
    """

    collate = staticmethod(stacked)

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
        c = model.config
        trained = SampleConfig(size or c.size, close=c.close)
        judged = SampleConfig(c.size, augment=False, close=c.close)
        self.dataset = GeometrySamples(sources[0], libraries[0], trained, seed)
        self.held_out = GeometrySamples(sources[1], libraries[1], judged, seed + 1)
        self.examined = HeldOut(self.held_out, EXAMINED, self.collate)

    def loss(
        self, model: GeometryNet, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Depth, slope, normals, camera, boxes, relief."""
        seen = model(batch["picture"], batch["shown"], windows_of(batch))
        value, slope = depth_losses(seen.depth, batch)
        surface = (batch["object"] * 0.9 + 0.1 * batch["known"]).float()
        bend = weighted_mean(1 - (seen.normal * batch["normal"]).sum(1), surface)
        off = F.smooth_l1_loss(seen.camera, batch["camera"], beta=0.05, reduction="none").mean(0)
        pose = (off * off.new_tensor(CAMERA_WEIGHTS)).mean()
        pitch = (seen.camera - batch["camera"])[:, 0].abs().mean()
        terms = [value, slope, 0.3 * bend, pose]
        parts = {"depth": value, "slope": slope, "normal": bend, "camera": pose, "pitch": pitch}
        if seen.latitude is not None:
            parts["latitude"] = _latitude_error(seen.latitude, batch)
            terms.append(2 * parts["latitude"])
        if seen.boxes is not None:
            layout, parts["box_iou"] = box_loss(seen.boxes, batch)
            terms.append(0.5 * layout)
        if seen.relief is not None:
            close = relief_errors(seen.relief, seen.close_normal, batch)
            parts |= {"relief": close.value, "close_normal": close.normal}
            terms += [2 * close.value, close.slope, 0.3 * close.normal]
        return sum(terms), detached(parts)

    @torch.no_grad()
    def examine(self, model: GeometryNet) -> tuple[Scores, np.ndarray | None]:
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
    cosine = (mask * (seen.normal * batch["normal"]).sum(1)).sum() / mask.sum()
    off = (seen.camera - batch["camera"]).abs().mean(0).tolist()
    scores = {
        "depth_percent": 100 * float((error / mask.sum((1, 2)).clamp(min=1)).mean()),
        "normal_cosine": float(cosine),
        "pitch_degrees": off[0] * 180 / np.pi,
        "focal_percent": 100 * off[1],
        "span_percent": 100 * off[4],
    }
    if seen.boxes is not None:
        scores["box_iou"] = float(box_loss(seen.boxes, batch)[1])
    if seen.latitude is not None:
        latitude = _latitude_error(seen.latitude, batch)
        scores["latitude_degrees"] = float(torch.rad2deg(latitude))
    if seen.relief is not None:
        coarse = coarse_relief(seen.depth, seen.camera, batch["shown"], windows_of(batch))
        reliefs = {"relief_percent": seen.relief, "coarse_relief_percent": coarse}
        for name, relief in reliefs.items():
            scores[name] = 100 * float(relief_errors(relief, seen.close_normal, batch).value)
    return scores


def _picture(batch: Batch, depth: Tensor, normal: Tensor) -> np.ndarray:
    """Photo, true depth, predicted depth, predicted normals of held-out views (on the CPU)."""
    columns = []
    for i, known in enumerate(batch["known"]):
        planes = [batch["picture"][i, :3]]
        for shown in (batch["depth"][i], depth[i]):
            planes.append((shown[None] / 0.8).clamp(-1, 1).expand(3, -1, -1) * known)
        planes.append(normal[i] * known)
        columns.append(torch.cat(planes, dim=1))
    sheet = torch.cat(columns, dim=2).permute(1, 2, 0).numpy()
    return ((sheet + 1) * 127.5).clip(0, 255).astype(np.uint8)
