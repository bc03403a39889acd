"""Task: shapes as parts. A sample is one asset in two poses: parts read off the first must make the
second when only they are moved.

Three losses, as in SPAGHETTI: reconstruction (of the volume VAE's latents), the likelihood of
points inside the object under its Gaussians, and the same reconstruction after moving the Gaussians
to the second pose with the intrinsics as they are. Poses follow Coherent 3D Scene Diffusion: any
yaw, sizes and places as the cube allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.flow.path import noise_like
from maquette.geometry.part_gaussians import PartGaussians, yaw_rotations
from maquette.geometry.transforms import any_angle, rotation_y, scale_of, similarity
from maquette.models.part_shapes import CANONICAL_SIZE, PART_NUMBERS, PartShapes
from maquette.models.volume_vae import VolumeVAE
from maquette.train.generator import encode_targets, occupancy_iou
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    fixed,
    stacked,
)

POINTS = 256  # inside an object, for the likelihood
STATISTICS = 64  # assets that the normalisation is measured on
YAWS = 8  # of each of them
EXAMINED = 12  # held-out assets
AXES = slice(3, 12)  # of a part's numbers


def canonical_volume(library: AssetLibrary, asset: int, resolution: int) -> Tensor:
    """(4, R, R, R) an asset in its own axes, centred, of the size in which parts are described."""
    placed = [(asset, similarity(CANONICAL_SIZE))]
    return torch.from_numpy(placed_volume(library, placed, resolution))


def points_inside(tsdf: np.ndarray, count: int, rng: Generator) -> np.ndarray:
    """(count, 3) random points of the cells (R, R, R) that are inside, or of the lowest ones of an
    object thinner than a cell.
    """
    flat = tsdf.reshape(-1)
    resolution = tsdf.shape[0]
    cells = np.flatnonzero(flat < 0)
    if len(cells) < 8:
        cells = np.argpartition(flat, 64)[:64]
    index = np.stack(np.unravel_index(rng.choice(cells, count), tsdf.shape), axis=1)
    return (index + rng.random((count, 3))) / resolution - 0.5


@dataclass(frozen=True, eq=False)
class ShapeSamples(Dataset):
    """One asset in two poses (volumes (2, 4, R, R, R) float16), the way from the first to the
    second, and points inside the first.
    """

    library: AssetLibrary
    resolution: int = 64
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index, 7))
        asset = int(rng.integers(len(self.library)))
        first = self._pose(rng)
        second = self._pose(rng)
        placed = [[(asset, pose)] for pose in (first, second)]
        volumes = [placed_volume(self.library, one, self.resolution) for one in placed]
        inside = points_inside(volumes[0][0], POINTS, rng)
        second_from_first = second @ np.linalg.inv(first)
        scale = scale_of(second_from_first)
        way = {
            "inside": inside,
            "rotation": second_from_first[:3, :3] / scale,
            "scale": np.array(scale),
            "translation": second_from_first[:3, 3],
        }
        floats = {name: torch.from_numpy(a.astype(np.float32)) for name, a in way.items()}
        return {"volumes": torch.from_numpy(np.stack(volumes)).half(), **floats}

    @staticmethod
    def _pose(rng: Generator) -> np.ndarray:
        """(4, 4) cube_from_asset: any yaw, a size around the canonical one, a place where it mostly
        stays in the cube.
        """
        size = CANONICAL_SIZE * rng.uniform(0.7, 1.1)
        place = rng.uniform(-0.5, 0.5, 3) * max(0.05, 0.95 - size)
        return similarity(size, rotation_y(any_angle(rng)), place)


class ShapeTask(Task[PartShapes]):
    """Train PartShapes on the latents of a frozen volume VAE."""

    inside_weight = 0.05  # of the negative log likelihood, which is about -1 to 4
    moved_weight = 1.0
    intrinsic_noise = 0.05  # so that nearby intrinsics mean nearby shapes
    intrinsic_weight = 1e-3  # of their mean square
    collate = staticmethod(stacked)

    def __init__(
        self,
        model: PartShapes,
        vae: VolumeVAE,
        library: AssetLibrary,
        held_out: AssetLibrary,
        seed: int = 0,
    ):
        self.model = model
        self.vae = fixed(vae)
        self.frozen = (self.vae,)
        resolution = vae.config.resolution
        self.dataset = ShapeSamples(library, resolution, seed)
        unseen = ShapeSamples(held_out, resolution, seed + 1)
        self.examined = HeldOut(unseen, EXAMINED, self.collate)

    def _decoded(
        self,
        model: PartShapes,
        batch: Batch,
        gaussians: PartGaussians,
        intrinsic: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Latents of the first pose, and of the second by moving the Gaussians."""
        moved = gaussians.moved(batch["rotation"], batch["scale"], batch["translation"])
        return model.decode(gaussians, intrinsic), model.decode(moved, intrinsic)

    def loss(
        self,
        model: PartShapes,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Reconstruction, moved reconstruction, likelihood of inside points, size of the
        intrinsics.
        """
        first, second = (encode_targets(self.vae, part) for part in batch["volumes"].unbind(1))
        gaussians, intrinsic = model.encode(first)
        disturbed = intrinsic + self.intrinsic_noise * noise_like(intrinsic, generator)
        made, moved = self._decoded(model, batch, gaussians, disturbed)
        here = (made.float() - first).square().mean()
        there = (moved.float() - second).square().mean()
        inside = -gaussians.log_density(batch["inside"]).mean()
        size = intrinsic.float().square().mean()
        total = here + self.moved_weight * there
        total = total + self.inside_weight * inside + self.intrinsic_weight * size
        parts = {
            "here": here,
            "moved": there,
            "inside": inside,
            "intrinsic": size,
        }
        return total, detached(parts)

    @torch.no_grad()
    def examine(self, model: PartShapes) -> ScoresAndPicture:
        """Occupancy IoU on held-out assets: as read, moved, and of the VAE alone, which is the
        limit.
        """
        batch = self.examined.batch(device_of(model))
        first = encode_targets(self.vae, batch["volumes"][:, 0])
        here, moved = self._decoded(model, batch, *model.encode(first))
        inside = batch["volumes"][:, :, 0].float() < 0
        truth = {
            "iou": (here, 0),
            "iou_moved": (moved, 1),
            "iou_vae": (first, 0),
        }
        scores = {}
        for name, (latent, pose) in truth.items():
            scores[name] = float(occupancy_iou(self.vae, latent, inside[:, pose]).mean())
        return scores, None

    @torch.no_grad()
    def finish(self, model: PartShapes) -> None:
        """Measure mean and standard deviation of every part's numbers, over assets in their
        canonical pose and at random yaws.
        """
        device = device_of(model)
        samples = self.dataset
        count = min(len(samples.library), STATISTICS)
        rng = np.random.default_rng((samples.seed, 8))
        assets = rng.choice(len(samples.library), count, replace=False).tolist()
        volumes = [canonical_volume(samples.library, a, samples.resolution) for a in assets]
        latents = encode_targets(self.vae, torch.stack(volumes).to(device))
        gaussians, intrinsic = model.encode(latents)
        yaws = rng.uniform(-np.pi, np.pi, (YAWS, count)).astype(np.float32)
        still = torch.ones(count, device=device), torch.zeros(count, 3, device=device)
        turns = [yaw_rotations(yaw) for yaw in torch.from_numpy(yaws).to(device)]
        turned = torch.cat([gaussians.moved(turn, *still).numbers() for turn in turns])
        known = torch.cat([turned, intrinsic.float().repeat(YAWS, 1, 1)], dim=-1)
        mean = model.get_buffer("mean").copy_(known.mean(0))
        deviation = model.get_buffer("std").copy_(known.std(0).clamp(min=0.02))
        # of a random rotation's entries: axes are not to be stretched one by one
        deviation[:, AXES] = 0.6
        mean[:, AXES] = 0.0
        deviation[:, PART_NUMBERS - 1].clamp_(min=0.2)
