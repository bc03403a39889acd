"""The vector-set flow of the TripoSG family, with MIDI-3D's multi-instance attention: a transformer
over a set of latent vectors.

In the flow: noise and picture tokens -> velocity of the latents that ``vecset_vae`` decodes. The
noise level is one extra token in front; there are no positions; later blocks join the outputs of
earlier ones (long skips). With ``groups``, the self-attention of the joint blocks sees all
instances of a scene (MIDI, arXiv 2412.03558, section 3.2; no new weights). The velocity points from
data to noise, as everywhere in maquette; released weights say the opposite, so the sign turns in
``forward``. Written from a description of the released weights, TripoSG (arXiv 2502.06608) and
MIDI. Shapes: B sequences, L latent vectors, C width, M context tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maquette.nn.attention import AttentionPlan, Context, Joint
from maquette.nn.blocks import LayerNorm, VectorSetBlock
from maquette.nn.embeddings import level_angles
from maquette.nn.layers import Layers, matrix_dtype, middle_blocks


@dataclass(frozen=True)
class VecSetFlowConfig:
    """Sizes; the defaults are TripoSG's. MIDI-3D has ``context_widths`` (768, 1024) and
    ``joint_blocks`` (8, ..., 12).
    """

    channels: int = 64  # of a latent vector
    width: int = 2048
    blocks: int = 21
    heads: int = 16
    context_widths: tuple[int, ...] = (1024,)  # one cross-attention for each
    joint_blocks: tuple[int, ...] = ()  # blocks whose self-attention sees all instances of a scene

    @property
    def first_skip(self) -> int:
        """Index of the first block that joins an earlier one."""
        return self.blocks // 2 + 1


def midi_joint_blocks(blocks: int) -> tuple[int, ...]:
    """The five middle blocks (8 to 12 of 21), those of the release."""
    return tuple(middle_blocks(blocks, min(blocks, 5)))


class TimeToken(nn.Module):
    """Noise level t in [0, 1] -> one token (B, 1, C): sinusoids of 1000 t ([sin | cos], C wide),
    then a two-layer MLP.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, width)

    def sinusoids(self, t_B: Tensor) -> Tensor:
        """(B, C) float32."""
        angles = level_angles(t_B, self.width // 2)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def forward(self, t_B: Tensor) -> Tensor:
        """(B,) -> (B, 1, C)."""
        hidden = self.linear_1(self.sinusoids(t_B).to(self.linear_1.weight))
        return self.linear_2(nn.functional.gelu(hidden))[:, None]


class VecSetFlow(nn.Module):
    """Velocity network v(x_t, t | contexts); see the module docstring."""

    def __init__(self, config: VecSetFlowConfig):
        super().__init__()
        self.config = c = config
        self.time_proj = TimeToken(c.width)
        self.proj_in = nn.Linear(c.channels, c.width)
        sizes = (c.width, c.heads, c.context_widths)
        skips = [index >= c.first_skip for index in range(c.blocks)]
        self.blocks: Layers[VectorSetBlock] = Layers(
            VectorSetBlock(*sizes, skip=skip) for skip in skips
        )
        self.norm_out = LayerNorm(c.width)
        self.proj_out = nn.Linear(c.width, c.channels)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        contexts: Sequence[Tensor],
        groups: Sequence[int] | None = None,
    ) -> Tensor:
        """Velocity eps - x0 (B, L, channels): the plain path, everything from scratch.

        x: (B, L, channels); t: (B,) noise levels; contexts: one (B, M, context width) for each
        cross-attention; groups: numbers of consecutive sequences that are the instances of one
        scene, summing to B (``None`` = all independent).
        """
        contexts = [context.to(matrix_dtype(self.blocks)) for context in contexts]
        return self.velocity(x, self.time_proj(t), [contexts] * len(self.blocks), groups)

    def prepare(
        self, contexts: Sequence[Tensor | None], singles: Sequence[Tensor | None]
    ) -> list[list[Context]]:
        """What every block's cross-attentions need of the contexts, for all steps.

        The first A sequences attend to ``contexts`` (A, M, context width); the context of those
        after them is one token each, ``singles`` (B - A, 1, context width), whose attention is a
        constant vector: the zeros of the unconditional pass, and the one token of CLIP.
        """
        dtype = matrix_dtype(self.blocks)
        given = [
            [None if tokens is None else tokens.to(dtype) for tokens in kind]
            for kind in (contexts, singles)
        ]
        return [block.prepare(*given) for block in self.blocks]

    def velocity(
        self,
        x: Tensor,
        time_token: Tensor,
        contexts: Sequence[Sequence[Tensor | Context]],
        groups: Sequence[int] | None = None,
    ) -> Tensor:
        """The same from a time token (B or 1, 1, C) and every block's contexts, tokens or prepared
        ones.
        """
        joint: AttentionPlan | None = None if groups is None else Joint(tuple(groups))
        tokens = self.proj_in(x.to(self.proj_in.weight.dtype))
        h = torch.cat([time_token.expand(len(x), -1, -1), tokens], dim=1)
        h = h.to(matrix_dtype(self.blocks))
        first_skip = self.config.first_skip
        earlier: list[Tensor] = []
        for index, (block, own) in enumerate(zip(self.blocks, contexts)):
            plan = joint if index in self.config.joint_blocks else None
            h = block(h, own, plan, earlier.pop() if index >= first_skip else None)
            if index < first_skip - 1:
                earlier.append(h)
        return -self.proj_out(self.norm_out(h[:, 1:].to(self.proj_out.weight.dtype)))
