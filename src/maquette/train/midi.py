"""Task: multi-instance diffusion. The instance generator learns to denoise all instances of a scene
together, in the scene's cube.

As in MIDI (arXiv 2412.03558, section 3.3) a share of the samples are single objects, each a scene
of its own and its own crop the scene picture: they keep what the generator knows of objects. Only
the attention of the middle blocks is trained; the lift, the encoder of the pictures and the VAE
stay as they are, so a step is cheap and the result is a small difference to the generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from maquette.errors import InputError
from maquette.flow.path import interpolate, logit_normal_times, noise_like, velocity_target
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.generator import Condition, Generator
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.models.volume_vae import VolumeVAE
from maquette.options.training import MidiOptions
from maquette.train.generator import encode_targets, occupancy_iou
from maquette.train.sequences import RowConfig, RowMaker, SequenceSamples
from maquette.train.sources import Sources
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    concatenated,
    detached,
    device_of,
    fixed,
    scenes_of_rows,
)

EXAMINED = 8  # held-out scenes


def tuned_generator(base: Generator, options: MidiOptions) -> MultiInstanceGenerator:
    """The joint generator that starts from an instance generator; all but the attention of half of
    its blocks is frozen.
    """
    if base.config.frame != "view-centric":
        raise InputError(
            "the generator to start from is in the canonical frame; give a view-centric one"
        )
    blocks = base.config.flow.blocks
    tuned = blocks // 2
    joint = tuned if options.joint_blocks is None else options.joint_blocks
    if not 0 <= joint <= blocks:
        raise InputError(
            f"joint blocks: got {joint}, the generator has {blocks} blocks; choose 0 to {blocks}"
        )
    config = MultiInstanceConfig(base.config, joint, tuned, options.scene_image)
    model = MultiInstanceGenerator(config)
    model.base.load_state_dict(base.state_dict())
    return model.freeze()


@dataclass(frozen=True, eq=False)
class MultiInstanceSamples(Dataset):
    """Scenes of several instances, or as many scenes of one instance; sample i depends on (seed, i)
    only.

    A sample has crops (N, 5, S, S), lifted (N, C, G, G, G) and target (N, 4, R, R, R) of the
    instances, scenes (P, 5, S, S) and scene_of (N,), the picture of each instance, and groups, the
    number of instances of each scene.
    """

    scenes: SequenceSamples
    singles: SequenceSamples
    single_objects: float
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        alone = np.random.default_rng((self.seed, index, 6)).random() < self.single_objects
        return as_single_objects(self.singles[index]) if alone else as_scene(self.scenes[index])


@dataclass(frozen=True, eq=False)
class SceneSamples(Dataset):
    """Scenes of several instances only; sample i is that of the rows."""

    rows: SequenceSamples

    def __getitem__(self, index: int) -> Sample:
        return as_scene(self.rows[index])


def as_scene(rows: Sample) -> Sample:
    """Rows of a view with its scene branch first -> one group; the branch's crop is the scene
    picture, and its row is not used.
    """
    kept = {name: rows[name][1:] for name in ("crops", "lifted", "target")}
    count = len(kept["crops"])
    scene_of = torch.zeros(count, dtype=torch.int64)
    groups = torch.tensor([count])
    return kept | {
        "scenes": rows["crops"][:1],
        "scene_of": scene_of,
        "groups": groups,
    }


def as_single_objects(rows: Sample) -> Sample:
    """Rows of objects in their own cubes -> as many groups of one; the crop is the scene picture
    too.
    """
    count = len(rows["crops"])
    kept = {name: rows[name] for name in ("crops", "lifted", "target")}
    return kept | {
        "scenes": rows["crops"],
        "scene_of": torch.arange(count),
        "groups": torch.ones(count, dtype=torch.int64),
    }


def collate_groups(samples: list[Sample]) -> Batch:
    """Concatenate samples; ``scene_of`` keeps pointing to the right picture, and ``groups`` becomes
    a list of numbers.
    """
    batch = concatenated(samples)
    scene_of = scenes_of_rows(samples, "scenes")
    return batch | {"scene_of": scene_of, "groups": batch["groups"].tolist()}


def midi_task(
    base: Generator,
    vae: VolumeVAE,
    sources: Sources,
    options: MidiOptions,
    seed: int = 0,
) -> MidiTask:
    """The task of ``maquette train midi``, from an instance generator."""
    together = RowConfig(scene_instances=5, zoom_instances=0)
    alone = RowConfig(scene_instances=0, zoom_instances=4)
    judged = replace(together, augment=False, drop_lift=0.0)
    sizes = base.config, vae.config.resolution
    scenes = SequenceSamples(sources.views, RowMaker(sources.library, together, *sizes), seed)
    singles = SequenceSamples(sources.views, RowMaker(sources.library, alone, *sizes), seed)
    examined = RowMaker(sources.held_out, judged, *sizes)
    held_out = SequenceSamples(sources.unseen, examined, seed + 1)
    samples = MultiInstanceSamples(scenes, singles, options.single_objects, seed)
    return MidiTask(tuned_generator(base, options), vae, samples, SceneSamples(held_out))


class MidiTask(Task[MultiInstanceGenerator]):
    """Flow matching (eq. 5 of I-Scene's convention) on the latents of all instances of a scene at
    one noise level.
    """

    drop_context = 0.1  # share of scenes whose picture tokens are zeroed, for guidance
    collate = staticmethod(collate_groups)

    def __init__(
        self,
        model: MultiInstanceGenerator,
        vae: VolumeVAE,
        samples: MultiInstanceSamples,
        held_out: SceneSamples,
    ):
        self.model = model
        self.vae = fixed(vae)
        self.frozen = (self.vae,)
        self.dataset = samples
        self.examined = HeldOut(held_out, EXAMINED, self.collate)

    def condition(self, model: MultiInstanceGenerator, batch: Batch) -> Condition:
        """What the instances know; only the scene's mark has a gradient."""
        with torch.no_grad():
            own = model.base.encode(batch["crops"], batch["lifted"], self.vae)
        return model.with_scene(own, batch["scenes"], batch["scene_of"])

    def loss(
        self,
        model: MultiInstanceGenerator,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Velocity error, mean squared; latents have unit variance."""
        groups = batch["groups"]
        count = len(groups)
        scene = torch.repeat_interleave(torch.arange(count), torch.tensor(groups))
        condition = self.condition(model, batch)
        x0 = encode_targets(self.vae, batch["target"])
        t = logit_normal_times(count, generator)[scene].to(x0.device)
        keep = (torch.rand(count, generator=generator) >= self.drop_context)[scene].to(x0)
        noise = noise_like(x0, generator)
        known = Condition(condition.context * keep[:, None, None], condition.lift)
        velocity = model(interpolate(x0, noise, t), t, known, groups)
        error = (velocity.float() - velocity_target(x0, noise)).square().mean((1, 2, 3, 4))
        parts = {"flow": error.mean()}
        together = torch.tensor(groups)[scene] > 1
        for name, rows in (("flow_scenes", together), ("flow_single", ~together)):
            if rows.any():
                parts[name] = error[torch.nonzero(rows)[:, 0].to(error.device)].mean()
        return error.mean(), detached(parts)

    @torch.no_grad()
    def examine(self, model: MultiInstanceGenerator) -> ScoresAndPicture:
        """Occupancy IoU in held-out scenes after eight steps: together, and each instance on its
        own (what the joint blocks are worth).
        """
        batch = self.examined.batch(device_of(model))
        condition = self.condition(model, batch)
        shape = model.config.base.flow.latent_shape
        noise = seeded_noise(shape, range(len(batch["crops"]))).to(device_of(model))
        truth = batch["target"][:, 0].float() < 0
        scores = {}
        for name, seen in (("together", batch["groups"]), ("alone", [1] * len(noise))):
            latents = euler(model.velocity(condition, seen), noise, shifted_schedule(8))
            scores[f"iou_{name}"] = float(occupancy_iou(self.vae, latents, truth).mean())
        return scores, None
