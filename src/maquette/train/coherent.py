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
from functools import cached_property

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.augment import augment_image, jitter_labels
from maquette.data.catalogue import Catalogue
from maquette.data.library import AssetLibrary
from maquette.data.views import View
from maquette.flow.ddpm import add_noise, angular_velocity, data_from_angular
from maquette.flow.sample import seeded_noise
from maquette.geometry.cameras import lift, pitch_of, project
from maquette.geometry.oriented_boxes import OrientedBox, oriented_box_iou, yaw_box
from maquette.geometry.part_gaussians import (
    PartGaussians,
    alignment_loss,
    yaw_rotations,
)
from maquette.geometry.transforms import scale_of
from maquette.models.coherent import BOUND, SCHEDULE, Coherent, Objects, TokenDenoiser
from maquette.models.conditioning import instance_crop
from maquette.models.image_encoder import PictureEncoder
from maquette.models.part_shapes import PART_NUMBERS, PartShapes
from maquette.models.pose_diffusion import (
    Pose,
    Sight,
    object_cues,
    picture_box,
    visible_extent,
)
from maquette.models.volume_vae import VolumeVAE
from maquette.stages.frame import with_background
from maquette.train.generator import encode_targets
from maquette.train.sequences import disturb_depth
from maquette.train.shapes import canonical_volume
from maquette.train.sources import Sources, ViewSource, no_object
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Parts,
    Sample,
    ScoresAndPicture,
    Task,
    concatenated,
    detached,
    device_of,
    fixed,
    stacked,
)

# z-depth of a scene's centre: depths are told relative to it, so a camera must not stand among the
# objects
NEAREST = 0.1
OBJECTS = 6  # of a scene, at most
LEAST = 20  # pixels that an object must have more than
EXAMINED = 10  # held-out scenes
SEEN = 128  # points of the depth map an object
ALIGNED = 8  # objects a step whose alignment is measured: it costs more than all the rest
ALIGN_SAMPLES = 1000  # points of every Gaussian
TEMPERATURE = 0.25  # of the noise in the examination, as for a photo
AP_THRESHOLD = 0.15  # IoU above which a box counts as found (AP3D@15)


@dataclass(frozen=True, eq=False)
class ScenePhoto:
    """A view as the network gets to know it."""

    view: View
    image: np.ndarray  # (H, W, 3) uint8, as taken
    labels: np.ndarray  # (H, W) int32, true
    drawn: np.ndarray  # (H, W) int32, as drawn
    truth: np.ndarray  # (H, W, 3) visible surface in the scene frame
    estimate: np.ndarray  # (H, W, 3) the same, as estimated


@dataclass(frozen=True, eq=False)
class ObjectSamples(Dataset):
    """The objects of random views with their poses; sample i depends on (seed, i) only."""

    source: ViewSource
    library: AssetLibrary
    crop_size: int
    seed: int = 0
    augment: bool = True

    @cached_property
    def extents(self) -> np.ndarray:
        """(N, 3) sides of the assets."""
        return Catalogue.of(self.library).extents

    def __getitem__(self, index: int) -> Sample:
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, 9, attempt))
            view = self.source(rng)
            labels = view.instance.astype(np.int32)
            jittered = self.augment and rng.random() < 0.3
            drawn = jitter_labels(labels, rng) if jittered else labels
            numbers = range(len(view.placements))
            visible = [k for k in numbers if _is_shown(k + 1, drawn, labels)]
            if visible and project(view.camera, np.zeros(3))[1] > NEAREST:
                return self._objects(view, drawn, rng.permutation(visible)[:OBJECTS].tolist(), rng)
        raise no_object(self.seed, index)

    def _objects(
        self,
        view: View,
        drawn: np.ndarray,
        chosen: list[int],
        rng: Generator,
    ) -> Sample:
        """Some objects of a view whose masks are drawn so, one after the other. Draws: colours, the
        errors of the depth, then per object the points that are seen of it.
        """
        labels = view.instance.astype(np.int32)
        image = augment_image(view.image, rng) if self.augment else view.image
        depth = with_background(view.depth)
        noisy = depth
        if self.augment:
            noisy = disturb_depth(depth, labels, rng, rng.uniform(0.3, 1.5), True)
        surfaces = lift(view.camera, depth), lift(view.camera, noisy)
        photo = ScenePhoto(view, image, labels, drawn, *surfaces)
        rows = [self._object(photo, k, rng) for k in chosen]
        return {**stacked(rows), "groups": torch.tensor([len(chosen)])}

    def _object(
        self,
        photo: ScenePhoto,
        k: int,
        rng: Generator,
    ) -> Sample:
        """Object k of a photo: what the network sees of it, and its pose in the scene frame."""
        camera = photo.view.camera
        placement = photo.view.placements[k]
        focal = float(camera.focal / camera.width)
        centre_depth = float(project(camera, np.zeros(3))[1])
        own = photo.labels == k + 1
        box = picture_box(photo.drawn == k + 1)
        estimate = photo.estimate[own]
        pose = photo.view.scene_from_world @ placement.world_from_asset
        row: dict[str, np.ndarray | float] = {
            "boxes": box,
            "focal": focal,
            "depth": centre_depth,
        }
        row["crops"] = instance_crop(photo.image, photo.drawn, k + 1, self.crop_size)
        row["cues"] = object_cues(box, estimate, centre_depth, pitch_of(camera), focal)
        row["surface"] = visible_extent(estimate, camera)
        row["centre"] = pose[:3, 3]
        row["size"] = scale_of(pose) * self.extents[placement.asset]
        row["turn"] = np.arctan2(pose[0, 2], pose[0, 0])
        row["seen"] = photo.truth[own][rng.integers(own.sum(), size=SEEN)]
        row["scene_from_camera"] = camera.world_from_camera
        floats = {name: torch.tensor(np.asarray(v, np.float32)) for name, v in row.items()}
        return {**floats, "asset": torch.tensor(placement.asset)}


