"""Task: Coherent 3D Scene Diffusion. Poses and shapes of all objects of a scene, denoised at one
step of noise.

L = L_pose + L_shape + 0.01 L_align (section 3.4): two errors of what is predicted, and the
one-sided distance from the seen surface of every object to points of its predicted Gaussians at its
predicted pose. The paper predicts the noise; here it is the velocity, of which noise and data both
follow at every step: in as many steps a small network learns more. Depth is only used in L_align,
as in the paper, and in the cues (models/pose_diffusion.py). The encoder of the crops is the
generator's, frozen; shapes are those of PartShapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.augment import augment_image, jitter_labels
from maquette.data.layout import Catalogue
from maquette.data.library import AssetLibrary
from maquette.flow.ddpm import add_noise, angular_velocity, data_from_angular
from maquette.flow.sample import seeded_noise
from maquette.geometry.cameras import lift, pitch_of, project
from maquette.geometry.oriented_boxes import oriented_box_iou, yaw_box
from maquette.geometry.part_gaussians import PartGaussians, alignment_loss, yaw_rotations
from maquette.geometry.transforms import scale_of
from maquette.models.coherent import BOUND, SCHEDULE, Coherent, Objects
from maquette.models.conditioning import instance_crop
from maquette.models.image_encoder import PictureEncoder
from maquette.models.part_shapes import PART_NUMBERS, PartShapes
from maquette.models.pose_diffusion import Pose, Sight, object_cues, picture_box, visible_extent
from maquette.models.volume_vae import VolumeVAE
from maquette.train.generator import encode_targets
from maquette.train.sequences import BACKGROUND_DEPTH, ViewSource, disturb_depth
from maquette.train.shapes import canonical_volume
from maquette.train.sources import Sources

# z-depth of a scene's centre: depths are told relative to it, so a camera must not stand among the
# objects
NEAREST = 0.1
OBJECTS = 6  # of a scene, at most
SEEN = 128  # points of the depth map an object
ALIGNED = 8  # objects a step whose alignment is measured: it costs more than all the rest
ALIGN_SAMPLES = 1000  # points of every Gaussian
TEMPERATURE = 0.25  # of the noise in the examination, as for a photo
AP_THRESHOLD = 0.15  # IoU above which a box counts as found (AP3D@15)


@dataclass(frozen=True)
class CoherentOptions:
    """The switches of the paper's ablations."""

    diffusion: bool = True
    intra_scene: bool = True
    joint: bool = True  # False: poses and shapes at different noise, and without the alignment loss
    yaw: bool = True  # False: shapes in the view's axes


class ObjectSamples(Dataset):
    """The objects of random views with their poses; sample i depends on (seed, i) only."""

    def __init__(
        self,
        source: ViewSource,
        library: AssetLibrary,
        crop_size: int,
        seed: int = 0,
        augment: bool = True,
    ):
        self.source = source
        self.library = library
        self.crop_size = crop_size
        self.seed = seed
        self.augment = augment
        self.extents = Catalogue.of(library).extents

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, 9, attempt))
            view = self.source(rng)
            labels = view.instance.astype(np.int32)
            shown = jitter_labels(labels, rng) if self.augment and rng.random() < 0.3 else labels
            visible = [
                k
                for k in range(len(view.placements))
                if (shown == k + 1).any() and (labels == k + 1).sum() > 20
            ]
            if visible and project(view.camera, np.zeros(3))[1] > NEAREST:
                return self._objects(view, labels, shown, rng.permutation(visible)[:OBJECTS], rng)
        raise RuntimeError(
            f"100 views in a row show no object from outside (seed {self.seed}, index {index}); "
            "the view configuration is wrong"
        )

    def _objects(
        self,
        view,
        labels: np.ndarray,
        shown: np.ndarray,
        chosen: np.ndarray,
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        image = augment_image(view.image, rng) if self.augment else view.image
        depth = np.where(np.isfinite(view.depth), view.depth, BACKGROUND_DEPTH).astype(np.float32)
        noisy = (
            disturb_depth(depth, labels, rng, rng.uniform(0.3, 1.5), True)
            if self.augment
            else depth
        )
        truth = lift(view.camera, depth)
        estimate = lift(view.camera, noisy)
        camera = view.camera
        focal = camera.intrinsics[0, 0] / camera.width
        centre_depth = float(project(camera, np.zeros(3))[1])
        names = ("crops", "cues", "boxes", "surface", "centre", "size", "turn", "seen")
        columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for k in chosen.tolist():
            placement = view.placements[k]
            own = labels == k + 1
            pose = view.scene_from_world @ placement.world_from_asset
            scale = scale_of(pose)
            box = picture_box(shown == k + 1)
            cues = object_cues(box, estimate[own], centre_depth, pitch_of(camera), focal)
            seen = truth[own][rng.integers(own.sum(), size=SEEN)]
            crop = instance_crop(image, shown, k + 1, self.crop_size)
            surface = visible_extent(estimate[own], camera)
            size = scale * self.extents[placement.asset]
            turn = np.arctan2(pose[0, 2], pose[0, 0])
            values = (crop, cues, box, surface, pose[:3, 3], size, turn, seen)
            for name, value in zip(columns, values):
                columns[name].append(np.asarray(value, np.float32))
        count = len(chosen)
        tensors = {name: torch.from_numpy(np.stack(values)) for name, values in columns.items()}
        return tensors | {
            "asset": torch.tensor([view.placements[k].asset for k in chosen]),
            "focal": torch.full((count,), float(focal)),
            "depth": torch.full((count,), centre_depth),
            "scene_from_camera": torch.from_numpy(camera.world_from_camera)
            .float()
            .expand(count, 4, 4),
            "groups": torch.tensor([count]),
        }


class ShapeCodes:
    """Parts of assets in their canonical cube, computed when first asked for and kept (some
    kilobytes each).
    """

    def __init__(self, shapes: PartShapes, vae: VolumeVAE, library: AssetLibrary):
        self.shapes = shapes.eval().requires_grad_(False)
        self.vae = vae.eval().requires_grad_(False)
        self.library = library
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, assets: Tensor) -> tuple[PartGaussians, Tensor]:
        """Gaussians and intrinsics (B, P, D) of assets (B,)."""
        missing = sorted(set(assets.tolist()) - set(self._known))
        for start in range(0, len(missing), 8):
            part = missing[start : start + 8]
            volumes = torch.stack(
                [
                    canonical_volume(self.library, asset, self.vae.config.resolution)
                    for asset in part
                ]
            )
            with torch.no_grad():
                gaussians, intrinsic = self.shapes.encode(
                    encode_targets(self.vae, volumes.to(assets.device))
                )
            self._known |= {
                asset: (n.cpu(), i.float().cpu())
                for asset, n, i in zip(part, gaussians.numbers(), intrinsic)
            }
        numbers, intrinsic = (
            torch.stack(parts).to(assets.device)
            for parts in zip(*(self._known[a] for a in assets.tolist()))
        )
        return PartGaussians.of(numbers), intrinsic


