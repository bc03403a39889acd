"""TRELLIS with its published weights, both stages: picture tokens -> active cells -> structured
latents -> meshes and Gaussians.

In the flow: tokens of N pictures (``vision.trellis_tokens``) -> one object each, in its own cube
[-0.5, 0.5]^3 with z up. I-Scene replaces the first function and shares the rest. Savings are
switches and exact; see models/savings.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.trellis import SamplerTrace, TrellisSampling, integrate
from maquette.geometry.flexicubes import CellMesh
from maquette.models.guided import (
    Kept,
    Parts,
    Passes,
    for_parts,
    guided_velocity,
    structure_pass,
    with_constants,
)
from maquette.models.savings import ALL, Savings
from maquette.models.slat_flow import SLatFlow
from maquette.models.slat_vae import MeshDecoder
from maquette.models.structure_flow import StructureFlow
from maquette.models.volume_vae import VolumeVAE
from maquette.nn.attention import Context
from maquette.nn.sparse import Voxels

RELEASED = TrellisSampling()  # of both stages


@dataclass(frozen=True, eq=False)
class LatentStage:
    """The second stage's flow with the normalisation of its latents (channels,): latents = samples
    * deviation + mean.
    """

    flow: SLatFlow
    mean: Tensor
    deviation: Tensor


@torch.no_grad()
def sample_structure(
    network: StructureFlow,
    context: Tensor,
    noise: Tensor,
    sampling: TrellisSampling = RELEASED,
    savings: Savings = ALL,
    trace: SamplerTrace | None = None,
) -> Tensor:
    """Structure latents (N, channels, R, R, R) from tokens (N, M, C) and noise (N, channels, R, R,
    R).
    """
    plans = [None] * len(network.blocks)

    def passes(parts: Parts) -> Velocity:
        return structure_pass(network, context, parts, savings, plans)

    return _sample(passes, noise.to(context.device, torch.float32), sampling, savings, trace)


@torch.no_grad()
def active_cells(decoder: VolumeVAE, latents: Tensor, chunk: int = 4) -> Voxels:
    """The cells that structure latents (N, ...) occupy; sample n may have none. Rows are in
    lexicographic order.
    """
    logits = torch.cat([decoder.decode_raw(part) for part in latents.split(chunk)])
    return Voxels.of(occupied(logits), logits.shape[-1], len(latents))


def occupied(logits: Tensor) -> Tensor:
    """(N, 4) int32 rows (b, x, y, z) of the cells with a positive logit, in lexicographic order;
    logits (B, 1, R, R, R).
    """
    return torch.nonzero(logits[:, 0] > 0).int()


@torch.no_grad()
def sample_latents(
    stage: LatentStage,
    voxels: Voxels,
    context: Tensor,
    noise: Tensor,
    sampling: TrellisSampling = RELEASED,
    savings: Savings = ALL,
    trace: SamplerTrace | None = None,
) -> Tensor:
    """Structured latents (V, channels) of V active cells of N samples, from tokens (N, M, C) and
    noise (V, channels), denormalised.

    Neighbours and coarse cells are found once, on ``voxels``, for all steps and both passes.
    """

    def passes(parts: Parts) -> Velocity:
        return _latent_pass(stage.flow, voxels, context, parts, savings)

    found = _sample(passes, noise.to(context.device, torch.float32), sampling, savings, trace)
    return found * stage.deviation.to(found) + stage.mean.to(found)


@torch.no_grad()
def decode_meshes(decoder: MeshDecoder, latents: Tensor, voxels: Voxels) -> list[CellMesh]:
    """One mesh for each sample; without faces where there is no surface."""
    return decoder.meshes(latents, voxels)


def _sample(
    passes: Passes,
    noise: Tensor,
    sampling: TrellisSampling,
    savings: Savings,
    trace: SamplerTrace | None,
) -> Tensor:
    velocity = guided_velocity(passes, sampling.weight, sampling.interval, savings)
    return integrate(velocity, noise, sampling, trace)


def _latent_pass(
    network: SLatFlow,
    voxels: Voxels,
    context: Tensor,
    parts: Parts,
    savings: Savings,
) -> Velocity:
    def contexts() -> list[list[Context]]:
        if savings.constants:
            return network.prepare(*with_constants(context, parts))
        return network.prepare(torch.stack(for_parts(context, parts), dim=1))

    kept = Kept(contexts, network.modulations, context.device, savings.cache)
    return lambda x, t: network.velocity(
        x, voxels, kept.modulations(t), kept.contexts(), len(parts), savings.one_batch
    )
