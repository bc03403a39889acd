"""Task: the volume VAE. A sample is a crop of a random volume: one asset or several, at any yaw,
size and place.

The same VAE must serve an object's own cube and the whole scene's, hence the wide range of sizes.
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
from maquette.geometry.transforms import any_angle, rotation_y, scale_of, similarity
from maquette.geometry.volumes import TRUNCATION
from maquette.models.volume_vae import VolumeVAE
from maquette.train.generator import inside_iou
from maquette.train.task import (
    Batch,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    picture_of,
    stacked,
)

Placed = list[tuple[int, np.ndarray]]  # assets and their cube_from_asset
SMALLER = (0.12, 0.6)  # sizes of objects that are not alone in the cube
EXAMINED = 16  # held-out volumes
STATISTICS = 24  # volumes that the normalisation is measured on


@dataclass(frozen=True, eq=False)
class VolumeSamples(Dataset):
    """Random truncated volumes (4, crop, crop, crop); sample i depends on (seed, i) only."""

    library: AssetLibrary
    resolution: int = 64
    crop: int = 32
    seed: int = 0

    def objects(self, rng: Generator) -> Placed:
        """A random arrangement in a cube: (asset, cube_from_asset) of one object filling it, or of
        several smaller ones.
        """
        count = 1 if rng.random() < 0.7 else int(rng.integers(2, 6))
        return [self._object(rng, alone=count == 1) for _ in range(count)]

    def _object(self, rng: Generator, alone: bool) -> tuple[int, np.ndarray]:
        """A random asset and its place (4, 4) in the cube; smaller when it is not alone."""
        size = rng.uniform(0.55, 0.95) if alone else np.exp(rng.uniform(*np.log(SMALLER)))
        place = rng.uniform(-0.5, 0.5, 3) * max(0.0, 1.0 - 0.8 * size)
        asset = int(rng.integers(len(self.library)))
        return asset, similarity(size, rotation_y(any_angle(rng)), place)

    def volume(self, rng: Generator) -> Tensor:
        """A random whole volume (4, R, R, R)."""
        return self._fill(self.objects(rng), np.eye(4), self.resolution)

    def _fill(
        self,
        objects: Placed,
        part_from_cube: np.ndarray,
        resolution: int,
    ) -> Tensor:
        """The volume of a part of the cube; the truncation stays that of the whole cube."""
        placed = [(i, part_from_cube @ cube_from_asset) for i, cube_from_asset in objects]
        truncation = TRUNCATION * scale_of(part_from_cube)
        return torch.from_numpy(placed_volume(self.library, placed, resolution, truncation))

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index, 1))
        objects = self.objects(rng)
        if self.crop >= self.resolution:
            return {"volume": self._fill(objects, np.eye(4), self.resolution)}
        # a crop without a surface teaches little; looking for one is cheap on a coarse grid
        for _ in range(6):
            part_from_cube = self._random_part(rng)
            coarse = self._fill(objects, part_from_cube, 8)[0]
            if float((coarse.abs() < 1).float().mean()) > 0.03:
                break
        return {"volume": self._fill(objects, part_from_cube, self.crop)}

    def _random_part(self, rng: Generator) -> np.ndarray:
        """(4, 4) part_from_cube of a crop whose corner is every eighth cell."""
        share = self.crop / self.resolution
        eighths = rng.integers(0, (self.resolution - self.crop) // 8 + 1, 3)
        centre = eighths * 8 / self.resolution + share / 2 - 0.5
        return np.linalg.inv(similarity(share, None, centre))


def reconstruction_loss(decoded: Tensor, volume: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute TSDF error, near the surface five times as important, and mean absolute colour
    error at the surface.
    """
    distance = volume[:, :1].abs()
    error = (decoded - volume).abs()
    near = (distance < 1).float()
    shape = ((1 + 4 * near) * error[:, :1]).mean()
    surface = near * (1 - distance)
    colour = (surface * error[:, 1:]).sum() / (3 * surface.sum() + 1)
    return shape, colour


class VolumeTask(Task[VolumeVAE]):
    """Train a VolumeVAE."""

    kl_weight = 1e-4
    collate = staticmethod(stacked)

    def __init__(
        self,
        model: VolumeVAE,
        library: AssetLibrary,
        held_out: AssetLibrary,
        crop: int = 32,
        seed: int = 0,
    ):
        self.model = model
        resolution = model.config.resolution
        self.dataset = VolumeSamples(library, resolution, crop, seed)
        self.held_out = VolumeSamples(held_out, resolution, resolution, seed + 1)

    def loss(
        self,
        model: VolumeVAE,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Reconstruction + KL."""
        mean, logvar = model.moments(batch["volume"])
        noise = noise_like(mean, generator)
        decoded = model.decode_raw(mean + (0.5 * logvar).exp() * noise)
        shape, colour = reconstruction_loss(decoded, batch["volume"])
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        parts = {
            "shape": shape,
            "colour": colour,
            "kl": kl,
        }
        return shape + 0.5 * colour + self.kl_weight * kl, detached(parts)

    @torch.no_grad()
    def examine(self, model: VolumeVAE) -> ScoresAndPicture:
        """Occupancy IoU and errors on whole volumes of held-out assets."""
        generators = [np.random.default_rng((7, i)) for i in range(EXAMINED)]
        whole = torch.stack([self.held_out.volume(rng) for rng in generators])
        volumes = whole.to(device_of(model))
        decoded = torch.cat([model.decode_raw(model.moments(v[None])[0]) for v in volumes])
        shape, colour = reconstruction_loss(decoded, volumes)
        iou = inside_iou(decoded[:, 0] < 0, volumes[:, 0] < 0)
        scores = {
            "iou": float(iou.mean()),
            "shape": float(shape),
            "colour": float(colour),
        }
        return scores, _slices(volumes, decoded)

    @torch.no_grad()
    def finish(self, model: VolumeVAE) -> None:
        """Measure the latents' mean and standard deviation per channel, over training volumes."""
        samples = self.dataset
        generators = [np.random.default_rng((samples.seed, i, 9)) for i in range(STATISTICS)]
        volumes = [samples.volume(rng)[None].to(device_of(model)) for rng in generators]
        latents = torch.cat([model.moments(volume)[0] for volume in volumes])
        channels = latents.transpose(0, 1).flatten(1)
        model.get_buffer("latent_mean").copy_(channels.mean(1))
        model.get_buffer("latent_std").copy_(channels.std(1).clamp(min=1e-3))


def _slices(truth: Tensor, decoded: Tensor) -> np.ndarray:
    """Middle slices of shape and colour, truth above reconstruction."""
    rows: list[Tensor] = []
    for volume in (truth, decoded):
        depth = volume.shape[-1]
        middle = volume[:8, ..., depth // 2].float().cpu().clamp(-1, 1)
        shape = middle[:, :1].expand(-1, 3, -1, -1)
        rows += [torch.cat(list(planes), dim=2) for planes in (shape, middle[:, 1:])]
    return picture_of(torch.cat(rows, dim=1))
