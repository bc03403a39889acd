"""I-Scene (arXiv 2512.13683) with its published weights: the sparse-structure stage, in which every
instance is placed and shaped.

In the flow: pictures of the slots (``images.slots``) -> tokens -> latents of slot 0, all in the one
cube of the scene -> the structure decoder. The stages after that are those of TRELLIS. Instances
meet only in the scene's slot, which is the same for all of them, so it is computed once, and any
subset of instances gives the same result. Frames are those of TRELLIS: z up, cube [-0.5, 0.5]^3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.trellis import TrellisSampling, levels, sample, sample_pairs
from maquette.models.savings import ALL, Savings
from maquette.models.scene_context_flow import SCENE, SceneContextFlow, shared_sources, slot_sources
from maquette.models.vision import VisionTransformer, trellis_tokens
from maquette.nn.attention import Context

Trace = Callable[[int, Tensor, Tensor], None]


RELEASED = TrellisSampling(
    strength=3.0
)  # 25 steps, guided with weight 4 above noise level 0.5, schedule shifted by 3


@torch.no_grad()
def encode_slots(
    encoder: VisionTransformer, pictures: Tensor, savings: Savings = ALL, chunk: int = 8
) -> Tensor:
    """Tokens (N, S, M, C) of the slots' pictures (N, S, 3, 518, 518) in [0, 1]; the scene's is the
    same for all and encoded once.
    """
    count, slots = pictures.shape[:2]
    if not savings.shared_scene or slots <= SCENE or count == 1:
        return _encode(encoder, pictures.flatten(0, 1), chunk).unflatten(0, (count, slots))
    own = [slot for slot in range(slots) if slot != SCENE]
    encoded = _encode(
        encoder, torch.cat([pictures[:1, SCENE], pictures[:, own].flatten(0, 1)]), chunk
    )
    scene = encoded[:1].expand(count, -1, -1)[:, None]
    others = encoded[1:].unflatten(0, (count, len(own)))
    return torch.cat([others[:, :SCENE], scene, others[:, SCENE:]], dim=1)


def _encode(encoder: VisionTransformer, pictures: Tensor, chunk: int) -> Tensor:
    return torch.cat([trellis_tokens(encoder, part) for part in pictures.split(chunk)])


def draw_noise(network: SceneContextFlow, generator: torch.Generator) -> Tensor:
    """(1, S, channels, R, R, R) on the CPU: different for each slot, the same for all instances, as
    in the release.
    """
    c = network.config
    return torch.randn(1, c.slots, c.flow.channels, *(c.flow.resolution,) * 3, generator=generator)


class _Rows:
    """The rows of one evaluation: which (instance, slot) they are and whom they see, once for each
    part of the batch.
    """

    def __init__(self, instances: int, slots: int, shared: bool):
        self.instances = instances
        self.slots = slots
        self.shared = shared
        self.own = (
            [slot for slot in range(slots) if slot != SCENE] if shared else list(range(slots))
        )

    def take(self, x: Tensor) -> Tensor:
        """(N, S, ...) -> (rows, ...)."""
        own = x[:, self.own].flatten(0, 1)
        return torch.cat([x[:1, SCENE], own]) if self.shared else own

    def give(self, rows: Tensor) -> Tensor:
        """(rows, ...) -> (N, S, ...)."""
        if not self.shared:
            return rows.unflatten(0, (self.instances, self.slots))
        own = rows[1:].unflatten(0, (self.instances, len(self.own)))
        scene = rows[:1].expand(self.instances, *rows.shape[1:])[:, None]
        return torch.cat([own[:, :SCENE], scene, own[:, SCENE:]], dim=1)

    def sources(self, parts: int) -> Tensor:
        """(parts * rows, S - 1) whom each row sees: always of its own part."""
        one = (shared_sources if self.shared else slot_sources)(self.instances, self.slots)
        return torch.cat(
            [torch.where(one < 0, one, one + part * len(one)) for part in range(parts)]
        )


@torch.no_grad()
def sample_structure(
    network: SceneContextFlow,
    context: Tensor,
    noise: Tensor,
    sampling: TrellisSampling = RELEASED,
    savings: Savings = ALL,
    trace: Trace | None = None,
) -> Tensor:
    """Structure latents (N, S, channels, R, R, R) of all instances and slots.

    context: (N, S, M, C) tokens; noise: (1 or N, S, channels, R, R, R). ``trace(step, x_t, x_0)``
    after each step. To bound the memory, call it for some instances at a time: the others do not
    change the result.
    """
    rows = _Rows(len(context), context.shape[1], savings.shared_scene and context.shape[1] > SCENE)
    tokens = rows.take(context)
    start = rows.take(
        noise.expand(len(context), *noise.shape[1:]).to(context.device, torch.float32)
    )
    watched = (
        None
        if trace is None
        else lambda step, x_t, x_0: trace(step, rows.give(x_t), rows.give(x_0))
    )
    conditional = _passes(network, rows, tokens, (True,), savings)
    if not savings.one_batch:
        return rows.give(
            sample(
                conditional,
                _passes(network, rows, tokens, (False,), savings),
                start,
                sampling,
                watched,
            )
        )
    both = _passes(network, rows, tokens, (True, False), savings)
    return rows.give(
        sample_pairs(
            lambda x, t: both(torch.cat([x, x]), t).chunk(2), conditional, start, sampling, watched
        )
    )


def _passes(
    network: SceneContextFlow,
    rows: _Rows,
    context: Tensor,
    conditional: tuple[bool, ...],
    savings: Savings,
) -> Velocity:
    """The velocity of one batch with a part for each entry, conditional ones first."""
    modulations: dict[float, list[Tensor]] = {}
    plans = network.plans(rows.sources(len(conditional)), context.device)
    made: list[list[Context]] = []

    def velocity(x: Tensor, t: float) -> Tensor:
        if not made or not savings.cache:
            made[:] = [_contexts(network, context, conditional, savings.constants)]
        if not savings.cache:
            return network.flow.velocity(
                x, network.flow.modulations(levels(t, len(x), x.device)), made[0], plans
            )
        if t not in modulations:
            modulations[t] = network.flow.modulations(levels(t, 1, x.device))
        return network.flow.velocity(x, modulations[t], made[0], plans)

    return velocity


def _contexts(
    network: SceneContextFlow, context: Tensor, conditional: tuple[bool, ...], constants: bool
) -> list[Context]:
    if not constants:
        return network.flow.prepare(
            torch.cat([context if yes else torch.zeros_like(context) for yes in conditional])
        )
    single = None if all(conditional) else torch.zeros_like(context[:, :1])
    return network.flow.prepare(context if any(conditional) else None, single)
