"""Samples for the generator: token sequences of single instances in their own cube, and of whole
scenes with a scene branch.

A view gives rows. ``zoom`` rows: one instance in a cube around it (the pre-training of the instance
generator, and the second pass of generation). ``scene`` rows: the scene branch (all objects, the
scene's cube) and instances in that same cube which attend to it (the reprogrammed model, I-Scene
section 3). All cubes have the scene frame's axes: view-centric space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.augment import augment_image, jitter_labels
from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.data.views import View, boxes_in_scene
from maquette.geometry.boxes import bounding_box
from maquette.geometry.cameras import lift
from maquette.geometry.transforms import rotation_y, similarity
from maquette.geometry.volumes import DepthView
from maquette.models.conditioning import instance_crop
from maquette.models.generator import GeneratorConfig
from maquette.models.lifting import lifted_grid

ViewSource = Callable[[np.random.Generator], View]

BACKGROUND_DEPTH = 1e3  # scene units, stands for "nothing there"


@dataclass(frozen=True)
class RowConfig:
    """Which rows a view gives and how they are disturbed."""

    scene_instances: int = (
        0  # instances in the scene's cube, with the scene branch; 0 = no scene rows
    )
    zoom_instances: int = 4  # instances in their own cube
    frame: str = "view-centric"  # or "canonical": targets keep the scene's own azimuth (ablation)
    depth_noise: float = 1.0  # multiplies the simulated error of the estimated depth
    drop_lift: float = 0.05  # share of rows that see no lift: the pure I-Scene form
    drop_coarse: float = 0.5  # share of zoom rows without a coarse volume
    augment: bool = True


def disturb_depth(
    depth: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    shift_instances: bool,
) -> np.ndarray:
    """A depth map with the errors of an estimator: smooth ones over the picture, per object a tilt
    and (optionally) a factor.

    A factor per object moves and scales it about the camera and so leaves its picture unchanged:
    where the target moves along (zoom rows) it is no error at all, hence the switch.
    Near-silhouette pixels smear, as an estimator's do.
    """
    if strength <= 0:
        return depth
    height, width = depth.shape
    coarse = rng.normal(0, 0.012, (5, 5)).astype(np.float32)
    fine = rng.normal(0, 0.006, (17, 17)).astype(np.float32)
    log_error = sum(
        cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        for noise in (coarse, fine)
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for label in np.unique(labels[labels > 0]):
        own = labels == label
        u = (x[own] - x[own].mean()) / width
        v = (y[own] - y[own].mean()) / height
        log_error[own] += rng.normal(0, 0.06) * u + rng.normal(0, 0.06) * v
        if shift_instances:
            log_error[own] += rng.normal(0, 0.02)
    return depth * np.exp(strength * log_error)


def disturb_box(box: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A box (2, 3) with the errors of an estimated one: it is shifted, and hidden faces are farther
    off than visible ones.

    The upper z face looks at the camera. Errors are relative to the box's longest side.
    """
    side = float((box[1] - box[0]).max())
    spread = np.full((2, 3), 0.08)
    spread[0, 2] = 0.16  # the back
    moved = box + side * strength * (rng.normal(0, 0.04, 3) + rng.normal(0, spread))
    return np.sort(moved, axis=0)