def _is_shown(label: int, drawn: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the masks as drawn show an object of which more than LEAST pixels are to be seen."""
    return bool((drawn == label).any() and (labels == label).sum() > LEAST)


class ShapeCodes:
    """Parts of assets in their canonical cube, computed when first asked for and kept (some
    kilobytes each).
    """

    def __init__(
        self,
        shapes: PartShapes,
        vae: VolumeVAE,
        library: AssetLibrary,
    ):
        self.shapes = fixed(shapes)
        self.vae = fixed(vae)
        self.library = library
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, assets: list[int], device: torch.device) -> tuple[PartGaussians, Tensor]:
        """Gaussians and intrinsics (B, P, D) of assets (B,), on a device."""
        missing = sorted(set(assets) - set(self._known))
        for start in range(0, len(missing), 8):
            self._read(missing[start : start + 8], device)
        numbers, intrinsic = zip(*(self._known[asset] for asset in assets))
        return PartGaussians.of(torch.stack(numbers).to(device)), torch.stack(intrinsic).to(device)

    @torch.no_grad()
    def _read(self, assets: list[int], device: torch.device) -> None:
        """Encode the shapes of some assets and keep their codes."""
        resolution = self.vae.config.resolution
        volumes = [canonical_volume(self.library, asset, resolution) for asset in assets]
        latents = encode_targets(self.vae, torch.stack(volumes).to(device))
        gaussians, intrinsic = self.shapes.encode(latents)
        codes = zip(gaussians.numbers().cpu(), intrinsic.float().cpu())
        self._known |= dict(zip(assets, codes))


def coherent_task(
    model: Coherent,
    picture: PictureEncoder,
    shapes: PartShapes,
    vae: VolumeVAE,
    sources: Sources,
    joint: bool = True,
    seed: int = 0,
) -> CoherentTask:
    """The task of ``maquette train coherent``: the encoder is a generator's, the shapes trained."""
    size = picture.config.size
    unseen = ObjectSamples(sources.unseen, sources.held_out, size, seed + 1, augment=False)
    samples = (ObjectSamples(sources.views, sources.library, size, seed), unseen)
    held_out_codes = ShapeCodes(shapes, vae, sources.held_out)
    codes = (ShapeCodes(shapes, vae, sources.library), held_out_codes)
    return CoherentTask(model, picture, codes, samples, joint)


def sight_of(batch: Sample) -> Sight:
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


def collate_objects(samples: list[Sample]) -> Batch:
    """Objects of all scenes, one after the other; which assets they are and how many are of each
    scene stays with the processor.
    """
    batch = concatenated(samples)
    return batch | {name: batch[name].tolist() for name in ("asset", "groups")}


@dataclass(frozen=True, eq=False)
class Truth:
    """What is to be said of the objects of a batch."""

    pose: Pose
    gaussians: PartGaussians  # in the canonical cube
    numbers: Objects  # both and the intrinsics, normalised


@dataclass(frozen=True, eq=False)
class NoiseLevel:
    """The step of DDPM that objects are at, and the share of signal that is left there."""

    step: Tensor  # (B,)
    signal: Tensor  # (B,)


@dataclass(frozen=True, eq=False)
class Denoising:
    """One of the three denoisers, what it is to find, and what it is told besides the picture."""

    denoiser: TokenDenoiser
    clean: Tensor
    given: Tensor | None = None

    def at(
        self,
        level: NoiseLevel,
        noise: Tensor,
        context: Tensor,
        groups: list[int],
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error of the velocity that it says, and the data that follow from it."""
        noisy = add_noise(self.clean, noise, level.signal)
        said = self._said(noisy, SCHEDULE.level(level.step.float()), context, groups)
        velocity = angular_velocity(self.clean, noise, level.signal)
        return (said - velocity).square().mean(), data_from_angular(noisy, said, level.signal)

    def in_one_step(self, context: Tensor, groups: list[int]) -> tuple[Tensor, Tensor]:
        """Mean squared error of the data that it says without diffusion, and these data."""
        nothing = torch.zeros_like(self.clean)
        said = self._said(nothing, nothing.new_ones(len(nothing)), context, groups)
        return (said - self.clean).square().mean(), said

    def _said(
        self,
        noisy: Tensor,
        level: float | Tensor,
        context: Tensor,
        groups: list[int],
    ) -> Tensor:
        """What the denoiser predicts, in float32."""
        contexts = [context] * len(self.denoiser.blocks)
        return self.denoiser(noisy, level, contexts, groups, self.given).float()


def _denoisings(model: Coherent, clean: Objects) -> dict[str, Denoising]:
    """Each part with its denoiser and its truth; the last one is also told the Gaussians."""
    return {
        "pose": Denoising(model.pose, clean.pose),
        "gaussians": Denoising(model.gaussians, clean.gaussians),
        "intrinsic": Denoising(model.intrinsic, clean.intrinsic, clean.gaussians),
    }


class CoherentTask(Task[Coherent]):
    """Train the three denoisers; encoder, shapes and VAE are frozen."""

    drop_context = 0.2  # share of scenes that see no picture: the prior, and guidance
    align_weight = 0.01
    collate = staticmethod(collate_objects)

    def __init__(
        self,
        model: Coherent,
        picture: PictureEncoder,
        codes: tuple[ShapeCodes, ShapeCodes],
        samples: tuple[ObjectSamples, ObjectSamples],
        joint: bool = True,
    ):
        """``codes`` and ``samples``: of the training, and of held-out objects."""
        self.model = model
        self.picture = fixed(picture)
        self.joint = joint
        self.codes, self.held_out_codes = codes
        self.frozen = (self.picture, self.codes.shapes, self.codes.vae)
        self.dataset, held_out = samples
        self.examined = HeldOut(held_out, EXAMINED, self.collate)

    def truth(
        self,
        model: Coherent,
        batch: Batch,
        codes: ShapeCodes,
        sight: Sight,
    ) -> Truth:
        """Poses and shapes of the objects of a batch."""
        gaussians, intrinsic = codes(batch["asset"], batch["crops"].device)
        yaw = batch["turn"]
        if not model.config.yaw:
            still = torch.ones_like(yaw), torch.zeros_like(batch["centre"])
            gaussians = gaussians.moved(yaw_rotations(yaw), *still)
            yaw = torch.zeros_like(yaw)
        pose = Pose(batch["centre"], batch["size"], yaw)
        normalised = codes.shapes.normalised(gaussians, intrinsic)
        parts = normalised.split([PART_NUMBERS, intrinsic.shape[-1]], dim=-1)
        return Truth(pose, gaussians, Objects(pose.numbers(sight)[:, None], *parts))

    def loss(
        self,
        model: Coherent,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """L_pose + L_shape + 0.01 L_align."""
        groups = batch["groups"]
        count = len(groups)
        device = batch["crops"].device
        scene = torch.arange(count).repeat_interleave(torch.tensor(groups))
        keep_scene = torch.rand(count, generator=generator) >= self.drop_context
        keep = keep_scene[scene].to(device)
        sight = sight_of(batch).unseen(~keep)
        x0 = self.truth(model, batch, self.codes, sight).numbers
        with torch.no_grad():
            tokens = self.picture(batch["crops"])
        context = model.context(tokens, batch["cues"], keep)
        levels = self._levels(scene, generator, device)
        errors: Parts = {}
        guesses: Parts = {}
        for (name, denoising), level in zip(_denoisings(model, x0).items(), levels, strict=True):
            if model.config.diffusion:
                noise = torch.randn(denoising.clean.shape, generator=generator).to(device)
                errors[name], guesses[name] = denoising.at(level, noise, context, groups)
            else:
                errors[name], guesses[name] = denoising.in_one_step(context, groups)
        total = errors["pose"] + errors["gaussians"] + errors["intrinsic"]
        if self.joint:
            signal = levels[0].signal
            trust = signal if model.config.diffusion else torch.ones_like(signal)
            errors["align"] = self._alignment(guesses, sight, batch["seen"], trust, generator)
            total = total + self.align_weight * errors["align"]
        return total, detached(errors)

    def _levels(
        self,
        scene: Tensor,
        generator: torch.Generator,
        device: torch.device,
    ) -> list[NoiseLevel]:
        """Those of the three denoisers: random ones for each scene, of which ``scene`` (B,) says
        which one an object is in.
        """
        count = int(scene[-1]) + 1
        drawn = torch.randint(SCHEDULE.steps, (3, count), generator=generator)
        signal = SCHEDULE.signal().float()
        levels = []
        for k in range(3):
            step = drawn[0 if self.joint else k][scene]
            levels.append(NoiseLevel(step.to(device), signal[step].to(device)))
        return levels

    def _alignment(
        self,
        guesses: Parts,
        sight: Sight,
        seen: Tensor,
        trust: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """L_align of some objects. ``trust`` (B,) is the signal's share: a guess from pure noise
        teaches nothing but to be cautious.
        """
        chosen = torch.randperm(len(seen), generator=generator)[:ALIGNED].to(seen.device)
        numbers = guesses["pose"][chosen, 0].clamp(-BOUND, BOUND)
        pose = Pose.of(numbers, sight.of(chosen))
        parts = guesses["gaussians"][chosen].clamp(-BOUND, BOUND)
        gaussians = self.codes.shapes.gaussians_from(parts)
        samples = pose.placed(gaussians).sample(ALIGN_SAMPLES, generator)
        return (trust[chosen] * alignment_loss(samples, seen[chosen]).clamp(max=1.0)).mean()

    @torch.no_grad()
    def examine(self, model: Coherent) -> ScoresAndPicture:
        """On held-out scenes, 25 steps at a low temperature: IoU3D of the boxes, AP3D@15, error of
        centres and L_align in scene units.
        """
        batch = self.examined.batch(device_of(model))
        sight = sight_of(batch)
        pose = self.truth(model, batch, self.held_out_codes, sight).pose
        context = model.context(self.picture(batch["crops"]), batch["cues"])
        noise = seeded_noise((model.count,), range(len(context))).to(context.device)
        made = model.sample(context, batch["groups"], model.split(TEMPERATURE * noise), steps=25)
        guess = Pose.of(made.pose[:, 0], sight)
        pairs = zip(_boxes(pose), _boxes(guess), strict=True)
        overlap = np.array([oriented_box_iou(one, other) for one, other in pairs])
        gaussians = guess.placed(self.codes.shapes.gaussians_from(made.gaussians))
        samples = gaussians.sample(100, torch.Generator().manual_seed(0))
        scores = {"iou3d": float(overlap.mean())}
        scores["ap3d_15"] = float((overlap > AP_THRESHOLD).mean())
        scores["centre"] = float((guess.centre - pose.centre).norm(dim=1).mean())
        scores["align"] = float(alignment_loss(samples, batch["seen"]).mean())
        return scores, None


def _boxes(pose: Pose) -> list[OrientedBox]:
    """The boxes of all objects."""
    centres = pose.centre.cpu().numpy()
    sizes = pose.size.cpu().numpy()
    yaws = pose.yaw.tolist()
    return [yaw_box(*numbers) for numbers in zip(centres, sizes, yaws)]
