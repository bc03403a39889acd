"""Task: shapes as parts. A sample is one asset in two poses: parts read off the first must make the
second when only they are moved.

Three losses, as in SPAGHETTI: reconstruction (of the volume VAE's latents), the likelihood of
points inside the object under its Gaussians, and the same reconstruction after moving the Gaussians
to the second pose with the intrinsics as they are. Poses follow Coherent 3D Scene Diffusion: any
yaw, sizes and places as the cube allows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.geometry.part_gaussians import PartGaussians, yaw_rotations
from maquette.geometry.transforms import rotation_y, scale_of, similarity
from maquette.models.part_shapes import CANONICAL_SIZE, PART_NUMBERS, PartShapes
from maquette.models.volume_vae import VolumeVAE
from maquette.train.generator import encode_targets, occupancy_iou

POINTS = 256  # inside an object, for the likelihood
STATISTICS = 64  # assets that the normalisation is measured on


def canonical_volume(library: AssetLibrary, asset: int, resolution: int) -> Tensor:
    """(4, R, R, R) an asset in its own axes, centred, of the size in which parts are described."""
    return torch.from_numpy(
        placed_volume(library, [(asset, similarity(CANONICAL_SIZE))], resolution)
    )


def points_inside(tsdf: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
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


class ShapeSamples(Dataset):
    """One asset in two poses (volumes (2, 4, R, R, R) float16), the way from the first to the
    second, and points inside the first.
    """

    def __init__(self, library: AssetLibrary, resolution: int = 64, seed: int = 0):
        self.library = library
        self.resolution = resolution
        self.seed = seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index, 7))
        asset = int(rng.integers(len(self.library)))
        poses = [self._pose(rng) for _ in range(2)]
        volumes = np.stack(
            [placed_volume(self.library, [(asset, pose)], self.resolution) for pose in poses]
        )
        second_from_first = poses[1] @ np.linalg.inv(poses[0])
        scale = scale_of(second_from_first)
        return {
            "volumes": torch.from_numpy(volumes).half(),
            "inside": torch.from_numpy(
                points_inside(volumes[0, 0], POINTS, rng).astype(np.float32)
            ),
            "rotation": torch.from_numpy((second_from_first[:3, :3] / scale).astype(np.float32)),
            "scale": torch.tensor(scale, dtype=torch.float32),
            "translation": torch.from_numpy(second_from_first[:3, 3].astype(np.float32)),
        }

    @staticmethod
    def _pose(rng: np.random.Generator) -> np.ndarray:
        """(4, 4) cube_from_asset: any yaw, a size around the canonical one, a place where it mostly
        stays in the cube.
        """
        size = CANONICAL_SIZE * rng.uniform(0.7, 1.1)
        place = rng.uniform(-0.5, 0.5, 3) * max(0.05, 0.95 - size)
        return similarity(size, rotation_y(rng.uniform(0, 2 * np.pi)), place)


class ShapeTask:
    """Train PartShapes on the latents of a frozen volume VAE."""

    inside_weight = 0.05  # of the negative log likelihood, which is about -1 to 4
    moved_weight = 1.0
    intrinsic_noise = 0.05  # so that nearby intrinsics mean nearby shapes
    intrinsic_weight = 1e-3  # of their mean square

    def __init__(
        self,
        model: PartShapes,
        vae: VolumeVAE,
        library: AssetLibrary,
        held_out: AssetLibrary,
        seed: int = 0,
    ):
        self.model = model
        self.vae = vae.eval().requires_grad_(False)
        self.dataset = ShapeSamples(library, vae.config.resolution, seed)
        self.held_out = ShapeSamples(held_out, vae.config.resolution, seed + 1)
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Stack."""
        return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}

    def _decoded(
        self,
        model: PartShapes,
        batch: dict[str, Tensor],
        gaussians: PartGaussians,
        intrinsic: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Latents of the first pose, and of the second by moving the Gaussians."""
        moved = gaussians.moved(batch["rotation"], batch["scale"], batch["translation"])
        return model.decode(gaussians, intrinsic), model.decode(moved, intrinsic)

    def loss(
        self, model: PartShapes, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Reconstruction, moved reconstruction, likelihood of inside points, size of the
        intrinsics.
        """
        first, second = (
            encode_targets(self.vae.to(volume.device), volume)
            for volume in batch["volumes"].unbind(1)
        )
        gaussians, intrinsic = model.encode(first)
        noise = torch.randn(intrinsic.shape, generator=generator).to(intrinsic)
        made, moved = self._decoded(
            model, batch, gaussians, intrinsic + self.intrinsic_noise * noise
        )
        here = (made.float() - first).square().mean()
        there = (moved.float() - second).square().mean()
        inside = -gaussians.log_density(batch["inside"]).mean()
        size = intrinsic.float().square().mean()
        total = (
            here
            + self.moved_weight * there
            + self.inside_weight * inside
            + self.intrinsic_weight * size
        )
        parts = {"here": here, "moved": there, "inside": inside, "intrinsic": size}
        return total, {name: float(part.detach()) for name, part in parts.items()}

    @torch.no_grad()
    def examine(self, model: PartShapes) -> tuple[dict[str, float], np.ndarray | None]:
        """Occupancy IoU on held-out assets: as read, moved, and of the VAE alone, which is the
        limit.
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([self.held_out[i] for i in range(12)])
        batch = {name: values.to(device) for name, values in self._examination.items()}
        first = encode_targets(self.vae.to(device), batch["volumes"][:, 0])
        here, moved = self._decoded(model, batch, *model.encode(first))
        inside = batch["volumes"][:, :, 0].float() < 0
        scores = {"iou": (here, 0), "iou_moved": (moved, 1), "iou_vae": (first, 0)}
        return {
            name: float(occupancy_iou(self.vae, latent, inside[:, k]).mean())
            for name, (latent, k) in scores.items()
        }, None

    @torch.no_grad()
    def finish(self, model: PartShapes) -> None:
        """Measure mean and standard deviation of every part's numbers, over assets in their
        canonical pose and at random yaws.
        """
        device = next(model.parameters()).device
        library = self.dataset.library
        rng = np.random.default_rng((self.dataset.seed, 8))
        assets = rng.choice(len(library), min(len(library), STATISTICS), replace=False)
        volumes = torch.stack(
            [canonical_volume(library, int(asset), self.dataset.resolution) for asset in assets]
        )
        gaussians, intrinsic = model.encode(encode_targets(self.vae.to(device), volumes.to(device)))
        yaws = torch.from_numpy(rng.uniform(-np.pi, np.pi, (8, len(assets))).astype(np.float32)).to(
            device
        )
        still = torch.ones(len(assets), device=device), torch.zeros(len(assets), 3, device=device)
        turned = torch.cat([gaussians.moved(yaw_rotations(yaw), *still).numbers() for yaw in yaws])
        known = torch.cat([turned, intrinsic.float().repeat(len(yaws), 1, 1)], dim=-1)
        model.mean.copy_(known.mean(0))
        model.std.copy_(known.std(0).clamp(min=0.02))
        model.std[:, 3:12] = (
            0.6  # of a random rotation's entries: axes are not to be stretched one by one
        )
        model.mean[:, 3:12] = 0.0
        model.std[:, PART_NUMBERS - 1] = model.std[:, PART_NUMBERS - 1].clamp(min=0.2)
