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
from torch import Tensor, nn

from maquette.flow.path import per_row
from maquette.models.completion import Completion
from maquette.nn.attention import AttentionPlan, Context, SceneContext
from maquette.nn.blocks import (
    ChannelNorm,
    ModulatedCrossBlock,
    ResBlock3d,
    depth_to_space,
    modulation_layer,
    space_to_depth,
    to_grid,
    to_tokens,
    without_weights,
)
from maquette.nn.embeddings import TimestepEmbedder, grid_position_embedding
from maquette.nn.layers import matrix_dtype, middle_blocks, repeated, zero_init

EncodeVolume = Callable[[Tensor], Tensor]  # (B, volume_channels, G, G, G) -> (B, channels, R, R, R)
# tokens (B, L, C), guessed latent (B, channels, R, R, R), guessed volume (B, 4, G, G, G), or twice
# as fine where a completion made it
Lift = tuple[Tensor, Tensor, Tensor]


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
    # number of middle blocks with scene-context attention; 0 = instances are independent
    scene_context_blocks: int = 3
    # of the lifted grid (models/lifting.py); 0 = the published form, the picture enters by
    # cross-attention only
    lift_channels: int = 13
    lift_resolution: int = 32
    lift_widths: tuple[int, int] = (32, 64)
    volume_channels: int = 4  # of the guessed volume: TSDF and colour
    # of the network that makes the guess better (models/completion.py); () = there is none
    completion_widths: tuple[int, ...] = ()
    # of the latent around the lift's guess; sets the skip connection around the transformer
    guess_variance: float = 0.25
    qk_norm_cross: bool = False  # also in the cross-attention
    # the position embedding is in the state dict, as in the published files
    store_positions: bool = False

    @property
    def scene_context_range(self) -> range:
        """Indices of the blocks with scene-context attention: the middle ones, as in the released
        I-Scene.
        """
        return middle_blocks(self.blocks, self.scene_context_blocks)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(channels, R, R, R)."""
        return (self.channels, *(self.resolution,) * 3)


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


def guess_velocity(
    x: Tensor,
    t: Tensor,
    guess: Tensor,
    variance: float,
) -> Tensor:
    """E[eps - x0 | x_t] when x0 ~ N(guess, variance): the linear part of the velocity, exact and
    bounded for all t.

    With y = x_t - (1 - t) guess = (1 - t) e + t eps, e ~ N(0, s2):  v = (t - (1 - t) s2) / ((1 -
    t)^2 s2 + t^2) y - guess. The transformer only learns what departs from this (the
    preconditioning of Karras et al. 2022, around a guess instead of 0).
    """
    t = per_row(t, x)
    spread = (1 - t) ** 2 * variance + t**2  # variance of y
    gain = (t - (1 - t) * variance) / spread
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
        positions = grid_position_embedding(c.resolution // c.patch, c.width)
        self.register_buffer("pos_emb", positions, persistent=c.store_positions)
        self.adaLN_modulation = modulation_layer(c.width) if c.share_modulation else None
        sizes = (c.width, c.context_width, c.heads, c.mlp_ratio)
        switches = (c.qk_norm, c.share_modulation, c.qk_norm_cross)
        self.blocks = repeated(c.blocks, ModulatedCrossBlock, *sizes, *switches)
        self.out_layer = zero_init(nn.Linear(c.width, folded))
        self.lift = LiftEncoder(config) if c.lift_channels else None
        self.completion = None
        if c.completion_widths:
            inputs = c.lift_channels + c.volume_channels
            widths = c.completion_widths
            self.completion = Completion(inputs, c.volume_channels, c.lift_resolution, *widths)
        if c.lift_channels:
            self.lift_tokens = nn.Linear((c.lift_widths[1] + c.channels) * c.patch**3, c.width)

    def encode_lift(
        self,
        lifted: Tensor,
        encode_volume: EncodeVolume,
        zoomed: bool = False,
    ) -> Lift:
        """Tokens (B, L, C), guessed latent (B, channels, R, R, R) and guessed volume of lifted
        grids (B, lift_channels, G, G, G).

        ``encode_volume`` maps volumes to normalised latents (the VAE's encoder). Nothing here
        depends on t: samplers call it once.
        """
        features, volume = self.guessed_volume(lifted, zoomed)
        with torch.no_grad():
            guess = encode_volume(volume.detach().clamp(-1, 1))
        cells = space_to_depth(torch.cat([features, guess], dim=1), self.config.patch)
        return self.lift_tokens(to_tokens(cells)), guess, volume

    def guessed_volume(self, lifted: Tensor, zoomed: bool = False) -> tuple[Tensor, Tensor]:
        """The lift's features (B, F, R, R, R) and the guessed volume of lifted grids; that of
        ``zoomed`` ones, single instances in cubes of their own, is completed.
        """
        if self.lift is None:
            raise ValueError("this model has no lift (lift_channels = 0); give it none")
        features, volume = self.lift(lifted)
        if zoomed and self.completion is not None:
            volume = self.completion(lifted, volume)
        return features, volume

    def modulations(self, t: Tensor) -> list[Tensor]:
        """(B, 6 C) of every block at noise levels t (B,); samplers compute those of a whole
        schedule once.
        """
        embedded = self.t_embedder(t).to(matrix_dtype(self.blocks))
        if self.adaLN_modulation is not None:
            return [self.adaLN_modulation(embedded)] * len(self.blocks)
        return [block.modulation(embedded) for block in self.blocks]

    def prepare(self, context: Tensor | None, single: Tensor | None = None) -> list[Context]:
        """What every block's cross-attention needs of the context, for all steps; see
        CrossAttention.prepare.
        """
        dtype = matrix_dtype(self.blocks)
        tokens = [None if given is None else given.to(dtype) for given in (context, single)]
        return [block.cross_attn.prepare(*tokens) for block in self.blocks]

    def plans(self, plan: AttentionPlan | None, where: range) -> list[AttentionPlan | None]:
        """The plan for the blocks ``where``, none for the others."""
        return [plan if index in where else None for index in range(len(self.blocks))]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        lift: Lift | None = None,
        scene_of: Tensor | SceneContext | None = None,
    ) -> Tensor:
        """Velocity of all sequences, instances and scene branches alike.

        x: (B, channels, R, R, R); t: (B,) noise levels; context: (B, M, context_width) picture
        tokens of each sequence; lift: from ``encode_lift``; scene_of: (B,) row of each instance's
        scene branch, -1 = none, or the plan made of it (``None`` = all independent).
        """
        plan = SceneContext.of(scene_of) if isinstance(scene_of, Tensor) else scene_of
        plans = self.plans(plan, self.config.scene_context_range)
        return self.from_guess(x, t, context, lift, plans)

    def from_guess(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        lift: Lift | None,
        plans: Sequence[AttentionPlan | None],
    ) -> Tensor:
        """Velocity (B, channels, R, R, R): what the lift's guess says, and what the transformer,
        with every block's plan, adds to it.
        """
        contexts = [context.to(matrix_dtype(self.blocks))] * len(self.blocks)
        modulations = self.modulations(t)
        if lift is None:
            return self.velocity(x, modulations, contexts, plans)
        tokens, guess, _ = lift
        velocity = self.velocity(x, modulations, contexts, plans, tokens)
        return velocity + guess_velocity(x, t, guess, self.config.guess_variance)

    def velocity(
        self,
        x: Tensor,
        modulations: Sequence[Tensor],
        contexts: Sequence[Tensor | Context],
        plans: Sequence[AttentionPlan | None],
        lift_tokens: Tensor | None = None,
    ) -> Tensor:
        """What the transformer says, from the modulation, context and attention plan of every
        block.
        """
        c = self.config
        h = self.input_layer(to_tokens(space_to_depth(x, c.patch))) + self.pos_emb
        if lift_tokens is not None:
            h = h + lift_tokens
        h = h.to(matrix_dtype(self.blocks))
        for block, *given in zip(self.blocks, modulations, contexts, plans):
            h = block(h, *given)
        h = self.out_layer(without_weights(h.float()))
        return depth_to_space(to_grid(h, (c.resolution // c.patch,) * 3), c.patch)
