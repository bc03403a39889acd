"""Fine-tuning from published weights: TRELLIS's structure flow reprogrammed as a scene model, or
I-Scene's own trained on.

In the flow: a folder in the original layout + an asset library -> a Task for the loop -> a folder
in the original layout, which ``maquette generate --model trellis-iscene --weights FOLDER`` reads.
As in the paper (I-Scene, arXiv 2512.13683, section 3 and supplement) all of the flow is trained and
everything else is frozen: the image encoder, the structure VAE, the later stages. A sample is an
instance of a random view with its slots: the instance and the whole scene in the view-centric cube
of the scene, and, where the base has a third slot, the instance alone in its own axes. (Targets of
the third slot and the azimuth of the scene's frame are not published; these are ours.)
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.layouts import StateDict, read_config
from maquette.checkpoints.published import dinov2, iscene, trellis_structure
from maquette.checkpoints.published.names import to_published
from maquette.checkpoints.released import (
    BASE,
    ISCENE,
    Released,
    ReleasePart,
    load_part,
    open_release,
)
from maquette.data.library import AssetLibrary
from maquette.data.resample import placed_volume
from maquette.data.views import View
from maquette.errors import CheckpointError
from maquette.flow.path import interpolate, logit_normal_times, noise_like, velocity_target
from maquette.framing.slots import slot_pictures
from maquette.geometry.volumes import TRUNCATION
from maquette.models.scene_context_flow import (
    CANONICAL,
    SceneContextFlow,
    SceneContextFlowConfig,
)
from maquette.models.structure_flow import StructureFlow
from maquette.models.vision import VisionConfig, VisionTransformer, trellis_tokens
from maquette.models.volume_vae import VolumeVAE
from maquette.output import atomic_write, writable_folder
from maquette.train.sources import Sources, ViewSource, no_object
from maquette.train.task import (
    Batch,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    of_class,
    on_device,
    stacked,
)
from maquette.types import JsonObject, StrPath

PUBLISHED_PIXELS = 512  # side of the rendered views; the encoders' pictures have 518
LEAST = 50  # pixels of a view that an instance must have more than
SLOTS = ("instance", "scene", "canonical")
DROP_CONTEXT = 0.1  # share of instances whose picture tokens are zeroed, for guidance


@dataclass(frozen=True, eq=False)
class Base:
    """What fine-tuning starts from."""

    network: SceneContextFlow  # to be trained
    encoder: VisionTransformer  # frozen
    structure: VolumeVAE  # frozen, its encoder half
    released: Released

    @property
    def cells(self) -> int:
        """Cells per side of the structure that the VAE encodes."""
        levels = len(self.structure.config.encoder_channels)
        return self.network.config.flow.resolution << (levels - 1)


def open_base(root: StrPath) -> Base:
    """Read a folder of releases: with I-Scene's own if it is there, otherwise TRELLIS's flow
    becomes the paper's two-slot form.

    Raises CheckpointError when something is missing, among it TRELLIS's structure encoder, which
    only training needs.
    """
    own = (Path(root) / _own_folder() / "iscene_config.json").is_file()
    released = open_release(release("trellis-iscene" if own else "trellis-large"), root)
    flow = load_part(released.parts["structure-flow"], torch.float32)
    network = reprogrammed(flow) if isinstance(flow, StructureFlow) else flow
    encoder = load_part(released.parts["dino"], torch.float32)
    structure = load_part(_structure_encoder(released), torch.float32)
    return Base(
        of_class(network, SceneContextFlow).requires_grad_(True),
        of_class(encoder, VisionTransformer).requires_grad_(False),
        of_class(structure, VolumeVAE).requires_grad_(False),
        released,
    )


def _own_folder() -> str:
    """Name of the folder with I-Scene's own weights."""
    sources = release("trellis-iscene").sources
    return next(source.folder for source in sources if source.repository == ISCENE)


def reprogrammed(flow: StructureFlow) -> SceneContextFlow:
    """The same weights with scene-context attention in the middle blocks: no new parameters, two
    slots (the paper's form).
    """
    blocks = min(SceneContextFlowConfig.context_blocks, flow.config.blocks)
    with torch.device("meta"):
        network = SceneContextFlow(SceneContextFlowConfig(flow.config, blocks, slots=2))
    network.flow = flow
    return network


def _structure_encoder(released: Released) -> ReleasePart:
    """TRELLIS's encoder of structures; CheckpointError says where it is expected."""
    base = released.folders[BASE]
    for path in sorted(base.glob("ckpts/ss_enc*.json")):
        file = path.with_suffix(".safetensors")
        if file.is_file():
            encoder = trellis_structure.ENCODER
            return ReleasePart("structure-encoder", read_config(path), (file,), encoder)
    raise CheckpointError(
        f"{base / 'ckpts'} has no ss_enc*.json with its .safetensors; training needs TRELLIS's "
        "structure encoder: put ss_enc_conv3d_16l8_fp16.json and .safetensors of the same release "
        "there"
    )


