"""The later stages of TRELLIS, which its single objects and I-Scene's instances share: structured
latents and meshes of given cells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
import trimesh
from torch import Tensor

from maquette.checkpoints.published.trellis_slat import latent_normalisation
from maquette.checkpoints.released import Networks
from maquette.flow.trellis import TrellisSampling
from maquette.methods.base import Progress
from maquette.methods.published import Settings
from maquette.models.trellis3d import LatentStage, decode_meshes, sample_latents
from maquette.nn.sparse import Voxels
from maquette.scene.made import coloured_mesh

Placed = tuple[Tensor, Tensor, Tensor]  # cells (N, 3), noise (N, channels), picture tokens (M, C)


def adjusted(release: TrellisSampling, settings: Settings) -> TrellisSampling:
    """A stage's sampling with what the user changed."""
    strength = release.strength if settings.guidance is None else settings.guidance - 1.0
    return dataclasses.replace(release, steps=settings.steps or release.steps, strength=strength)


def structured_latents(
    networks: Networks, placed: Mapping[int, Placed], sampling: TrellisSampling, progress: Progress
) -> dict[int, Tensor]:
    """Structured latents (N, channels) by label, one object after the other: they do not see each
    other.
    """
    slats = {}
    with networks.stage("latents", "slat-flow") as (network,):
        stage = LatentStage(network, *latent_normalisation(networks.released.settings))
        for done, (label, (cells, noise, tokens)) in enumerate(placed.items()):

            def step(index: int, *_: Tensor, done: int = done) -> None:
                progress("latents", (done + (index + 1) / sampling.steps) / len(placed))

            voxels = voxels_of(cells, network.config.resolution, networks.device)
            slats[label] = sample_latents(
                stage, voxels, tokens[None], noise, sampling, networks.plan.savings, step
            )
    return slats


def decoded_meshes(
    networks: Networks, slats: Mapping[int, tuple[Tensor, Tensor]], progress: Progress
) -> dict[int, trimesh.Trimesh]:
    """Coloured meshes by label, +Y up, of cells (N, 3) and their latents; one without a surface is
    left out.
    """
    meshes = {}
    with networks.stage("mesh", "mesh-decoder") as (decoder,):
        for done, (label, (cells, latents)) in enumerate(slats.items()):
            progress("mesh", done / len(slats))
            (mesh,) = decode_meshes(
                decoder, latents, voxels_of(cells, decoder.config.resolution, networks.device)
            )
            if len(mesh.faces):
                x, y, z = mesh.vertices.float().cpu().numpy().T  # TRELLIS has z up
                colours = mesh.attributes[:, :3].float().cpu().numpy()
                meshes[label] = coloured_mesh(
                    np.stack([x, z, -y], axis=1), mesh.faces.cpu().numpy(), colours
                )
    progress("mesh", 1.0)
    return meshes


def voxels_of(cells: Tensor, resolution: int, device: torch.device) -> Voxels:
    """The cells (N, 3) of one object."""
    return Voxels.of(
        torch.cat([torch.zeros_like(cells[:, :1]), cells], dim=1).to(device), resolution, 1
    )


def cells_of(voxels: Voxels) -> list[Tensor]:
    """Cells (N, 3) of each sample of a batch."""
    return [rows[:, 1:] for rows in voxels.coords.split(list(voxels.counts))]
