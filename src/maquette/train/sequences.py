"""Samples for the generator: token sequences of single instances in their own cube, and of whole
scenes with a scene branch.

A view gives rows. ``zoom`` rows: one instance in a cube around it (the pre-training of the instance
generator, and the second pass of generation). ``scene`` rows: the scene branch (all objects, the
scene's cube) and instances in that same cube which attend to it (the reprogrammed model, I-Scene
section 3). All cubes have the scene frame's axes: view-centric space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from maquette.checkpoints.store import load_model
from maquette.data.augment import augment_image, jitter_labels
from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.data.views import View, boxes_in_scene
from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.cameras import lift
from maquette.geometry.transforms import rotation_y, similarity
from maquette.geometry.volumes import DepthView
from maquette.masks.labels import labels_in
from maquette.models.conditioning import instance_crop, signed
from maquette.models.generator import GeneratorConfig
from maquette.models.image_encoder import GeometryNet
from maquette.models.lifting import lifted_grid
from maquette.stages.frame import BACKGROUND_DEPTH, with_background
from maquette.stages.perceive import perceive
from maquette.train.sources import ViewSource, no_object
from maquette.train.task import Batch, Sample, concatenated, of_class, scenes_of_rows, stacked
from maquette.types import InstanceMask, SceneInput


@dataclass(frozen=True)
class RowConfig:
    """Which rows a view gives and how they are disturbed."""

    # instances in the scene's cube, with the scene branch; 0 = no scene rows
    scene_instances: int = 0
    zoom_instances: int = 4  # instances in their own cube
    frame: str = "view-centric"  # or "canonical": targets keep the scene's own azimuth (ablation)
    depth_noise: float = 1.0  # multiplies the simulated error of the estimated depth
    drop_lift: float = 0.05  # share of rows that see no lift: the pure I-Scene form
    drop_coarse: float = 0.5  # share of zoom rows without a coarse volume
    estimated: float = 0.0  # share of views whose surfaces an image encoder sees, errors included
    augment: bool = True


def disturb_depth(
    depth: np.ndarray,
    labels: np.ndarray,
    rng: Generator,
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
    log_error = np.zeros((height, width), np.float32)
    for spread, cells in ((0.012, 5), (0.006, 17)):
        noise = rng.normal(0, spread, (cells, cells)).astype(np.float32)
        log_error += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for label in labels_in(labels):
        own = labels == label
        along_x = (x[own] - x[own].mean()) / width
        along_y = (y[own] - y[own].mean()) / height
        log_error[own] += rng.normal(0, 0.06) * along_x + rng.normal(0, 0.06) * along_y
        if shift_instances:
            log_error[own] += rng.normal(0, 0.02)
    return depth * np.exp(strength * log_error)


def disturb_box(box: np.ndarray, rng: Generator, strength: float) -> np.ndarray:
    """A box (2, 3) with the errors of an estimated one: it is shifted, and hidden faces are farther
    off than visible ones.

    The upper z face looks at the camera. Errors are relative to the box's longest side.
    """
    side = longest_side(box)
    spread = np.full((2, 3), 0.08)
    spread[0, 2] = 0.16  # the back
    moved = box + side * strength * (rng.normal(0, 0.04, 3) + rng.normal(0, spread))
    return np.sort(moved, axis=0)


def zoom_cube(box: np.ndarray, rng: Generator) -> np.ndarray:
    """(4, 4) scene_from_cube around a box (2, 3) of the scene frame, with the slack that a box
    known only roughly has.
    """
    side = longest_side(box) * rng.uniform(1.08, 1.45)
    slack = (side - (box[1] - box[0])) / 2
    return similarity(side, None, box.mean(0) + rng.uniform(-0.8, 0.8, 3) * slack)


def coarse_volume(
    target: Tensor,
    resolution: int,
    side: float,
    rng: Generator,
) -> Tensor:
    """(R, R, R) what the scene pass would show of an instance in its zoom cube: blurred, shifted,
    in [-1, 1].
    """
    factor = int(np.clip(round(1.0 / max(side, 0.05)), 1, 8))
    cells = max(4, target.shape[-1] // (2 * factor))
    small = F.adaptive_avg_pool3d(target[None, :1], cells)
    size = (resolution,) * 3
    volume = F.interpolate(
        small,
        size=size,
        mode="trilinear",
        align_corners=False,
    )[0, 0]
    moved = volume.roll(rng.integers(-1, 2, 3).tolist(), dims=(0, 1, 2))
    return (moved + 0.15 * float(rng.normal())).clamp(-1, 1)


@dataclass(frozen=True)
class DepthEstimator:
    """An image encoder that sees the views as it would see photos. To other processes goes the name
    of its file.
    """

    file: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return (DepthEstimator, (self.file,))

    @cached_property
    def network(self) -> GeometryNet:
        """It, on the CPU."""
        return of_class(load_model(self.file, "image-encoder").model, GeometryNet).eval()

    def reliefs(self, image: np.ndarray, drawn: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(H, W) depth with the relief that it sees of every object, each as far away as it is.

        image: (H, W, 3) uint8; drawn: (H, W) labels; depth: (H, W) true, which what is not seen
        keeps.
        """
        labels = labels_in(drawn)
        masks = tuple(InstanceMask(int(label), drawn == label) for label in labels)
        seen = perceive(self.network, SceneInput(image, masks)).photo_depth
        found = depth.copy()
        for mask in masks:
            own = mask.mask & (seen < BACKGROUND_DEPTH) & (depth < BACKGROUND_DEPTH)
            if own.any():
                nearer = float(np.log(depth[own] / seen[own]).mean())
                found[mask.mask] = seen[mask.mask] * np.exp(nearer)
        return found


