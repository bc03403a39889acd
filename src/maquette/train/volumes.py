"""Task: the volume VAE. A sample is a crop of a random volume: one asset or several, at any yaw,
size and place.

The same VAE must serve an object's own cube and the whole scene's, hence the wide range of sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.geometry.transforms import rotation_y, scale_of, similarity
from maquette.geometry.volumes import TRUNCATION
from maquette.models.volume_vae import VolumeVAE


class VolumeSamples(Dataset):
    """Random truncated volumes (4, crop, crop, crop); sample i depends on (seed, i) only."""

    def __init__(self, library: AssetLibrary, resolution: int = 64, crop: int = 32, seed: int = 0):
        self.library = library
        self.resolution = resolution
        self.crop = crop
        self.seed = seed

    def objects(self, rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
        """A random arrangement in a cube: (asset, cube_from_asset) of one object filling it, or of
        several smaller ones.
        """
        count = 1 if rng.random() < 0.7 else int(rng.integers(2, 6))
        placed = []
        for _ in range(count):
            size = (
                rng.uniform(0.55, 0.95)
                if count == 1
                else np.exp(rng.uniform(np.log(0.12), np.log(0.6)))
            )
            place = rng.uniform(-0.5, 0.5, 3) * max(0.0, 1.0 - 0.8 * size)
            placed.append(
                (
                    int(rng.integers(len(self.library))),
                    similarity(size, rotation_y(rng.uniform(0, 2 * np.pi)), place),
                )
            )
        return placed

    def volume(self, rng: np.random.Generator) -> Tensor:
        """A random whole volume (4, R, R, R)."""
        return self._fill(self.objects(rng), np.eye(4), self.resolution)

    def _fill(
        self, objects: list[tuple[int, np.ndarray]], part_from_cube: np.ndarray, resolution: int
    ) -> Tensor:
        """The truncated volume of a part of the cube; the truncation stays that of the whole cube."""
        placed = [(i, part_from_cube @ cube_from_asset) for i, cube_from_asset in objects]
        return torch.from_numpy(
            placed_volume(self.library, placed, resolution, TRUNCATION * scale_of(part_from_cube))
        )

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng((self.seed, index, 1))
        objects = self.objects(rng)
        if self.crop >= self.resolution:
            return self._fill(objects, np.eye(4), self.resolution)
        share = self.crop / self.resolution
        for _ in range(
            6
        ):  # a crop without a surface teaches little; looking for one is cheap on a coarse grid
            corner = (
                rng.integers(0, (self.resolution - self.crop) // 8 + 1, 3) * 8 / self.resolution
            )
            part_from_cube = np.linalg.inv(similarity(share, None, corner + share / 2 - 0.5))
            if float((self._fill(objects, part_from_cube, 8)[0].abs() < 1).float().mean()) > 0.03:
                break
        return self._fill(objects, part_from_cube, self.crop)


def reconstruction_loss(decoded: Tensor, volume: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute TSDF error, near the surface five times as important, and mean absolute colour
    error at the surface.
    """
    near = (volume[:, :1].abs() < 1).float()
    shape = ((1 + 4 * near) * (decoded[:, :1] - volume[:, :1]).abs()).mean()
    surface = near * (1 - volume[:, :1].abs())
    colour = (surface * (decoded[:, 1:] - volume[:, 1:]).abs()).sum() / (3 * surface.sum() + 1)
    return shape, colour


class VolumeTask:
    """Train a VolumeVAE."""

    kl_weight = 1e-4

    def __init__(
        self,
        model: VolumeVAE,
        library: AssetLibrary,
        held_out: AssetLibrary,
        crop: int = 32,
        seed: int = 0,
    ):
        self.model = model
        self.dataset = VolumeSamples(library, model.config.resolution, crop, seed)
        self.held_out = VolumeSamples(
            held_out, model.config.resolution, model.config.resolution, seed=seed + 1
        )

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        """Stack."""
        return {"volume": torch.stack(samples)}

    def loss(
        self, model: VolumeVAE, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Reconstruction + KL."""
        mean, logvar = model.moments(batch["volume"])
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        decoded = model.decode_raw(mean + (0.5 * logvar).exp() * noise)
        shape, colour = reconstruction_loss(decoded, batch["volume"])
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        parts = {"shape": shape, "colour": colour, "kl": kl}
        return shape + 0.5 * colour + self.kl_weight * kl, {
            name: float(part.detach()) for name, part in parts.items()
        }

    @torch.no_grad()
    def examine(self, model: VolumeVAE) -> tuple[dict[str, float], np.ndarray | None]:
        """Occupancy IoU and errors on whole volumes of held-out assets."""
        device = next(model.parameters()).device
        volumes = torch.stack(
            [self.held_out.volume(np.random.default_rng((7, i))) for i in range(16)]
        ).to(device)
        decoded = torch.cat([model.decode_raw(model.moments(v[None])[0]) for v in volumes])
        shape, colour = reconstruction_loss(decoded, volumes)
        inside = decoded[:, 0] < 0
        truth = volumes[:, 0] < 0
        iou = (inside & truth).sum((1, 2, 3)) / (inside | truth).sum((1, 2, 3)).clamp(min=1)
        return {"iou": float(iou.mean()), "shape": float(shape), "colour": float(colour)}, _slices(
            volumes, decoded
        )

    @torch.no_grad()
    def finish(self, model: VolumeVAE) -> None:
        """Measure the latents' mean and standard deviation per channel, over training volumes."""
        device = next(model.parameters()).device
        volumes = [
            self.dataset.volume(np.random.default_rng((self.dataset.seed, i, 9))) for i in range(24)
        ]
        latents = (
            torch.cat([model.moments(v[None].to(device))[0] for v in volumes])
            .transpose(0, 1)
            .flatten(1)
        )
        model.latent_mean.copy_(latents.mean(1))
        model.latent_std.copy_(latents.std(1).clamp(min=1e-3))


def _slices(truth: Tensor, decoded: Tensor) -> np.ndarray:
    """Middle slices of shape and colour, truth above reconstruction."""
    rows: list[Any] = []
    for volume in (truth, decoded):
        middle = volume[:8, :, :, :, volume.shape[-1] // 2].float().cpu().clamp(-1, 1)
        shape = middle[:, :1].expand(-1, 3, -1, -1)
        rows += [torch.cat(list(shape), dim=2), torch.cat(list(middle[:, 1:]), dim=2)]
    grid = torch.cat(rows, dim=1)
    return ((grid.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
