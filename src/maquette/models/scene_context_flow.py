"""I-Scene's scene-context flow as it was released: the structure flow of TRELLIS, seen through up
to three pictures per instance.

In the flow: noise and picture tokens of every *slot* -> velocity of its structure latent. Slot 0 is
the instance in the scene's crop and the only one that is kept; slot 1 is the whole scene, slot 2
(optional) the instance in its own crop. Slots share weights, noise level and positions. In the
middle blocks, slot 0 also attends to the tokens of the others, whose keys may be gated and shifted
(``ExternalKeys``); the other slots run the plain network. I-Scene, arXiv 2512.13683, section 3.2;
the paper's form has two slots. Shapes: B instances, S slots, R latent resolution, M context tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from maquette.models.structure_flow import StructureFlow, StructureFlowConfig
from maquette.nn.attention import AttentionPlan, ExternalKeys, SceneContext
from maquette.nn.layers import matrix_dtype, middle_blocks

# slots
INSTANCE = 0
SCENE = 1
CANONICAL = 2


@dataclass(frozen=True)
class SceneContextFlowConfig:
    """Sizes; the defaults are the release's."""

    flow: StructureFlowConfig = field(default_factory=StructureFlowConfig)
    context_blocks: int = 5  # middle blocks in which slot 0 sees the others
    slots: int = 3  # 2 = the paper's: instance and scene
    key_gate: bool = False
    key_bias: bool = False
    key_bias_scale: float = 0.2

    @property
    def context_range(self) -> range:
        """Indices of the blocks with scene-context attention."""
        return middle_blocks(self.flow.blocks, self.context_blocks)


class SceneContextFlow(nn.Module):
    """See the module docstring."""

    def __init__(self, config: SceneContextFlowConfig):
        super().__init__()
        self.config = config
        c = config.flow
        self.flow = StructureFlow(c)
        if not (config.key_gate or config.key_bias):
            return
        sizes = (config.slots - 1, c.heads, c.width // c.heads)
        switches = (config.key_gate, config.key_bias, config.key_bias_scale)
        for index in config.context_range:
            self.flow.blocks[index].self_attn.external = ExternalKeys(*sizes, *switches)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
    ) -> Tensor:
        """Velocity of every slot, the plain path: x (B, S, channels, R, R, R), t (B,) noise levels,
        context (B, S, M, context width).
        """
        slots = x.shape[1]
        plans = self.plans(slot_sources(len(x), slots), x.device)
        modulations = self.flow.modulations(t.repeat_interleave(slots))
        tokens = context.flatten(0, 1).to(matrix_dtype(self.flow.blocks))
        contexts = [tokens] * len(self.flow.blocks)
        out = self.flow.velocity(x.flatten(0, 1), modulations, contexts, plans)
        return out.unflatten(0, (len(x), slots))

    def plans(self, sources: Tensor, device: torch.device | str) -> list[AttentionPlan | None]:
        """Each block's attention plan; sources (rows, S - 1) int64 on the CPU: the rows that a row
        also sees, -1 for rows that see none.
        """
        return self.flow.plans(SceneContext.of(sources).to(device), self.config.context_range)


def slot_sources(instances: int, slots: int) -> Tensor:
    """(instances * slots, slots - 1) for rows in the order instance, slot: slot 0 sees the other
    slots of its instance.
    """
    sources = torch.full((instances, slots, slots - 1), -1)
    first_rows = slots * torch.arange(instances)
    sources[:, INSTANCE] = first_rows[:, None] + torch.arange(1, slots)
    return sources.flatten(0, 1)


def shared_sources(instances: int, slots: int) -> Tensor:
    """(1 + instances * (slots - 1), slots - 1) with the scene, row 0, computed once: then rows in
    the order instance, own slots.
    """
    own = slots - 1  # slots of an instance besides the scene's
    sources = torch.full((instances, own, slots - 1), -1)
    sources[:, 0, 0] = 0
    if slots > CANONICAL:
        sources[:, 0, 1] = 1 + own * torch.arange(instances) + 1
    return torch.cat([torch.full((1, slots - 1), -1), sources.flatten(0, 1)])
