"""What the photo does not show of an object, by regression: a U-Net over the lifted grid, with
attention between all of its cells.

In the flow: lifted grid + the lift's first guess -> a better and finer guess of the volume, around
which the flow samples (models/structure_flow.py). Convolutions alone see a neighbourhood; the rear
of a thing is told by its front, far away in the grid, so the coarser levels attend to everything.
Shapes: B rows, C channels, G cells a side of the lifted grid, R = 2 G of the volume.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.blocks import (
    ChannelNorm,
    ResBlock3d,
    TransformerBlock,
    depth_to_space,
    space_to_depth,
    to_grid,
    to_tokens,
)
from maquette.nn.embeddings import grid_position_embedding
from maquette.nn.layers import zero_init

FOLD = 2  # cells a side of the lifted grid that are folded into channels
BLOCKS = 4  # of attention at the coarsest level
HEAD_WIDTH = 32  # channels of an attention head


class Everywhere(nn.Module):
    """Transformer blocks between all cells of a grid."""

    positions: Tensor  # (L, C)

    def __init__(self, width: int, blocks: int, resolution: int):
        super().__init__()
        positions = grid_position_embedding(resolution, width)
        self.register_buffer("positions", positions, persistent=False)
        heads = max(1, width // HEAD_WIDTH)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, X, X) -> the same."""
        tokens = to_tokens(x) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return to_grid(tokens, x.shape[2:])


class Completion(nn.Module):
    """Lifted grid and first guess -> volume; see the module docstring. It starts as the guess
    itself.
    """

    def __init__(
        self,
        channels_in: int,
        volume_channels: int,
        resolution: int,
        fine: int,
        middle: int,
        coarse: int,
    ):
        """channels_in: of lifted grid and guess; resolution: of the lifted grid, at half, a fourth
        and an eighth of which there are ``fine``, ``middle`` and ``coarse`` channels.
        """
        super().__init__()
        fourth, eighth = resolution // 4, resolution // 8
        self.stem = nn.Conv3d(channels_in * FOLD**3, fine, 1)
        self.fine_in = ResBlock3d(fine)
        self.to_middle = nn.Conv3d(fine, middle, 2, stride=2)
        self.middle_in = nn.Sequential(ResBlock3d(middle), Everywhere(middle, 1, fourth))
        self.to_coarse = nn.Conv3d(middle, coarse, 2, stride=2)
        self.coarse = Everywhere(coarse, BLOCKS, eighth)
        self.from_coarse = nn.Conv3d(coarse, 8 * middle, 1)
        self.middle_join = nn.Conv3d(2 * middle, middle, 1)
        self.middle_out = nn.Sequential(Everywhere(middle, 1, fourth), ResBlock3d(middle))
        self.from_middle = nn.Conv3d(middle, 8 * fine, 1)
        self.fine_join = nn.Conv3d(2 * fine, fine, 1)
        self.fine_out = nn.Sequential(ResBlock3d(fine), ChannelNorm(fine), nn.SiLU())
        self.volume = zero_init(nn.Conv3d(fine, volume_channels * (2 * FOLD) ** 3, 1))

    def forward(self, lifted: Tensor, guess: Tensor) -> Tensor:
        """Lifted grids (B, lift_channels, G, G, G) and guesses (B, volume_channels, G, G, G) ->
        volumes (B, volume_channels, 2 G, 2 G, 2 G).
        """
        fine = self.fine_in(self.stem(space_to_depth(torch.cat([lifted, guess], dim=1), FOLD)))
        middle = self.middle_in(self.to_middle(fine))
        deep = depth_to_space(self.from_coarse(self.coarse(self.to_coarse(middle))), 2)
        middle = self.middle_out(self.middle_join(torch.cat([middle, deep], dim=1)))
        wide = depth_to_space(self.from_middle(middle), 2)
        fine = self.fine_out(self.fine_join(torch.cat([fine, wide], dim=1)))
        more = depth_to_space(self.volume(fine), 2 * FOLD)
        return F.interpolate(guess, scale_factor=2, mode="trilinear") + more
