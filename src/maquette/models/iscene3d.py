"""I-Scene (arXiv 2512.13683) with its published weights: the sparse-structure stage, in which every
instance is placed and shaped.

In the flow: pictures of the slots (``framing.slots``) -> tokens -> latents of slot 0, all in one
cube of the scene -> the structure decoder. The stages after that are those of TRELLIS. Instances
meet only in the scene's slot, which is the same for all of them, so it is computed once, and any
subset of instances gives the same result. Frames are those of TRELLIS: z up, cube [-0.5, 0.5]^3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.trellis import SamplerTrace, TrellisSampling, integrate
from maquette.models.guided import Parts, guided_velocity, structure_pass
from maquette.models.savings import ALL, Savings
from maquette.models.scene_context_flow import SCENE, SceneContextFlow, shared_sources, slot_sources
from maquette.models.vision import VisionTransformer, trellis_tokens

# 25 steps, guided with weight 4 above noise level 0.5, schedule shifted by 3.
RELEASED = TrellisSampling(strength=3.0)


@torch.no_grad()
def encode_slots(
    encoder: VisionTransformer,
    pictures: Tensor,
    savings: Savings = ALL,
    chunk: int = 8,
) -> Tensor:
    """Tokens (N, S, M, C) of the slots' pictures (N, S, 3, 518, 518) in [0, 1]; the scene's is the
    same for all and encoded once.
    """
    count, slots = pictures.shape[:2]
    if not savings.shared_scene or slots <= SCENE or count == 1:
        return _encode(encoder, pictures.flatten(0, 1), chunk).unflatten(0, (count, slots))
    rows = SlotRows(count, slots, shared=True)
    return rows.give(_encode(encoder, rows.take(pictures), chunk))


def _encode(encoder: VisionTransformer, pictures: Tensor, chunk: int) -> Tensor:
    return torch.cat([trellis_tokens(encoder, part) for part in pictures.split(chunk)])


def draw_noise(network: SceneContextFlow, generator: torch.Generator) -> Tensor:
    """(1, S, channels, R, R, R) on the CPU: different for each slot, the same for all instances, as
    in the release.
    """
    slots = network.config.slots
    return torch.randn(1, slots, *network.config.flow.latent_shape, generator=generator)


class SlotRows:
    """The rows of one evaluation: which (instance, slot) they are and whom they see. With
    ``shared``, the scene's slot is one row, the first one, for all instances.
    """

    def __init__(
        self,
        instances: int,
        slots: int,
        shared: bool,
    ):
        self.instances = instances
        self.slots = slots
        self.shared = shared
        self.own = slots - shared  # rows of an instance of its own

    def take(self, x: Tensor) -> Tensor:
        """(N, S, ...) -> (rows, ...)."""
        if not self.shared:
            return x.flatten(0, 1)
        before, scene, after = x.split([SCENE, 1, self.slots - SCENE - 1], dim=1)
        own = torch.cat([before, after], dim=1)
        return torch.cat([scene[:1, 0], own.flatten(0, 1)])

    def give(self, rows: Tensor) -> Tensor:
        """(rows, ...) -> (N, S, ...)."""
        own = rows[int(self.shared) :].unflatten(0, (self.instances, self.own))
        if not self.shared:
            return own
        scene = rows[:1].expand(self.instances, *rows.shape[1:])[:, None]
        return torch.cat([own[:, :SCENE], scene, own[:, SCENE:]], dim=1)

    def sources(self, parts: int) -> Tensor:
        """(parts * rows, S - 1) whom each row sees: always of its own part."""
        one = (shared_sources if self.shared else slot_sources)(self.instances, self.slots)
        firsts = [part * len(one) for part in range(parts)]
        return torch.cat([torch.where(one < 0, one, one + first) for first in firsts])


@torch.no_grad()
def sample_slots(
    network: SceneContextFlow,
    context: Tensor,
    noise: Tensor,
    sampling: TrellisSampling = RELEASED,
    savings: Savings = ALL,
    trace: SamplerTrace | None = None,
) -> Tensor:
    """Structure latents (N, S, channels, R, R, R) of all instances and slots.

    context: (N, S, M, C) tokens; noise: (1 or N, S, channels, R, R, R). ``trace(step, x_t, x_0)``
    after each step. To bound the memory, call it for some instances at a time: the others do not
    change the result.
    """
    count, slots = context.shape[:2]
    rows = SlotRows(count, slots, savings.shared_scene and slots > SCENE)
    tokens = rows.take(context)
    every = noise.expand(count, *noise.shape[1:])
    start = rows.take(every.to(context.device, torch.float32))

    def passes(parts: Parts) -> Velocity:
        plans = network.plans(rows.sources(len(parts)), context.device)
        return structure_pass(network.flow, tokens, parts, savings, plans)

    velocity = guided_velocity(passes, sampling.weight, sampling.interval, savings)
    if trace is None:
        return rows.give(integrate(velocity, start, sampling))

    def tell(step: int, x_t: Tensor, x_0: Tensor) -> None:
        trace(step, rows.give(x_t), rows.give(x_0))

    return rows.give(integrate(velocity, start, sampling, tell))
