"""The stages of TRELLIS that its single objects and I-Scene's instances share: the parts of the
first one, structured latents and meshes of given cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from maquette.checkpoints.published.trellis_slat import latent_normalisation
from maquette.checkpoints.released import Networks
from maquette.flow.trellis import TrellisSampling
from maquette.methods.base import Progress, UprightMesh, Wishes
from maquette.methods.decoded import coloured_mesh
from maquette.methods.published import EMPTY, upright
from maquette.models.slat_vae import MeshDecoder
from maquette.models.trellis3d import LatentStage, decode_meshes, sample_latents
from maquette.nn.sparse import Voxels
from maquette.types import Failure

PICTURES = 8  # encoded at once
OnStep = Callable[..., None]  # called with the step's number and what the sampler says besides


@dataclass(frozen=True, eq=False)
class ActiveCells:
    """What the second stage starts from, for one object."""

    cells: Tensor  # (N, 3)
    noise: Tensor  # (N, channels)
    tokens: Tensor  # (M, C) of its picture


def adjusted(release: TrellisSampling, wishes: Wishes) -> TrellisSampling:
    """A stage's sampling with what the user wants changed."""
    strength = release.strength if wishes.guidance is None else wishes.guidance - 1.0
    return replace(release, steps=wishes.steps or release.steps, strength=strength)


def structure_parts(
    networks: Networks,
    count: int,
    steps: int,
    progress: Progress,
) -> Iterator[tuple[Any, slice, OnStep]]:
    """The structure flow, which of ``count`` objects it makes now, and whom it tells of
    its steps.
    """
    size = networks.plan.batch or count
    with networks.stage("structure", "structure-flow") as (network,):
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))

            def step(index: int, *_: Tensor, part: slice = part) -> None:
                done = (part.stop - part.start) * (index + 1) / steps
                progress("structure", (part.start + done) / count)

            yield network, part, step


def later_stages(
    networks: Networks,
    active: Mapping[int, ActiveCells],
    seeds: Mapping[int, int],
    sampling: TrellisSampling,
    progress: Progress,
    **form: bool,
) -> Iterator[UprightMesh | Failure]:
    """Meshes of the objects of ``seeds``; one without an active cell, or without a surface, is a
    Failure.
    """
    latents = structured_latents(networks, active, sampling, progress)
    with networks.stage("mesh", "mesh-decoder") as (decoder,):
        for done, (label, seed) in enumerate(seeds.items()):
            progress("mesh", done / len(seeds))
            if label not in active:
                yield Failure(label, "structure", EMPTY)
            else:
                voxels = voxels_of(active[label].cells, decoder.config.resolution, networks.device)
                yield upright(label, seed, _decoded(decoder, latents[label], voxels), **form)
    progress("mesh", 1.0)


def structured_latents(
    networks: Networks,
    active: Mapping[int, ActiveCells],
    sampling: TrellisSampling,
    progress: Progress,
) -> dict[int, Tensor]:
    """Structured latents (N, channels) by label, one object after the other: they do not see each
    other.
    """
    slats = {}
    with networks.stage("latents", "slat-flow") as (network,):
        stage = LatentStage(network, *latent_normalisation(networks.released.settings))
        for done, (label, own) in enumerate(active.items()):

            def step(index: int, *_: Tensor, done: int = done) -> None:
                progress("latents", (done + (index + 1) / sampling.steps) / len(active))

            slats[label] = sample_latents(
                stage,
                voxels_of(own.cells, network.config.resolution, networks.device),
                own.tokens[None],
                own.noise,
                sampling,
                networks.plan.savings,
                step,
            )
    return slats


def _decoded(decoder: MeshDecoder, latents: Tensor, voxels: Voxels) -> trimesh.Trimesh | None:
    """The coloured mesh of latents (N, channels), +Y up; None without a surface."""
    (mesh,) = decode_meshes(decoder, latents, voxels)
    if not len(mesh.faces):
        return None
    x, y, z = mesh.vertices.float().cpu().numpy().T  # TRELLIS has z up
    colours = mesh.attributes[:, :3].float().cpu().numpy()
    return coloured_mesh(np.stack([x, z, -y], axis=1), mesh.faces.cpu().numpy(), colours)


def voxels_of(cells: Tensor, resolution: int, device: torch.device) -> Voxels:
    """The cells (N, 3) of one object."""
    rows = torch.cat([torch.zeros_like(cells[:, :1]), cells], dim=1)
    return Voxels.of(rows.to(device), resolution, 1)


def cells_of(voxels: Voxels) -> list[Tensor]:
    """Cells (N, 3) of each sample of a batch."""
    return [rows[:, 1:] for rows in voxels.coords.split(list(voxels.counts))]