@dataclass(frozen=True, eq=False)
class ShownView:
    """A view as the generator gets to know it: photo and masks as somebody took and drew them,
    depth and boxes as another network estimates them.
    """

    view: View
    labels: np.ndarray  # (H, W) int32, true
    depth: np.ndarray  # (H, W) float32, true; BACKGROUND_DEPTH where nothing is
    boxes: np.ndarray  # (K, 2, 3) of the placements in the scene frame, true
    image: np.ndarray  # (H, W, 3) uint8, as taken
    drawn: np.ndarray  # (H, W) int32 labels, as drawn
    strength: float  # of the errors of depth and boxes
    estimated: dict[int, np.ndarray]  # label -> box, as estimated
    relief: np.ndarray | None = None  # (H, W) depth with the reliefs that an image encoder sees

    @property
    def visible(self) -> list[int]:
        """Numbers of the placements that the masks show."""
        return [k for k in range(len(self.view.placements)) if (self.drawn == k + 1).any()]

    def estimate(self, rng: Generator, shift_instances: bool) -> DepthView:
        """The surface that an estimator sees (``DepthEstimator``) or would (``disturb_depth``);
        the former leaves objects in their place, whatever ``shift_instances`` says.
        """
        noisy = self.relief
        if noisy is None:
            noisy = disturb_depth(self.depth, self.labels, rng, self.strength, shift_instances)
        colours = torch.from_numpy(signed(self.image))
        camera = self.view.camera
        return DepthView(
            torch.from_numpy(noisy.astype(np.float32)),
            torch.from_numpy(self.drawn.astype(np.int64)),
            colours.permute(2, 0, 1),
            torch.from_numpy(camera.intrinsics),
            torch.from_numpy(camera.camera_from_world),
        )


def show(
    view: View,
    library: AssetLibrary,
    rng: Generator,
    rows: RowConfig,
) -> ShownView:
    """Another photo of a view, with errors. Draws, in this order: colours, masks, how strong the
    errors are, boxes.
    """
    labels = view.instance.astype(np.int32)
    image = augment_image(view.image, rng) if rows.augment else view.image
    jittered = rows.augment and rng.random() < 0.3
    drawn = jitter_labels(labels, rng) if jittered else labels
    strength = rows.depth_noise * rng.uniform(0.3, 1.5) if rows.augment else 0.0
    depth = with_background(view.depth)
    boxes = boxes_in_scene(view, library)
    estimated = {k + 1: disturb_box(box, rng, strength) for k, box in enumerate(boxes)}
    return ShownView(view, labels, depth, boxes, image, drawn, strength, estimated)