def zoom_cube(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(4, 4) scene_from_cube around a box (2, 3) of the scene frame, with the slack that a box
    known only roughly has.
    """
    side = float((box[1] - box[0]).max()) * rng.uniform(1.08, 1.45)
    slack = (side - (box[1] - box[0])) / 2
    return similarity(side, None, box.mean(0) + rng.uniform(-0.8, 0.8, 3) * slack)


def coarse_volume(target: Tensor, resolution: int, side: float, rng: np.random.Generator) -> Tensor:
    """(R, R, R) what the scene pass would show of an instance in its zoom cube: blurred, shifted,
    in [-1, 1].
    """
    factor = int(np.clip(round(1.0 / max(side, 0.05)), 1, 8))
    small = F.adaptive_avg_pool3d(target[None, :1], max(4, target.shape[-1] // (2 * factor)))
    volume = F.interpolate(small, size=(resolution,) * 3, mode="trilinear", align_corners=False)[
        0, 0
    ]
    shift = tuple(int(s) for s in rng.integers(-1, 2, 3))
    return (volume.roll(shift, dims=(0, 1, 2)) + 0.15 * float(rng.normal())).clamp(-1, 1)


def view_rows(
    view: View,
    library: AssetLibrary,
    rng: np.random.Generator,
    rows: RowConfig,
    model: GeneratorConfig,
    resolution: int,
) -> dict[str, Tensor]:
    """All rows of one view: crops (N, 5, S, S), lifted (N, C, G, G, G), target (N, 4, R, R, R)
    float16, scene_of (N,) int64.
    """
    labels = view.instance.astype(np.int32)
    image = augment_image(view.image, rng) if rows.augment else view.image
    shown = jitter_labels(labels, rng) if rows.augment and rng.random() < 0.3 else labels
    strength = rows.depth_noise * rng.uniform(0.3, 1.5) if rows.augment else 0.0
    depth = np.where(np.isfinite(view.depth), view.depth, BACKGROUND_DEPTH).astype(np.float32)
    grid = model.flow.lift_resolution
    colours = torch.from_numpy(image.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)

    def seen(shift_instances: bool) -> DepthView:
        noisy = disturb_depth(depth, labels, rng, strength, shift_instances)
        return DepthView(
            torch.from_numpy(noisy.astype(np.float32)),
            torch.from_numpy(shown.astype(np.int64)),
            colours,
            torch.from_numpy(view.camera.intrinsics),
            torch.from_numpy(view.camera.camera_from_world),
        )

    def target(kept: list[int], cube_from_scene: np.ndarray) -> Tensor:
        if rows.frame == "canonical":  # undo the camera's azimuth about the cube's centre
            cube_from_scene = similarity(1.0, rotation_y(-_azimuth(view))) @ cube_from_scene
        placed = [
            (
                view.placements[k].asset,
                cube_from_scene @ view.scene_from_world @ view.placements[k].world_from_asset,
            )
            for k in kept
        ]
        return torch.from_numpy(placed_volume(library, placed, resolution))

    def conditioned(
        seen_view: DepthView, scene_from_cube: np.ndarray, label: int | None, coarse: Tensor | None
    ) -> Tensor:
        known = seen_view if rng.random() >= rows.drop_lift else None
        return lifted_grid(known, estimated, label, scene_from_cube, coarse, grid)

    boxes = boxes_in_scene(view, library)
    estimated = {k + 1: disturb_box(box, rng, strength) for k, box in enumerate(boxes)}
    crop_size = model.picture.size
    visible = [k for k in range(len(view.placements)) if (shown == k + 1).any()]
    crops = []
    lifted = []
    targets = []
    scene_of = []
    if rows.scene_instances and visible:
        whole = seen(shift_instances=True)
        cube = np.eye(4)
        for k in [None, *rng.permutation(visible)[: rows.scene_instances].tolist()]:
            label = None if k is None else k + 1
            crops.append(instance_crop(image, shown, label, crop_size))
            lifted.append(conditioned(whole, cube, label, None))
            targets.append(target(list(range(len(view.placements))) if k is None else [k], cube))
            scene_of.append(-1 if k is None else 0)
    if rows.zoom_instances and visible:
        near = seen(shift_instances=False)
        points = lift(view.camera, depth)
        for k in rng.permutation(visible)[: rows.zoom_instances].tolist():
            box = boxes[k]
            if (labels == k + 1).any():
                box = bounding_box(np.concatenate([box, points[labels == k + 1]]))
            scene_from_cube = zoom_cube(box, rng)
            volume = target([k], np.linalg.inv(scene_from_cube))
            coarse = (
                None
                if rng.random() < rows.drop_coarse
                else coarse_volume(volume, grid, scene_from_cube[0, 0], rng)
            )
            crops.append(instance_crop(image, shown, k + 1, crop_size))
            lifted.append(conditioned(near, scene_from_cube, k + 1, coarse))
            targets.append(volume)
            scene_of.append(-1)
    return {
        "crops": torch.from_numpy(np.stack(crops)),
        "lifted": torch.stack(lifted),
        "target": torch.stack(targets).half(),
        "scene_of": torch.tensor(scene_of, dtype=torch.int64),
    }


def _azimuth(view: View) -> float:
    """How far the view-centric frame is turned against the world the scene was composed in."""
    axes = view.scene_from_world[:3, :3]
    return float(np.arctan2(axes[0, 2], axes[0, 0]))


class SequenceSamples(Dataset):
    """Rows of random views; sample i depends on (seed, i) only."""

    def __init__(
        self,
        source: ViewSource,
        library: AssetLibrary,
        rows: RowConfig,
        model: GeneratorConfig,
        resolution: int,
        seed: int = 0,
    ):
        self.source = source
        self.library = library
        self.rows = rows
        self.model = model
        self.resolution = resolution
        self.seed = seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        for attempt in range(100):  # a view may show nothing at all after mask jitter
            rng = np.random.default_rng((self.seed, index, 3, attempt))
            view = self.source(rng)
            if (view.instance > 0).sum() > 50:
                return view_rows(view, self.library, rng, self.rows, self.model, self.resolution)
        raise RuntimeError(
            f"100 views in a row show no object (seed {self.seed}, index {index}); the view configuration is wrong"
        )


def collate_rows(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate the rows of several views; ``scene_of`` keeps pointing to the right scene branch."""
    batch = {key: torch.cat([s[key] for s in samples]) for key in ("crops", "lifted", "target")}
    offsets = np.cumsum([0] + [len(s["scene_of"]) for s in samples[:-1]])
    batch["scene_of"] = torch.cat(
        [
            torch.where(s["scene_of"] >= 0, s["scene_of"] + int(o), -1)
            for s, o in zip(samples, offsets)
        ]
    )
    return batch