def surface_cells(tsdf: np.ndarray, truncation: float = TRUNCATION) -> np.ndarray:
    """(R, R, R) bool: the cells that a surface passes through, as TRELLIS voxelises, of a TSDF (R,
    R, R) in [-1, 1].

    A cell of side h is cut by the plane at distance d with unit normal n when |d| <= h / 2 (|n_x| +
    |n_y| + |n_z|).
    """
    distance = tsdf.astype(np.float32) * truncation
    normal = np.stack(np.gradient(distance))
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-9)
    reach = 0.5 / len(tsdf) * np.abs(normal).sum(0)
    return (np.abs(tsdf) < 1) & (np.abs(distance) <= reach)


def trellis_axes(cells: np.ndarray) -> np.ndarray:
    """A volume [x, y, z] of the scene frame (+Y up) in TRELLIS's axes (x, -z, y), z up."""
    return np.ascontiguousarray(cells.transpose(0, 2, 1)[:, ::-1])


@dataclass(frozen=True, eq=False)
class SlotSamples(Dataset):
    """Instances of random views with their slots; sample i depends on (seed, i) only."""

    source: ViewSource
    library: AssetLibrary
    slots: int
    cells: int
    pixels: int
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        # a view may show nothing that can be cropped, an instance may be smaller than a cell
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, 5, attempt))
            view = self.source(rng)
            numbers = range(len(view.placements))
            seen = [k for k in numbers if (view.instance == k + 1).sum() > LEAST]
            if not seen:
                continue
            chosen = int(rng.choice(seen))
            cells = torch.from_numpy(self._structures(view, chosen))
            if cells.flatten(1).any(1).all():
                return {"pictures": self._pictures(view, chosen, seen), "cells": cells}
        raise no_object(self.seed, index)

    def _pictures(
        self,
        view: View,
        chosen: int,
        seen: list[int],
    ) -> Tensor:
        """What the slots of an instance see: it, and the others around it."""
        others = [k for k in seen if k != chosen]
        masks = [view.instance == k + 1 for k in [chosen, *others]]
        return torch.from_numpy(slot_pictures(view.image, masks, self.slots, self.pixels)[0])

    def _structures(self, view: View, chosen: int) -> np.ndarray:
        """(S, R, R, R) bool."""
        in_scene = [(p.asset, view.scene_from_world @ p.world_from_asset) for p in view.placements]
        placed = [[in_scene[chosen]], in_scene]
        if self.slots > CANONICAL:
            placed.append([(view.placements[chosen].asset, np.eye(4))])
        volumes = [placed_volume(self.library, objects, self.cells)[0] for objects in placed]
        return np.stack([trellis_axes(surface_cells(volume)) for volume in volumes])


