"""Coherent 3D Scene Diffusion (NeurIPS 2024): poses and shapes of all objects of a scene denoised
together.

In the flow: picture tokens and cues of every object -> seven numbers of pose, 16 Gaussians, and a
latent for each Gaussian, which PartShapes decodes. Three denoisers of one kind: pose (one token an
object), shape phase 1 (Gaussians) and phase 2 (latents, given the Gaussians), the last two as in
SALAD. Intra-scene attention is attention over all objects of a scene. (The paper's pose network is
a 1-D UNet; over one token an object its convolutions are linear layers, which is what a transformer
block without them has too.) Shapes: B objects in groups of consecutive ones (the scenes), P parts,
M picture tokens of width ``context_width``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maquette.flow.ddpm import LinearSchedule, ddim, noise_from_velocity, table_for
from maquette.geometry.part_gaussians import PART_NUMBERS
from maquette.models.pose_diffusion import OBJECT_CUES, POSE_NUMBERS
from maquette.nn.attention import Context, Joint
from maquette.nn.blocks import ModulatedCrossBlock, modulation_layer, without_weights
from maquette.nn.embeddings import TimestepEmbedder
from maquette.nn.layers import repeated, zero_init

SCHEDULE = LinearSchedule()
BOUND = 12.0  # normalised data lies well within


@dataclass(frozen=True)
class CoherentConfig:
    """Sizes of the three denoisers, and what the ablations switch."""

    context_width: int = 128
    parts: int = 16
    intrinsic: int = 48
    width: int = 112
    heads: int = 4
    mlp_ratio: float = 2.0
    pose_blocks: int = 3
    shape_blocks: int = 4  # of each phase
    intra_scene: bool = True  # False: objects do not see each other (ablation)
    diffusion: bool = True  # False: the networks say the data at once (ablation: regression)
    yaw: bool = True  # False: shapes are described in the view's axes and the yaw is 0


class TokenDenoiser(nn.Module):
    """Some tokens an object, with noise -> the velocity of ``flow.ddpm`` (or the data, for
    regression).
    """

    def __init__(
        self,
        config: CoherentConfig,
        tokens: int,
        channels: int,
        blocks: int,
        given: int = 0,
    ):
        super().__init__()
        c = config
        self.intra_scene = c.intra_scene
        self.tokens = tokens
        self.read = nn.Linear(channels + given, c.width)
        self.slot = nn.Parameter(0.5 * torch.randn(1, tokens, c.width))
        self.t_embedder = TimestepEmbedder(c.width)
        self.modulation = modulation_layer(c.width)
        sizes = (c.width, c.context_width, c.heads, c.mlp_ratio)
        self.blocks = repeated(blocks, ModulatedCrossBlock, *sizes, share_modulation=True)
        self.write = zero_init(nn.Linear(c.width, channels))

    def prepare(self, context: Tensor) -> list[Context]:
        """What the cross-attentions need of the context (B, M, C), for all steps."""
        return [block.cross_attn.prepare(context) for block in self.blocks]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        contexts: Sequence[Tensor | Context],
        groups: Sequence[int],
        given: Tensor | None = None,
    ) -> Tensor:
        """(B, P, channels) at noise levels t (B,) -> the same shape. ``given``: further channels
        (B, P, given), without noise.

        Objects with several tokens attend to their own in every other block, so that they know
        which tokens are theirs.
        """
        if given is not None:
            x = torch.cat([x, given], dim=-1)
        h = self.read(x) + self.slot
        modulation = self.modulation(self.t_embedder(t))
        joint = Joint(tuple(groups))
        for index, (block, context) in enumerate(zip(self.blocks, contexts)):
            own_turn = self.tokens > 1 and index % 2 == 0
            together = self.intra_scene and not own_turn
            h = block(h, modulation, context, joint if together else None)
        return self.write(without_weights(h))


@dataclass(frozen=True, eq=False)
class Objects:
    """Normalised numbers of B objects."""

    pose: Tensor  # (B, 1, 7)
    gaussians: Tensor  # (B, P, 16)
    intrinsic: Tensor  # (B, P, D)


class Coherent(nn.Module):
    """The three denoisers and the cues' embedding; see the module docstring."""

    def __init__(self, config: CoherentConfig):
        super().__init__()
        self.config = c = config
        self.cue = nn.Linear(OBJECT_CUES, c.context_width)
        self.pose = TokenDenoiser(c, 1, POSE_NUMBERS, c.pose_blocks)
        self.gaussians = TokenDenoiser(c, c.parts, PART_NUMBERS, c.shape_blocks)
        self.intrinsic = TokenDenoiser(c, c.parts, c.intrinsic, c.shape_blocks, given=PART_NUMBERS)

    def context(
        self,
        tokens: Tensor,
        cues: Tensor,
        keep: Tensor | None = None,
    ) -> Tensor:
        """(B, M + 1, C) from picture tokens (B, M, C) and cues (B, OBJECT_CUES); zeros (the prior,
        no picture) where ``keep`` (B,) is False.
        """
        known = torch.cat([tokens, self.cue(cues)[:, None].to(tokens.dtype)], dim=1)
        return known if keep is None else known * keep.to(known.dtype)[:, None, None]

    def split(self, numbers: Tensor) -> Objects:
        """Objects of flat numbers (B, ``count``), such as one instance's noise."""
        parts = self.config.parts
        widths = [POSE_NUMBERS, parts * PART_NUMBERS, parts * self.config.intrinsic]
        pose, gaussians, intrinsic = numbers.split(widths, dim=1)
        gaussians = gaussians.unflatten(1, (parts, -1))
        return Objects(pose[:, None], gaussians, intrinsic.unflatten(1, (parts, -1)))

    @property
    def count(self) -> int:
        """How many numbers an object is."""
        return POSE_NUMBERS + self.config.parts * (PART_NUMBERS + self.config.intrinsic)

    @torch.no_grad()
    def sample(
        self,
        context: Tensor,
        groups: Sequence[int],
        noise: Objects,
        steps: int = 100,
        guidance: float = 1.0,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Objects:
        """Objects from noise by DDIM, or in one step by a network that was trained to regress.
        Guidance is against the prior.
        """
        done = 0
        signal = table_for(noise.pose, SCHEDULE.signal())

        def run(denoiser: TokenDenoiser, start: Tensor, given: Tensor | None = None) -> Tensor:
            """One of the two diffusions, from noise ``start``; ``given`` are the poses that the
            shapes are told.
            """
            contexts = denoiser.prepare(context)
            prior = denoiser.prepare(torch.zeros_like(context))

            def say(x: Tensor, step: int) -> Tensor:
                level = torch.full((len(x),), SCHEDULE.level(step), device=x.device)
                seen = denoiser(x, level, contexts, groups, given)
                if guidance == 1.0:
                    return seen
                unseen = denoiser(x, level, prior, groups, given)
                return unseen + guidance * (seen - unseen)

            def predict(x: Tensor, step: int) -> Tensor:
                return noise_from_velocity(x, say(x, step), signal[step])

            def tell(step: int, x: Tensor) -> None:
                progress((done + (step + 1) / steps) / 3)

            if not self.config.diffusion:
                return say(torch.zeros_like(start), SCHEDULE.steps - 1)
            return ddim(predict, start, SCHEDULE, steps, BOUND, tell)

        pose = run(self.pose, noise.pose)
        done = 1
        gaussians = run(self.gaussians, noise.gaussians)
        done = 2
        return Objects(pose, gaussians, run(self.intrinsic, noise.intrinsic, gaussians))
