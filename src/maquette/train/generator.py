"""Tasks: the instance generator (zoom rows) and its reprogramming into the scene model (scene rows
too), by flow matching.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.flow.path import data_from_velocity, interpolate, logit_normal_times, velocity_target
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.generator import Generator
from maquette.models.volume_vae import VolumeVAE
from maquette.train.sequences import SequenceSamples, collate_rows


def row_times(scene_of: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) noise levels: one per scene, shared by the scene branch and its instances (I-Scene: the
    same t); zoom rows have their own.
    """
    t = logit_normal_times(len(scene_of), generator)
    return torch.where(scene_of >= 0, t[scene_of.clamp(min=0)], t)


def guess_loss(guess: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the guessed TSDF, near the surface counted once more on its own, and
    of the colour at the surface.

    guess: (B, 4, G, G, G); target: (B, 4, R, R, R), averaged down to the guess's grid.
    """
    truth = F.adaptive_avg_pool3d(target, guess.shape[-1])
    error = (guess[:, :1] - truth[:, :1]).abs()
    near = (truth[:, :1].abs() < 0.95).float()
    count = near.sum((1, 2, 3, 4)) + 1
    shape = error.mean((1, 2, 3, 4)) + (near * error).sum((1, 2, 3, 4)) / count
    colour = (near * (guess[:, 1:] - truth[:, 1:]).abs()).sum((1, 2, 3, 4)) / (3 * count)
    return (shape + 0.3 * colour).mean()


def occupancy_iou(vae: VolumeVAE, latents: Tensor, truth: Tensor) -> Tensor:
    """(B,) IoU of the insides of decoded latents (B, C, r, r, r) with true insides (B, R, R, R)
    bool.
    """
    inside = torch.cat([vae.decode(part)[:, 0] for part in latents.split(4)]) < 0
    return (inside & truth).sum((1, 2, 3)) / (inside | truth).sum((1, 2, 3)).clamp(min=1)


def encode_targets(vae: VolumeVAE, target: Tensor) -> Tensor:
    """Latents of volumes (B, 4, R, R, R) of any precision, without gradients, a few at a time."""
    with torch.no_grad():
        return torch.cat([vae.encode(part.float()) for part in target.split(8)])


class GeneratorTask:
    """Flow matching on latents (I-Scene, eq. 5, on both branches) plus regression of the lift's
    guess in volume space.
    """

    guess_weight = 1.0
    drop_context = 0.1  # share of rows whose picture tokens are zeroed, for guidance

    def __init__(
        self,
        model: Generator,
        vae: VolumeVAE,
        samples: SequenceSamples,
        held_out: SequenceSamples,
        lift_only: bool = False,
    ):
        self.model = model
        self.vae = vae.eval().requires_grad_(False)
        # train the lift's guess alone: no transformer, no VAE, more than twice as fast
        self.lift_only = lift_only
        self.dataset = samples
        self.held_out = held_out
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Rows of all views, one after the other."""
        return collate_rows(samples)

    def loss(
        self, model: Generator, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Velocity error (mean squared, latents have unit variance) and guess error."""
        if self.lift_only:
            _, volume = model.flow.lift(batch["lifted"])
            guess = guess_loss(volume.float(), batch["target"].float())
            return guess, {"guess": float(guess.detach())}
        x0 = encode_targets(self.vae.to(batch["target"].device), batch["target"])
        scene_of = batch["scene_of"].cpu()
        t = row_times(scene_of, generator).to(x0.device)
        noise = torch.randn(x0.shape, generator=generator).to(x0)
        keep = (torch.rand(len(x0), generator=generator) >= self.drop_context).to(x0)
        condition = model.encode(batch["crops"], batch["lifted"], self.vae)
        condition = type(condition)(condition.context * keep[:, None, None], condition.lift)
        velocity = model(interpolate(x0, noise, t), t, condition, batch["scene_of"])
        flow = (velocity.float() - velocity_target(x0, noise)).square().mean()
        if condition.lift is None:
            return flow, {"flow": float(flow.detach())}
        guess = guess_loss(condition.lift[2].float(), batch["target"].float())
        variance = float(
            (condition.lift[1] - x0).square().mean()
        )  # of the guessed latent; config.guess_variance should be about this
        return flow + self.guess_weight * guess, {
            "flow": float(flow.detach()),
            "guess": float(guess.detach()),
            "guess_variance": variance,
        }

    @torch.no_grad()
    def examine(self, model: Generator) -> tuple[dict[str, float], np.ndarray | None]:
        """Occupancy IoU on held-out objects of the guess, of one step and of eight steps, for zoom
        rows and scene rows.
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([self.held_out[i] for i in range(10)])
        batch = {k: v.to(device) for k, v in self._examination.items()}
        condition = model.encode(batch["crops"], batch["lifted"], self.vae)
        shape = (model.config.flow.channels, *(model.config.flow.resolution,) * 3)
        noise = seeded_noise(shape, range(len(batch["crops"]))).to(device)
        velocity = model.velocity(condition, batch["scene_of"])
        latents = {
            "one": data_from_velocity(
                noise, velocity(noise, 1.0), torch.ones(len(noise), device=device)
            ),
            "eight": euler(velocity, noise, shifted_schedule(8)),
        }
        if condition.lift is not None:
            latents["guess"] = condition.lift[1]
        if self.lift_only:
            latents = {"guess": latents["guess"]}
        truth = batch["target"][:, 0].float() < 0
        scene_rows = torch.zeros(len(noise), dtype=torch.bool, device=device)
        scene_rows[batch["scene_of"][batch["scene_of"] >= 0]] = True
        kinds = {
            "scene": scene_rows,
            "instance": batch["scene_of"] >= 0,
            "zoom": ~scene_rows & (batch["scene_of"] < 0),
        }
        scores: dict[str, float] = {}
        for name, latent in latents.items():
            iou = occupancy_iou(self.vae, latent, truth)
            scores |= {
                f"iou_{kind}_{name}": float(iou[rows].mean())
                for kind, rows in kinds.items()
                if bool(rows.any())
            }
        return scores, None

    def finish(self, model: Generator) -> None:
        """Nothing to add."""
