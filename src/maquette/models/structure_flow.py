"""The instance generator and, reprogrammed, the scene model: a rectified-flow transformer over a
latent grid.

In the flow: noise, picture tokens and the lifted picture -> velocity. Architecture of the published
structure flow (checkpoints.md 2.1) with I-Scene's scene-context attention in the middle blocks
(section 3.2; same weights, no new ones) and, for small models, a *lift*: a grid of what the picture
says about every cell, encoded by convolutions and added to the tokens. Shapes: B sequences, C
width, R latent resolution, L = (R / patch)^3 tokens, M context tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.attention import Context, Plan, SceneContext
from maquette.nn.blocks import (
    ChannelNorm,
    ModulatedCrossBlock,
    ResBlock3d,
    depth_to_space,
    space_to_depth,
    zero_init,
)
from maquette.nn.embeddings import TimestepEmbedder, grid_position_embedding

EncodeVolume = Callable[[Tensor], Tensor]  # (B, volume_channels, G, G, G) -> (B, channels, R, R, R)
Lift = tuple[Tensor, Tensor, Tensor]  # tokens, guessed latent, guessed volume


@dataclass(frozen=True)
class StructureFlowConfig:
    """Sizes of the network; the defaults are the embedded model's."""

    resolution: int = 8  # of the latent grid
    channels: int = 16  # of the latent
    width: int = 256
    blocks: int = 6
    heads: int = 4
    mlp_ratio: float = 4.0
    patch: int = 2
    context_width: int = 128
    qk_norm: bool = True
    share_modulation: bool = True
    scene_context_blocks: int = (
        3  # number of middle blocks with scene-context attention; 0 = instances are independent
    )
    # of the lifted grid (models/lifting.py); 0 = the published form, the picture enters by
    # cross-attention only
    lift_channels: int = 13
    lift_resolution: int = 32
    lift_widths: tuple[int, int] = (32, 64)
    volume_channels: int = 4  # of the guessed volume: TSDF and colour
    # of the latent around the lift's guess; sets the skip connection around the transformer
    guess_variance: float = 0.25
    qk_norm_cross: bool = False  # also in the cross-attention
    store_positions: bool = (
        False  # the position embedding is in the state dict, as in the published files
    )

    @property
    def scene_context_range(self) -> range:
        """Indices of the blocks with scene-context attention: the middle ones, as in the released
        I-Scene.
        """
        first = self.blocks // 2 - self.scene_context_blocks // 2
        return range(first, first + self.scene_context_blocks)


class LiftEncoder(nn.Module):
    """Convolutions over the lifted grid: features per latent cell, and a first guess of the volume
    itself.

    The guess is trained by plain regression of signed distance and colour. Where the picture shows
    the surface it only has to copy what the lift says, so convolutions learn it with few samples;
    the transformer then starts from it instead of from nothing.
    """

    def __init__(self, config: StructureFlowConfig):
        super().__init__()
        fine, coarse = config.lift_widths
        self.fold = config.lift_resolution // (2 * config.resolution)
        self.stem = nn.Conv3d(config.lift_channels * self.fold**3, fine, 1)
        self.fine = ResBlock3d(fine)
        self.down = nn.Conv3d(fine, coarse, 2, stride=2)
        self.coarse = nn.Sequential(
            ResBlock3d(coarse), ResBlock3d(coarse), ChannelNorm(coarse), nn.SiLU()
        )
        self.up = nn.Conv3d(coarse, 8 * fine, 3, padding=1)
        self.join = nn.Conv3d(2 * fine, fine, 1)
        self.refine = nn.Sequential(ResBlock3d(fine), ChannelNorm(fine), nn.SiLU())
        self.volume = nn.Conv3d(fine, config.volume_channels * self.fold**3, 1)

    def forward(self, lifted: Tensor) -> tuple[Tensor, Tensor]:
        """(B, lift_channels, G, G, G) -> features (B, F, R, R, R) and the guessed volume (B,
        volume_channels, G, G, G).
        """
        fine = self.fine(self.stem(space_to_depth(lifted, self.fold)))
        features = self.coarse(self.down(fine))
        joined = self.join(torch.cat([fine, depth_to_space(self.up(features), 2)], dim=1))
        return features, depth_to_space(self.volume(self.refine(joined)), self.fold)


def guess_velocity(x: Tensor, t: Tensor, guess: Tensor, variance: float) -> Tensor:
    """E[eps - x0 | x_t] when x0 ~ N(guess, variance): the linear part of the velocity, exact and
    bounded for all t.

    With y = x_t - (1 - t) guess = (1 - t) e + t eps, e ~ N(0, s2):  v = (t - (1 - t) s2) / ((1 -
    t)^2 s2 + t^2) y - guess. The transformer only learns what departs from this (the
    preconditioning of Karras et al. 2022, around a guess instead of 0).
    """
    t = t.reshape(-1, 1, 1, 1, 1).to(x.dtype)
    gain = (t - (1 - t) * variance) / ((1 - t) ** 2 * variance + t**2)
    return gain * (x - (1 - t) * guess) - guess