def coherent_task(
    model: Coherent,
    picture: PictureEncoder,
    shapes: PartShapes,
    vae: VolumeVAE,
    sources: Sources,
    joint: bool = True,
    seed: int = 0,
) -> CoherentTask:
    """The task of ``maquette train coherent``, with the encoder of a generator and trained shapes."""
    size = picture.config.size
    samples = (
        ObjectSamples(sources.views, sources.library, size, seed),
        ObjectSamples(sources.unseen, sources.held_out, size, seed + 1, augment=False),
    )
    codes = ShapeCodes(shapes, vae, sources.library), ShapeCodes(shapes, vae, sources.held_out)
    return CoherentTask(model, picture, codes, samples, joint)


def sight_of(batch: dict[str, Tensor]) -> Sight:
    """How the objects of a batch are seen."""
    known = torch.ones_like(batch["focal"], dtype=torch.bool)
    return Sight(
        batch["focal"],
        batch["depth"],
        batch["scene_from_camera"],
        batch["boxes"],
        batch["surface"],
        known,
    )


class CoherentTask:
    """Train the three denoisers; encoder, shapes and VAE are frozen."""

    drop_context = 0.2  # share of scenes that see no picture: the prior, and guidance
    align_weight = 0.01

    def __init__(
        self,
        model: Coherent,
        picture: PictureEncoder,
        codes: tuple[ShapeCodes, ShapeCodes],
        samples: tuple[ObjectSamples, ObjectSamples],
        joint: bool = True,
    ):
        """``codes`` and ``samples``: of the training, and of the examination on held-out objects."""
        self.model = model
        self.picture = picture.eval().requires_grad_(False)
        self.joint = joint
        self.codes, self.held_out_codes = codes
        self.dataset, self.held_out = samples
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Objects of all scenes, one after the other."""
        return {name: torch.cat([s[name] for s in samples]) for name in samples[0]}

    def truth(
        self, model: Coherent, batch: dict[str, Tensor], codes: ShapeCodes, sight: Sight
    ) -> tuple[Pose, PartGaussians, Objects]:
        """Poses, Gaussians in the canonical cube, and both with the intrinsics as normalised
        numbers.
        """
        codes.shapes.to(batch["crops"].device)
        codes.vae.to(batch["crops"].device)
        gaussians, intrinsic = codes(batch["asset"])
        yaw = batch["turn"]
        if not model.config.yaw:
            still = torch.ones_like(yaw), torch.zeros_like(batch["centre"])
            gaussians = gaussians.moved(yaw_rotations(yaw), *still)
            yaw = torch.zeros_like(yaw)
        pose = Pose(batch["centre"], batch["size"], yaw)
        normalised = codes.shapes.normalised(gaussians, intrinsic)
        return (
            pose,
            gaussians,
            Objects(
                pose.numbers(sight)[:, None],
                *normalised.split([PART_NUMBERS, intrinsic.shape[-1]], dim=-1),
            ),
        )

    def loss(
        self, model: Coherent, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """L_pose + L_shape + 0.01 L_align."""
        groups = batch["groups"].tolist()
        device = batch["crops"].device
        scene = torch.repeat_interleave(torch.arange(len(groups)), batch["groups"].cpu())
        keep = (torch.rand(len(groups), generator=generator) >= self.drop_context)[scene].to(device)
        sight = sight_of(batch).unseen(~keep)
        _, _, x0 = self.truth(model, batch, self.codes, sight)
        with torch.no_grad():
            tokens = self.picture.to(device)(batch["crops"])
        context = model.context(tokens, batch["cues"], keep)
        drawn = torch.randint(SCHEDULE.steps, (3, len(groups)), generator=generator)
        steps = [drawn[0 if self.joint else k][scene].to(device) for k in range(3)]
        networks = {
            "pose": (model.pose, x0.pose, None),
            "gaussians": (model.gaussians, x0.gaussians, None),
            "intrinsic": (model.intrinsic, x0.intrinsic, x0.gaussians),
        }
        errors = {}
        guesses = {}
        signal = SCHEDULE.signal().float().to(device)
        for (name, (denoiser, clean, given)), step in zip(networks.items(), steps):
            contexts = [context] * len(denoiser.blocks)
            if model.config.diffusion:
                noise = torch.randn(clean.shape, generator=generator).to(clean)
                noisy = add_noise(clean, noise, signal[step])
                said = denoiser(
                    noisy, SCHEDULE.level(step.float()), contexts, groups, given
                ).float()
                errors[name] = (said - angular_velocity(clean, noise, signal[step])).square().mean()
                guesses[name] = data_from_angular(noisy, said, signal[step])
            else:
                said = denoiser(
                    torch.zeros_like(clean),
                    torch.ones_like(step, dtype=clean.dtype),
                    contexts,
                    groups,
                    given,
                ).float()
                errors[name] = (said - clean).square().mean()
                guesses[name] = said
        total = errors["pose"] + errors["gaussians"] + errors["intrinsic"]
        if self.joint:
            trust = (
                signal[steps[0]] if model.config.diffusion else torch.ones_like(signal[steps[0]])
            )
            errors["align"] = self._alignment(guesses, sight, batch["seen"], trust, generator)
            total = total + self.align_weight * errors["align"]
        return total, {name: float(error.detach()) for name, error in errors.items()}

    def _alignment(
        self,
        guesses: dict[str, Tensor],
        sight: Sight,
        seen: Tensor,
        trust: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """L_align of some objects. ``trust`` (B,) is the signal's share: a guess from pure noise
        teaches nothing but to be cautious.
        """
        chosen = torch.randperm(len(seen), generator=generator)[:ALIGNED].to(seen.device)
        pose = Pose.of(guesses["pose"][chosen, 0].clamp(-BOUND, BOUND), sight.of(chosen))
        gaussians = self.codes.shapes.gaussians_from(
            guesses["gaussians"][chosen].clamp(-BOUND, BOUND)
        )
        samples = pose.placed(gaussians).sample(ALIGN_SAMPLES, generator)
        return (trust[chosen] * alignment_loss(samples, seen[chosen]).clamp(max=1.0)).mean()

    @torch.no_grad()
    def examine(self, model: Coherent) -> tuple[dict[str, float], np.ndarray | None]:
        """On held-out scenes, 25 steps at a low temperature: IoU3D of the boxes, AP3D@15, error of
        centres and L_align in scene units.
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([self.held_out[i] for i in range(10)])
        batch = {name: values.to(device) for name, values in self._examination.items()}
        sight = sight_of(batch)
        groups = batch["groups"].tolist()
        pose, _, _ = self.truth(model, batch, self.held_out_codes, sight)
        context = model.context(self.picture.to(device)(batch["crops"]), batch["cues"])
        noise = model.split(
            TEMPERATURE * seeded_noise((model.count,), range(len(context))).to(device)
        )
        made = model.sample(context, groups, noise, steps=25)
        guess = Pose.of(made.pose[:, 0], sight)
        boxes = [
            [
                yaw_box(c, s, float(y))
                for c, s, y in zip(p.centre.cpu().numpy(), p.size.cpu().numpy(), p.yaw)
            ]
            for p in (pose, guess)
        ]
        overlap = np.array([oriented_box_iou(a, b) for a, b in zip(*boxes)])
        samples = guess.placed(self.codes.shapes.gaussians_from(made.gaussians)).sample(
            100, torch.Generator().manual_seed(0)
        )
        scores = {
            "iou3d": float(overlap.mean()),
            "ap3d_15": float((overlap > AP_THRESHOLD).mean()),
            "centre": float((guess.centre - pose.centre).norm(dim=1).mean()),
            "align": float(alignment_loss(samples, batch["seen"]).mean()),
        }
        return scores, None

    def finish(self, model: Coherent) -> None:
        """Nothing to add."""
