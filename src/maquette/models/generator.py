"""The generator: the structure flow together with the encoder of the picture tokens it attends to.

In the flow: crops and lifted grids -> velocity of the latents. One set of weights serves single
instances in their own cube and, with scene-context attention, all instances of a scene in the
scene's cube (I-Scene, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.models.image_encoder import PictureEncoder, PictureEncoderConfig
from maquette.models.structure_flow import Lift, StructureFlow, StructureFlowConfig
from maquette.models.volume_vae import VolumeVAE


@dataclass(frozen=True)
class GeneratorConfig:
    """Both networks' sizes, and the axes of what they make."""

    flow: StructureFlowConfig = field(default_factory=StructureFlowConfig)
    picture: PictureEncoderConfig = field(default_factory=PictureEncoderConfig)
    # or "canonical": the data's own azimuth (ablation); scene/azimuth.py turns its volumes to the
    # view
    frame: str = "view-centric"


@dataclass(frozen=True, eq=False)
class Condition:
    """What B sequences know of their picture, encoded once for all steps."""

    context: Tensor  # (B, M, context width)
    lift: (
        Lift | None
    )  # tokens (B, L, C), guessed latent (B, channels, R, R, R), guessed volume (B, 4, G, G, G)


class Generator(nn.Module):
    """StructureFlow + PictureEncoder; see the module docstring."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.flow = StructureFlow(config.flow)
        self.picture = PictureEncoder(config.picture)

    def encode(self, crops: Tensor, lifted: Tensor | None, vae: VolumeVAE) -> Condition:
        """Crops (B, 5, S, S) and lifted grids (B, lift_channels, G, G, G) -> what every step of the
        sampler needs.
        """

        def encode_volume(volume: Tensor) -> Tensor:
            size = (vae.config.resolution,) * 3
            return vae.encode(
                F.interpolate(volume, size=size, mode="trilinear", align_corners=False)
            )

        return Condition(
            self.picture(crops),
            None if self.flow.lift is None else self.flow.encode_lift(lifted, encode_volume),
        )

    def forward(
        self, x: Tensor, t: Tensor, condition: Condition, scene_of: Tensor | None = None
    ) -> Tensor:
        """Velocity (B, channels, R, R, R); see StructureFlow."""
        return self.flow(x, t, condition.context, condition.lift, scene_of)

    def velocity(self, condition: Condition, scene_of: Tensor | None = None):
        """The function of (x_t, t) that samplers integrate."""
        return lambda x, t: self.forward(
            x, torch.full((x.shape[0],), t, device=x.device, dtype=x.dtype), condition, scene_of
        )