@dataclass(frozen=True, eq=False)
class RowMaker:
    """Makes the rows of views for a generator and a volume VAE of ``resolution`` cells a side."""

    library: AssetLibrary
    rows: RowConfig
    model: GeneratorConfig
    resolution: int
    eye: DepthEstimator | None = None  # sees ``rows.estimated`` of the views

    def of(self, view: View, rng: Generator) -> Sample:
        """All rows of one view: crops (N, 5, S, S), lifted (N, C, G, G, G), target (N, 4, R, R, R)
        float16, scene_of (N,) int64. Nothing when the masks as drawn show nothing.
        """
        shown = show(view, self.library, rng, self.rows)
        if self.eye is not None and shown.visible and rng.random() < self.rows.estimated:
            shown = replace(shown, relief=self.eye.reliefs(shown.image, shown.drawn, shown.depth))
        rows: list[Sample] = []
        if shown.visible and self.rows.scene_instances:
            rows += self._scene_rows(shown, rng)
        if shown.visible and self.rows.zoom_instances:
            rows += self._zoom_rows(shown, rng)
        return stacked(rows) if rows else {}

    def _scene_rows(self, shown: ShownView, rng: Generator) -> list[Sample]:
        """The scene branch and some instances, all in the scene's cube. Draws: errors of the depth,
        which instances, then per row whether it has a lift.
        """
        seen = shown.estimate(rng, shift_instances=True)
        chosen = rng.permutation(shown.visible)[: self.rows.scene_instances].tolist()
        everything = list(range(len(shown.view.placements)))
        cube = np.eye(4)
        rows = []
        for kept in [everything, *([k] for k in chosen)]:
            label = None if kept is everything else kept[0] + 1
            lifted = self._lifted(rng, shown, seen, cube, label)
            target = self.target(shown.view, kept, cube)
            rows.append(self._row(shown, label, lifted, target, -1 if label is None else 0))
        return rows

    def _zoom_rows(self, shown: ShownView, rng: Generator) -> list[Sample]:
        """Some instances, each in a cube of its own. Draws: errors of the depth, which instances,
        then per row its cube, whether it has a coarse volume and which, whether it has a lift.
        """
        seen = shown.estimate(rng, shift_instances=False)
        points = lift(shown.view.camera, shown.depth)
        rows = []
        for k in rng.permutation(shown.visible)[: self.rows.zoom_instances].tolist():
            own = shown.labels == k + 1
            box = shown.boxes[k]
            if own.any():
                box = bounding_box(np.concatenate([box, points[own]]))
            cube = zoom_cube(box, rng)
            target = self.target(shown.view, [k], np.linalg.inv(cube))
            coarse = None
            if rng.random() >= self.rows.drop_coarse:
                coarse = coarse_volume(target, self.model.flow.lift_resolution, cube[0, 0], rng)
            lifted = self._lifted(rng, shown, seen, cube, k + 1, coarse)
            rows.append(self._row(shown, k + 1, lifted, target, -1))
        return rows

    def _row(
        self,
        shown: ShownView,
        label: int | None,
        lifted: Tensor,
        target: Tensor,
        scene: int,
    ) -> Sample:
        """What one row of a sequence sees and should say; ``label`` None = the whole scene."""
        crop = instance_crop(shown.image, shown.drawn, label, self.model.picture.size)
        return {
            "crops": torch.from_numpy(crop),
            "lifted": lifted,
            "target": target.half(),
            "scene_of": torch.tensor(scene),
        }

    def _lifted(
        self,
        rng: Generator,
        shown: ShownView,
        seen: DepthView,
        scene_from_cube: np.ndarray,
        label: int | None,
        coarse: Tensor | None = None,
    ) -> Tensor:
        """What is known of a cube, for some rows without the visible surface."""
        known = seen if rng.random() >= self.rows.drop_lift else None
        return lifted_grid(known, shown.estimated, label, scene_from_cube, coarse, self.model)

    def target(
        self,
        view: View,
        kept: list[int],
        cube_from_scene: np.ndarray,
    ) -> Tensor:
        """(4, R, R, R) some placements in a cube."""
        if self.rows.frame == "canonical":  # undo the camera's azimuth about the cube's centre
            cube_from_scene = similarity(1.0, rotation_y(-_azimuth(view))) @ cube_from_scene
        cube_from_world = cube_from_scene @ view.scene_from_world
        placements = [view.placements[k] for k in kept]
        placed = [(p.asset, cube_from_world @ p.world_from_asset) for p in placements]
        return torch.from_numpy(placed_volume(self.library, placed, self.resolution))


def _azimuth(view: View) -> float:
    """How far the view-centric frame is turned against the world the scene was composed in."""
    axes = view.scene_from_world[:3, :3]
    return float(np.arctan2(axes[0, 2], axes[0, 0]))


@dataclass(frozen=True, eq=False)
class SequenceSamples(Dataset):
    """Rows of random views; sample i depends on (seed, i) only."""

    source: ViewSource
    maker: RowMaker
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        for attempt in range(100):  # a view may show nothing at all after mask jitter
            rng = np.random.default_rng((self.seed, index, 3, attempt))
            view = self.source(rng)
            sample = self.maker.of(view, rng) if (view.instance > 0).sum() > 50 else {}
            if sample:
                return sample
        raise no_object(self.seed, index)


def collate_rows(samples: list[Sample]) -> Batch:
    """The rows of several views; ``scene_of`` keeps pointing to the right scene branch."""
    batch = concatenated(samples)
    moved = scenes_of_rows(samples, "scene_of")
    batch["scene_of"] = torch.where(batch["scene_of"] >= 0, moved, -1)
    return batch
