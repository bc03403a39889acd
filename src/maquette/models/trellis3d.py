"""TRELLIS with its published weights, both stages: picture tokens -> active cells -> structured
latents -> meshes and Gaussians.

In the flow: tokens of N pictures (``vision.trellis_tokens``) -> one object each, in its own cube
[-0.5, 0.5]^3 with z up. I-Scene replaces the first function and shares the rest. Savings are
switches and exact; see models/savings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.trellis import TrellisSampling, levels, sample, sample_pairs
from maquette.geometry.flexicubes import CellMesh
from maquette.geometry.gaussians import Gaussians
from maquette.models.savings import ALL, Savings
from maquette.models.slat_flow import SLatFlow, SLatModulations
from maquette.models.slat_vae import GaussianDecoder, MeshDecoder
from maquette.models.structure_flow import StructureFlow
from maquette.models.volume_vae import VolumeVAE
from maquette.nn.attention import Context
from maquette.nn.sparse import Voxels

Trace = Callable[[int, Tensor, Tensor], None]  # step, x_t, predicted x_0
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
    trace: Trace | None = None,
) -> Tensor:
    """Structure latents (N, channels, R, R, R) from tokens (N, M, C) and noise (N, channels, R, R,
    R).
    """
    noise = noise.to(context.device, torch.float32)
    return _sample(
        lambda parts: _structure_pass(network, context, parts, savings),
        noise,
        sampling,
        savings,
        trace,
    )


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
    trace: Trace | None = None,
) -> Tensor:
    """Structured latents (V, channels) of V active cells of N samples, from tokens (N, M, C) and
    noise (V, channels), denormalised.

    Neighbours and coarse cells are found once, on ``voxels``, for all steps and both passes.
    """
    noise = noise.to(context.device, torch.float32)
    found = _sample(
        lambda parts: _latent_pass(stage.flow, voxels, context, parts, savings),
        noise,
        sampling,
        savings,
        trace,
    )
    return found * stage.deviation.to(found) + stage.mean.to(found)


def draw_structure_noise(network: StructureFlow, count: int, generator: torch.Generator) -> Tensor:
    """(count, channels, R, R, R) on the CPU; drawn before the noise of the latents, as in the
    release.
    """
    c = network.config
    return torch.randn(count, c.channels, *(c.resolution,) * 3, generator=generator)


def draw_latent_noise(network: SLatFlow, voxels: Voxels, generator: torch.Generator) -> Tensor:
    """(V, channels) on the CPU, rows in the order of the cells of all samples."""
    return torch.randn(len(voxels), network.config.channels, generator=generator)


@torch.no_grad()
def decode_meshes(decoder: MeshDecoder, latents: Tensor, voxels: Voxels) -> list[CellMesh]:
    """One mesh for each sample; without faces where there is no surface."""
    return decoder.meshes(latents, voxels)


@torch.no_grad()
def decode_gaussians(decoder: GaussianDecoder, latents: Tensor, voxels: Voxels) -> list[Gaussians]:
    """One set of Gaussians for each sample."""
    return decoder.gaussians(decoder(latents, voxels), voxels)


Parts = tuple[bool, ...]  # of a batch: True = conditional, False = unconditional
Passes = Callable[
    [Parts], Callable[[Tensor, float], Tensor]
]  # -> (x_t, t) -> velocities (parts, ...)


def _sample(
    passes: Passes, noise: Tensor, sampling: TrellisSampling, savings: Savings, trace: Trace | None
) -> Tensor:
    def single(conditional: bool) -> Velocity:
        evaluate = passes((conditional,))
        return lambda x, t: evaluate(x, t)[0]

    if not savings.one_batch:
        return sample(single(True), single(False), noise, sampling, trace)
    both = passes((True, False))
    return sample_pairs(lambda x, t: tuple(both(x, t)), single(True), noise, sampling, trace)


def _structure_pass(
    network: StructureFlow, context: Tensor, parts: Parts, savings: Savings
) -> Callable[[Tensor, float], Tensor]:
    plans = [None] * len(network.blocks)

    def contexts() -> list[Context]:
        if savings.constants:
            single = None if all(parts) else torch.zeros_like(context[:, :1])
            return network.prepare(context if any(parts) else None, single)
        return network.prepare(
            torch.cat(
                [context if conditional else torch.zeros_like(context) for conditional in parts]
            )
        )

    kept = _Kept(
        contexts, lambda t: network.modulations(levels(t, 1, context.device)), savings.cache
    )

    def velocity(x: Tensor, t: float) -> Tensor:
        rows = x.repeat(len(parts), *[1] * (x.ndim - 1))
        return network.velocity(rows, kept.modulations(t), kept.contexts(), plans).unflatten(
            0, (len(parts), -1)
        )

    return velocity


def _latent_pass(
    network: SLatFlow, voxels: Voxels, context: Tensor, parts: Parts, savings: Savings
) -> Callable[[Tensor, float], Tensor]:
    def contexts() -> list[list[Context]]:
        if savings.constants:
            single = None if all(parts) else torch.zeros_like(context[:, :1])
            return network.prepare(context if any(parts) else None, single)
        return network.prepare(
            torch.stack(
                [context if conditional else torch.zeros_like(context) for conditional in parts],
                dim=1,
            )
        )

    kept = _Kept(
        contexts, lambda t: network.modulations(levels(t, 1, context.device)), savings.cache
    )
    return lambda x, t: network.velocity(
        x, voxels, kept.modulations(t), kept.contexts(), len(parts), savings.one_batch
    )


class _Kept:
    """Contexts and modulations of a run, made when first needed and, with ``cache``, kept."""

    def __init__(
        self,
        make_contexts: Callable[[], list],
        make_modulations: Callable[[float], list[Tensor] | SLatModulations],
        cache: bool,
    ):
        self.make_contexts = make_contexts
        self.make_modulations = make_modulations
        self.cache = cache
        self.made_contexts: list | None = None
        self.made_modulations: dict[float, list[Tensor] | SLatModulations] = {}

    def contexts(self) -> list:
        if self.made_contexts is None or not self.cache:
            self.made_contexts = self.make_contexts()
        return self.made_contexts

    def modulations(self, t: float) -> list[Tensor] | SLatModulations:
        if t not in self.made_modulations or not self.cache:
            self.made_modulations[t] = self.make_modulations(t)
        return self.made_modulations[t]
