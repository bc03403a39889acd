"""Tasks: the instance generator (zoom rows) and its reprogramming into the scene model (scene rows
too), by flow matching.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.errors import InputError
from maquette.flow.path import (
    data_from_velocity,
    interpolate,
    logit_normal_times,
    noise_like,
    velocity_target,
)
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.generator import Condition, Generator
from maquette.models.volume_vae import VolumeVAE
from maquette.train.sequences import SequenceSamples, collate_rows
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Scores,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    fixed,
)

EXAMINED = 10  # held-out views
EXAMINED_TOGETHER = 8  # of their rows


def row_times(scene_of: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) noise levels, where ``scene_of`` is: one per scene, shared by the scene branch and its
    instances (I-Scene: the same t); zoom rows have their own.
    """
    t = logit_normal_times(len(scene_of), generator).to(scene_of.device)
    return torch.where(scene_of >= 0, t[scene_of.clamp(min=0)], t)


def guess_loss(guess: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the guessed TSDF, near the surface counted once more on its own, and
    of the colour at the surface.

    guess: (B, 4, G, G, G); target: (B, 4, R, R, R), averaged down to the guess's grid.
    """
    truth = target
    if guess.shape != target.shape:
        truth = F.adaptive_avg_pool3d(target, guess.shape[-1])
    guess, truth = guess.flatten(2), truth.flatten(2)
    error = (guess[:, 0] - truth[:, 0]).abs()
    near = truth[:, 0].abs() < 0.95
    count = near.sum(1) + 1
    at_surface = _summed_near(error, near, guess, truth)
    return (error.mean(1) + at_surface / count).mean()


def _summed_near(error: Tensor, near: Tensor, guess: Tensor, truth: Tensor) -> Tensor:
    """(B,) sums over the cells that are ``near`` (B, N), of distance errors (B, N) and a tenth of
    those of the colours in guess and truth (B, 4, N).
    """
    if error.device.type != "cpu":  # which cells these are, a device would have to be asked
        hue = (guess[:, 1:] - truth[:, 1:]).abs().sum(1)
        return (near * (error + 0.1 * hue)).sum(1)
    # A tenth of the cells: on a processor several times cheaper than passes over all colours.
    rows, cells = near.nonzero(as_tuple=True)
    guessed, true = (volume.transpose(1, 2)[rows, cells, 1:] for volume in (guess, truth))
    hue = (guessed - true).abs().sum(1)
    summed = error.new_zeros(len(error))
    return summed.index_add(0, rows, error[rows, cells] + 0.1 * hue)


def occupancy_iou(vae: VolumeVAE, latents: Tensor, truth: Tensor) -> Tensor:
    """(B,) IoU of the insides of decoded latents (B, C, r, r, r) with true insides (B, R, R, R)
    bool.
    """
    decoded = torch.cat([vae.decode(part)[:, 0] for part in latents.split(4)])
    return inside_iou(decoded < 0, truth)


def inside_iou(one: Tensor, other: Tensor) -> Tensor:
    """(B,) IoU of two insides (B, R, R, R) bool."""
    both = (one & other).sum((1, 2, 3))
    return both / (one | other).sum((1, 2, 3)).clamp(min=1)


def encode_targets(vae: VolumeVAE, target: Tensor) -> Tensor:
    """Latents of volumes (B, 4, R, R, R) of any precision, without gradients, a few at a time."""
    with torch.no_grad():
        return torch.cat([vae.encode(part.float()) for part in target.split(8)])


class GeneratorTask(Task[Generator]):
    """Flow matching on latents (I-Scene, eq. 5, on both branches) plus regression of the lift's
    guess in volume space.
    """

    guess_weight = 1.0
    drop_context = 0.1  # share of rows whose picture tokens are zeroed, for guidance
    collate = staticmethod(collate_rows)

    def __init__(
        self,
        model: Generator,
        vae: VolumeVAE,
        samples: SequenceSamples,
        held_out: SequenceSamples,
        lift_only: bool = False,
    ):
        self.model = model
        self.vae = fixed(vae)
        self.frozen = (self.vae,)
        if lift_only and model.flow.lift is None:
            raise InputError("the network has no lift to train; give weights with one to --init")
        # train the lift's guess alone: no transformer, no VAE, more than twice as fast
        self.lift_only = lift_only
        # single instances in their own cubes are all that it sees, so their guess is completed
        self.zoomed = samples.maker.rows.scene_instances == 0
        self.dataset = samples
        self.examined = HeldOut(held_out, EXAMINED, self.collate)

    def loss(
        self,
        model: Generator,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Velocity error (mean squared, latents have unit variance) and guess error."""
        target = batch["target"]
        if self.lift_only and model.flow.lift is not None:
            volume = model.flow.guessed_volume(batch["lifted"], self.zoomed)[1]
            guess = guess_loss(volume.float(), target.float())
            return guess, detached({"guess": guess})
        x0 = encode_targets(self.vae, target)
        t = row_times(batch["scene_of"], generator)
        noise = noise_like(x0, generator)
        keep = (torch.rand(len(x0), generator=generator) >= self.drop_context).to(x0)
        condition = model.encode(batch["crops"], batch["lifted"], self.vae, self.zoomed)
        known = Condition(condition.context * keep[:, None, None], condition.lift)
        velocity = model(interpolate(x0, noise, t), t, known, batch["scene_of"])
        flow = (velocity.float() - velocity_target(x0, noise)).square().mean()
        if condition.lift is None:
            return flow, detached({"flow": flow})
        _, guessed_latent, volume = condition.lift
        guess = guess_loss(volume.float(), target.float())
        # config.guess_variance should be about this
        variance = (guessed_latent - x0).square().mean()
        parts = {
            "flow": flow,
            "guess": guess,
            "guess_variance": variance,
        }
        return flow + self.guess_weight * guess, detached(parts)

    @torch.no_grad()
    def examine(self, model: Generator) -> ScoresAndPicture:
        """Occupancy IoU on held-out objects of the guess, of one step and of eight steps, for zoom
        rows and scene rows.
        """
        batch = self.examined.batch(device_of(model))
        if self.lift_only:
            return self._guessed(model, batch), None
        condition = model.encode(batch["crops"], batch["lifted"], self.vae, self.zoomed)
        scene_of = batch["scene_of"]
        latents = _sampled(model, condition, scene_of)
        if condition.lift is not None:
            latents["guess"] = condition.lift[1]
        truth = batch["target"][:, 0].float() < 0
        scores: Scores = {}
        for name, latent in latents.items():
            scores |= _by_kind(name, occupancy_iou(self.vae, latent, truth), scene_of)
        return scores, None

    def _guessed(self, model: Generator, batch: Batch) -> Scores:
        """Of the guessed volumes alone."""
        truth = batch["target"].float()
        parts = batch["lifted"].split(EXAMINED_TOGETHER)
        guesses = torch.cat([model.flow.guessed_volume(part, self.zoomed)[1] for part in parts])
        volume = F.interpolate(guesses, truth.shape[2:], mode="trilinear")
        iou = inside_iou(volume[:, 0] < 0, truth[:, 0] < 0)
        losses = {"guess_loss": float(guess_loss(volume, truth))}
        return losses | _by_kind("guess", iou, batch["scene_of"])


def _by_kind(name: str, iou: Tensor, scene_of: Tensor) -> Scores:
    """Means over the scene branches, the instances beside them, and those in their own cubes."""
    in_scene = scene_of >= 0
    branches = torch.zeros_like(in_scene)
    branches[scene_of[in_scene]] = True
    kinds = {
        "scene": branches,
        "instance": in_scene,
        "zoom": ~branches & ~in_scene,
    }
    means = {kind: float(iou[rows].mean()) for kind, rows in kinds.items() if rows.any()}
    return {f"iou_{kind}_{name}": mean for kind, mean in means.items()}


def _sampled(model: Generator, condition: Condition, scene_of: Tensor) -> dict[str, Tensor]:
    """Latents after one step and after eight, always from the same noise."""
    noise = seeded_noise(model.config.flow.latent_shape, range(len(scene_of))).to(scene_of.device)
    velocity = model.velocity(condition, scene_of)
    whole = torch.ones(len(noise), device=noise.device)
    return {
        "one": data_from_velocity(noise, velocity(noise, 1.0), whole),
        "eight": euler(velocity, noise, shifted_schedule(8)),
    }