class StructureFlow(nn.Module):
    """Velocity network v(x_t, t | picture); see the module docstring."""

    def __init__(self, config: StructureFlowConfig):
        super().__init__()
        self.config = config
        c = config
        folded = c.channels * c.patch**3
        self.t_embedder = TimestepEmbedder(c.width)
        self.input_layer = nn.Linear(folded, c.width)
        self.register_buffer(
            "pos_emb",
            grid_position_embedding(c.resolution // c.patch, c.width),
            persistent=c.store_positions,
        )
        self.adaLN_modulation = (
            nn.Sequential(nn.SiLU(), nn.Linear(c.width, 6 * c.width))
            if c.share_modulation
            else None
        )
        self.blocks = nn.ModuleList(
            ModulatedCrossBlock(
                c.width,
                c.context_width,
                c.heads,
                c.mlp_ratio,
                c.qk_norm,
                c.share_modulation,
                c.qk_norm_cross,
            )
            for _ in range(c.blocks)
        )
        self.out_layer = zero_init(nn.Linear(c.width, folded))
        self.lift = LiftEncoder(config) if c.lift_channels else None
        if c.lift_channels:
            self.lift_tokens = nn.Linear((c.lift_widths[1] + c.channels) * c.patch**3, c.width)

    def encode_lift(self, lifted: Tensor, encode_volume: EncodeVolume) -> Lift:
        """Tokens (B, L, C), guessed latent (B, channels, R, R, R) and guessed volume of lifted
        grids (B, lift_channels, G, G, G).

        ``encode_volume`` maps volumes to normalised latents (the VAE's encoder). Nothing here
        depends on t: samplers call it once.
        """
        if self.lift is None:
            raise ValueError(
                f"this model has no lift (lift_channels = {self.config.lift_channels})"
            )
        features, volume = self.lift(lifted)
        with torch.no_grad():
            guess = encode_volume(volume.detach().clamp(-1, 1))
        cells = space_to_depth(torch.cat([features, guess], dim=1), self.config.patch)
        return self.lift_tokens(cells.flatten(2).transpose(1, 2)), guess, volume

    @property
    def trunk_dtype(self) -> torch.dtype:
        """Precision of the blocks; the first and last layers, the embeddings and the last norm stay
        in float32.
        """
        return self.blocks[0].mlp.mlp[0].weight.dtype

    def modulations(self, t: Tensor) -> list[Tensor]:
        """(B, 6 C) of every block at noise levels t (B,); samplers compute those of a whole
        schedule once.
        """
        embedded = self.t_embedder(t).to(self.trunk_dtype)
        if self.adaLN_modulation is not None:
            return [self.adaLN_modulation(embedded)] * len(self.blocks)
        return [block.modulation(embedded) for block in self.blocks]

    def prepare(self, context: Tensor | None, single: Tensor | None = None) -> list[Context]:
        """What every block's cross-attention needs of the context, for all steps; see
        CrossAttention.prepare.
        """
        context, single = (
            None if tokens is None else tokens.to(self.trunk_dtype) for tokens in (context, single)
        )
        return [block.cross_attn.prepare(context, single) for block in self.blocks]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        lift: Lift | None = None,
        scene_of: Tensor | None = None,
    ) -> Tensor:
        """Velocity of all sequences, instances and scene branches alike.

        x: (B, channels, R, R, R); t: (B,) noise levels; context: (B, M, context_width) picture
        tokens of each sequence; lift: from ``encode_lift``; scene_of: (B,) row of each instance's
        scene branch, -1 = none (``None`` = all independent).
        """
        plan = None if scene_of is None else SceneContext.of(scene_of)
        plans = [
            plan if index in self.config.scene_context_range else None
            for index in range(len(self.blocks))
        ]
        contexts = [context.to(self.trunk_dtype)] * len(self.blocks)
        velocity = self.velocity(
            x, self.modulations(t), contexts, plans, None if lift is None else lift[0]
        )
        return (
            velocity
            if lift is None
            else velocity + guess_velocity(x, t, lift[1], self.config.guess_variance)
        )

    def velocity(
        self,
        x: Tensor,
        modulations: Sequence[Tensor],
        contexts: Sequence[Tensor | Context],
        plans: Sequence[Plan | None],
        lift_tokens: Tensor | None = None,
    ) -> Tensor:
        """What the transformer says, from the modulation, context and attention plan of every
        block.
        """
        c = self.config
        tokens = space_to_depth(x, c.patch).flatten(2).transpose(1, 2)
        h = self.input_layer(tokens) + self.pos_emb
        if lift_tokens is not None:
            h = h + lift_tokens
        h = h.to(self.trunk_dtype)
        for block, modulation, context, plan in zip(self.blocks, modulations, contexts, plans):
            h = block(h, modulation, context, plan)
        h = self.out_layer(F.layer_norm(h.float(), h.shape[-1:]))
        return depth_to_space(
            h.transpose(1, 2).unflatten(2, (c.resolution // c.patch,) * 3), c.patch
        )