class FinetuneTask(Task[SceneContextFlow]):
    """Conditional flow matching on the latents of all slots (I-Scene, eq. 5), one noise level for
    all slots of an instance.
    """

    examined = 8  # held-out instances
    levels = (0.3, 0.6, 0.9)
    collate = staticmethod(stacked)

    def __init__(
        self,
        base: Base,
        samples: SlotSamples,
        held_out: SlotSamples,
    ):
        self.base = base
        self.model = base.network
        self.encoder = base.encoder
        self.structure = base.structure
        self.frozen = (self.encoder, self.structure)
        self.dataset = samples
        self.held_out = held_out

    @torch.no_grad()
    def prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents (B, S, channels, R, R, R) and picture tokens (B, S, M, C) from the frozen
        networks.
        """
        slots = batch["cells"].shape[1]
        cells = batch["cells"].flatten(0, 1)[:, None].float()
        latents = torch.cat([self.structure.moments(part)[0] for part in cells.split(4)])
        pictures = batch["pictures"].flatten(0, 1).float()
        tokens = torch.cat([trellis_tokens(self.encoder, part) for part in pictures.split(4)])
        per_instance = (-1, slots)
        return latents.float().unflatten(0, per_instance), tokens.float().unflatten(0, per_instance)

    def loss(
        self,
        model: SceneContextFlow,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Mean squared error of the velocity, over all slots."""
        latents, tokens = self.prepare(batch)
        t = logit_normal_times(len(latents), generator).to(latents)
        noise = noise_like(latents, generator)
        keep = (torch.rand(len(latents), generator=generator) >= DROP_CONTEXT).to(latents)
        told = tokens * keep[:, None, None, None]
        errors = self._errors(model, latents, told, t, noise)
        of_slots = errors.mean(0)
        return errors.mean(), detached(dict(zip(SLOTS, of_slots)))

    def _errors(
        self,
        model: SceneContextFlow,
        latents: Tensor,
        tokens: Tensor,
        t: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """(N, S) mean squared errors of the velocity."""
        velocity = model(interpolate(latents, noise, t), t, tokens)
        return (velocity.float() - velocity_target(latents, noise)).square().mean((2, 3, 4, 5))

    @torch.no_grad()
    def examine(self, model: SceneContextFlow) -> ScoresAndPicture:
        """Velocity error of slot 0 at three noise levels, on instances of other scenes, always the
        same.
        """
        device = device_of(model)
        generator = torch.Generator().manual_seed(0)
        errors = dict.fromkeys(self.levels, 0.0)
        for k in range(self.examined):
            batch = self.collate([self.held_out[k]])
            latents, tokens = self.prepare(on_device(batch, device))
            noise = noise_like(latents, generator)
            for level in self.levels:
                t = torch.full((1,), level, device=device)
                error = self._errors(model, latents, tokens, t, noise)[0, 0]
                errors[level] += float(error) / self.examined
        return {f"velocity_error_{level}": error for level, error in errors.items()}, None


def finetune_task(base: Base, sources: Sources, seed: int = 0) -> FinetuneTask:
    """The task on views of a library, examined on those of another."""
    sizes = base.network.config.slots, base.cells, base.encoder.config.image_size
    samples = SlotSamples(sources.views, sources.library, *sizes, seed)
    held_out = SlotSamples(sources.unseen, sources.held_out, *sizes, seed + 1)
    return FinetuneTask(base, samples, held_out)


def write_release(folder: StrPath, network: SceneContextFlow, base: Base) -> Path:
    """Write trained weights as ``folder``/IScene in I-Scene's own layout (float16), with the base's
    image conditioner; returns that folder.

    The other networks are the base's: ``generate --model trellis-iscene`` looks for them beside it,
    where a link to them is made if the system allows links.
    """
    own = writable_folder(Path(folder) / _own_folder())
    _put(own / "denoiser.safetensors", iscene.published_tensors(network))
    seen = to_published(base.encoder.state_dict(), dinov2.HUB_NAMES)
    conditioner = {f"{iscene.PREFIX}{key}": tensor for key, tensor in seen.items()}
    _put(own / "image_conditioner.safetensors", conditioner)
    index = {
        "base_model_id": "microsoft/TRELLIS-image-large",
        "config_file": "config.yaml",
        "denoiser_checkpoint": "denoiser.safetensors",
        "image_conditioner_checkpoint": "image_conditioner.safetensors",
    }
    _put_json(own / "config.yaml", _published_config(network.config, base.encoder.config))
    _put_json(own / "iscene_config.json", index)
    base_folder = base.released.folders[BASE].resolve()
    with contextlib.suppress(OSError):  # there already, or no links here
        (own.parent / base_folder.name).symlink_to(base_folder, target_is_directory=True)
    return own


def _published_config(c: SceneContextFlowConfig, eyes: VisionConfig) -> JsonObject:
    """I-Scene's configuration of a flow and an image encoder."""
    setting = "global" if c.slots == 2 else "global local"
    conditioner = {
        "name": "ImageConditioner",
        "args": {"cond_in_channels": eyes.channels},
        "dinov2": _vision_arguments(eyes),
    }
    denoiser = {
        "name": "SparseStructureSceneContextFlowModel",
        "args": {**_flow_arguments(c), "exp_setting": setting},
    }
    return {
        "models": {"denoiser": denoiser, "img_conditioner": conditioner},
        "dataset": {"args": {"exp_setting": setting}},
    }


def _flow_arguments(c: SceneContextFlowConfig) -> JsonObject:
    """The configuration in the words of the release."""
    flow = c.flow
    kinds = {"enable_gate": c.key_gate, "enable_k_bias": c.key_bias}
    used = [name for name, is_used in kinds.items() if is_used]
    transformer = {
        "resolution": flow.resolution,
        "in_channels": flow.channels,
        "out_channels": flow.channels,
        "model_channels": flow.width,
        "cond_channels": flow.context_width,
        "num_blocks": flow.blocks,
        "num_heads": flow.heads,
        "mlp_ratio": flow.mlp_ratio,
        "patch_size": flow.patch,
        "pe_mode": "ape",
        "qk_rms_norm": flow.qk_norm,
        "qk_rms_norm_cross": flow.qk_norm_cross,
        "share_mod": flow.share_modulation,
        "use_fp16": True,
    }
    return transformer | {
        "scene_context_attn_num": c.context_blocks,
        "type_embedding_type": " ".join(used) or None,
        "k_bias_scale": c.key_bias_scale,
    }


def _vision_arguments(eyes: VisionConfig) -> JsonObject:
    """The configuration in the words of the release."""
    return {
        "img_size": eyes.image_size,
        "patch_size": eyes.patch,
        "in_chans": eyes.channels,
        "embed_dim": eyes.width,
        "depth": eyes.blocks,
        "num_heads": eyes.heads,
        "mlp_ratio": eyes.mlp_ratio,
        "num_register_tokens": eyes.registers,
    }


def _put_json(path: Path, content: JsonObject) -> None:
    """JSON, which is YAML too."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def _put(path: Path, tensors: StateDict) -> None:
    """Write tensors in half precision, as the release has them."""
    half = {key: t.detach().cpu().half().contiguous().clone() for key, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(half, temporary)
