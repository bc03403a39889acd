"""Multi-instance diffusion (MIDI, arXiv 2412.03558, section 3.2) on the instance generator: same
weights, joint attention in some blocks.

In the flow: crops, scene pictures and lifted grids of all instances of a scene -> velocity of all
their latents at once. In the middle ``joint_blocks`` blocks the queries of an instance see the
tokens of all instances of its scene; no new weights are needed for that. The picture of the whole
scene enters as further context tokens. With one instance, or with ``joint_blocks = 0``, the
attention is the generator's own. Only a few weights are tuned (``tuned_blocks``), so that the file
is a small difference. Shapes: B instances in groups of consecutive ones (the scenes), P scene
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from maquette.flow.guidance import Velocity, at_one_level
from maquette.models.generator import Condition, Generator, GeneratorConfig
from maquette.nn.attention import Joint
from maquette.nn.layers import middle_blocks


@dataclass(frozen=True)
class MultiInstanceConfig:
    """The generator's sizes, and what is joint."""

    base: GeneratorConfig = field(default_factory=GeneratorConfig)
    # number of middle blocks in which instances see each other; 0 = independent (5 of 21 in the
    # paper)
    joint_blocks: int = 3
    # number of middle blocks whose attention is trained; the rest stays the base's
    tuned_blocks: int = 3
    scene_image: bool = True  # the whole picture's tokens as further context


class MultiInstanceGenerator(nn.Module):
    """The instance generator (``base``) run on all instances of scenes together; see the module
    docstring.
    """

    def __init__(self, config: MultiInstanceConfig):
        super().__init__()
        self.config = config
        self.base = Generator(config.base)
        self.scene_token = None
        if config.scene_image:
            self.scene_token = nn.Parameter(torch.zeros(1, 1, config.base.flow.context_width))

    def freeze(self) -> MultiInstanceGenerator:
        """Leave only what is tuned to the optimiser: self-attention and the view of the context in
        the middle blocks, the scene's mark.
        """
        self.base.requires_grad_(False)
        for index in middle_blocks(self.config.base.flow.blocks, self.config.tuned_blocks):
            block = self.base.flow.blocks[index]
            block.self_attn.requires_grad_(True)
            block.cross_attn.to_kv.requires_grad_(True)
        return self

    def with_scene(
        self,
        own: Condition,
        scenes: Tensor,
        scene_of: Tensor,
    ) -> Condition:
        """What B instances know of their own picture (``base.encode``) and of scene pictures (P, 5,
        S, S), number ``scene_of`` (B,).
        """
        if self.scene_token is None:
            return own
        shared = self.base.picture(scenes) + self.scene_token
        return Condition(torch.cat([own.context, shared[scene_of]], dim=1), own.lift)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Condition,
        groups: Sequence[int],
    ) -> Tensor:
        """Velocity (B, channels, R, R, R) at noise levels t (B,); ``groups``: number of instances
        of each scene, in order.
        """
        flow = self.base.flow
        joint = middle_blocks(len(flow.blocks), self.config.joint_blocks)
        plans = flow.plans(Joint(tuple(groups)), joint)
        return flow.from_guess(x, t, condition.context, condition.lift, plans)

    def velocity(self, condition: Condition, groups: Sequence[int]) -> Velocity:
        """The function of (x_t, t) that samplers integrate."""
        return at_one_level(lambda x, t: self(x, t, condition, groups))
