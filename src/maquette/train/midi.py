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
from torch import Tensor
from torch.utils.data import Dataset

from maquette.checkpoints.store import Checkpoint
from maquette.errors import InputError
from maquette.flow.path import interpolate, logit_normal_times, velocity_target
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.generator import Condition
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.models.volume_vae import VolumeVAE
from maquette.train.generator import encode_targets, occupancy_iou
from maquette.train.sequences import RowConfig, SequenceSamples
from maquette.train.sources import Sources


@dataclass(frozen=True)
class MidiOptions:
    """The switches of the paper's ablations."""

    joint_blocks: int | None = None  # middle blocks; 0 = independent instances; None = half of them
    scene_image: bool = True
    single_objects: float = 0.3  # share of the samples


def tuned_generator(base: Checkpoint, options: MidiOptions) -> MultiInstanceGenerator:
    """The joint generator that starts from an instance generator; all but the attention of half of
    its blocks is frozen.
    """
    if base.model.config.frame != "view-centric":
        raise InputError(
            "the generator to start from is in the canonical frame; give a view-centric one"
        )
    blocks = base.model.config.flow.blocks
    joint = blocks // 2 if options.joint_blocks is None else options.joint_blocks
    if not 0 <= joint <= blocks:
        raise InputError(
            f"joint blocks: got {joint}, the generator has {blocks} blocks; choose 0 to {blocks}"
        )
    model = MultiInstanceGenerator(
        MultiInstanceConfig(base.model.config, joint, blocks // 2, options.scene_image)
    )
    model.base.load_state_dict(base.model.state_dict())
    return model.freeze()


class MultiInstanceSamples(Dataset):
    """Scenes of several instances, or as many scenes of one instance; sample i depends on (seed, i)
    only.

    A sample has crops (N, 5, S, S), lifted (N, C, G, G, G) and target (N, 4, R, R, R) of the
    instances, scenes (P, 5, S, S) and scene_of (N,), the picture of each instance, and groups, the
    number of instances of each scene.
    """

    def __init__(
        self,
        scenes: SequenceSamples,
        singles: SequenceSamples,
        single_objects: float,
        seed: int = 0,
    ):
        self.scenes = scenes
        self.singles = singles
        self.single_objects = single_objects
        self.seed = seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        alone = np.random.default_rng((self.seed, index, 6)).random() < self.single_objects
        return as_single_objects(self.singles[index]) if alone else as_scene(self.scenes[index])


def as_scene(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows of a view with its scene branch first -> one group; the branch's crop is the scene
    picture, and its row is not used.
    """
    count = len(rows["crops"]) - 1
    kept = {name: rows[name][1:] for name in ("crops", "lifted", "target")}
    return kept | {
        "scenes": rows["crops"][:1],
        "scene_of": torch.zeros(count, dtype=torch.int64),
        "groups": torch.tensor([count]),
    }


def as_single_objects(rows: dict[str, Tensor]) -> dict[str, Tensor]:
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


def collate_groups(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate samples; ``scene_of`` keeps pointing to the right picture."""
    batch = {
        name: torch.cat([s[name] for s in samples])
        for name in ("crops", "lifted", "target", "scenes", "groups")
    }
    offsets = np.cumsum([0] + [len(s["scenes"]) for s in samples[:-1]])
    batch["scene_of"] = torch.cat(
        [s["scene_of"] + int(offset) for s, offset in zip(samples, offsets)]
    )
    return batch


def midi_task(
    base: Checkpoint, vae: VolumeVAE, sources: Sources, options: MidiOptions, seed: int = 0
) -> MidiTask:
    """The task of ``maquette train midi``, from an instance generator (kind "generator")."""
    together = RowConfig(scene_instances=5, zoom_instances=0)
    alone = RowConfig(scene_instances=0, zoom_instances=4)
    judged = replace(together, augment=False, drop_lift=0.0)
    sizes = base.model.config, vae.config.resolution
    scenes = SequenceSamples(sources.views, sources.library, together, *sizes, seed)
    singles = SequenceSamples(sources.views, sources.library, alone, *sizes, seed)
    examined = SequenceSamples(sources.unseen, sources.held_out, judged, *sizes, seed + 1)
    return MidiTask(
        tuned_generator(base, options),
        vae,
        MultiInstanceSamples(scenes, singles, options.single_objects, seed),
        examined,
    )


class MidiTask:
    """Flow matching (eq. 5 of I-Scene's convention) on the latents of all instances of a scene at
    one noise level.
    """

    drop_context = 0.1  # share of scenes whose picture tokens are zeroed, for guidance

    def __init__(
        self,
        model: MultiInstanceGenerator,
        vae: VolumeVAE,
        samples: MultiInstanceSamples,
        held_out: SequenceSamples,
    ):
        self.model = model
        self.vae = vae.eval().requires_grad_(False)
        self.dataset = samples
        self.held_out = held_out
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Instances of all scenes, one after the other."""
        return collate_groups(samples)

    def condition(self, model: MultiInstanceGenerator, batch: dict[str, Tensor]) -> Condition:
        """What the instances know; only the scene's mark has a gradient."""
        self.vae.to(batch["crops"].device)
        with torch.no_grad():
            own = model.base.encode(batch["crops"], batch["lifted"], self.vae)
        return model.with_scene(own, batch["scenes"], batch["scene_of"])

    def loss(
        self, model: MultiInstanceGenerator, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Velocity error, mean squared; latents have unit variance."""
        groups = batch["groups"].tolist()
        scene = torch.repeat_interleave(torch.arange(len(groups)), batch["groups"].cpu())
        condition = self.condition(model, batch)
        x0 = encode_targets(self.vae, batch["target"])
        t = logit_normal_times(len(groups), generator)[scene].to(x0.device)
        keep = (torch.rand(len(groups), generator=generator) >= self.drop_context)[scene].to(x0)
        noise = torch.randn(x0.shape, generator=generator).to(x0)
        known = Condition(condition.context * keep[:, None, None], condition.lift)
        velocity = model(interpolate(x0, noise, t), t, known, groups)
        error = (velocity.float() - velocity_target(x0, noise)).square().mean((1, 2, 3, 4))
        numbers = {"flow": float(error.mean().detach())}
        together = torch.tensor(groups)[scene] > 1
        for name, rows in (("flow_scenes", together), ("flow_single", ~together)):
            if bool(rows.any()):
                numbers[name] = float(error.detach().cpu()[rows].mean())
        return error.mean(), numbers

    @torch.no_grad()
    def examine(self, model: MultiInstanceGenerator) -> tuple[dict[str, float], np.ndarray | None]:
        """Occupancy IoU in held-out scenes after eight steps: together, and each instance on its
        own (what the joint blocks are worth).
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([as_scene(self.held_out[i]) for i in range(8)])
        batch = {name: values.to(device) for name, values in self._examination.items()}
        condition = self.condition(model, batch)
        groups = batch["groups"].tolist()
        flow = model.config.base.flow
        noise = seeded_noise(
            (flow.channels, *(flow.resolution,) * 3), range(len(batch["crops"]))
        ).to(device)
        truth = batch["target"][:, 0].float() < 0
        scores = {}
        for name, seen in (("together", groups), ("alone", [1] * len(noise))):
            latents = euler(model.velocity(condition, seen), noise, shifted_schedule(8))
            scores[f"iou_{name}"] = float(occupancy_iou(self.vae, latents, truth).mean())
        return scores, None

    def finish(self, model: MultiInstanceGenerator) -> None:
        """Nothing to add."""
