"""The generator: the structure flow together with the encoder of the picture tokens it attends to.

In the flow: crops and lifted grids -> velocity of the latents. One set of weights serves single
instances in their own cube and, with scene-context attention, all instances of a scene in the
scene's cube (I-Scene, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from maquette.flow.guidance import Velocity, at_one_level
from maquette.models.image_encoder import PictureEncoder, PictureEncoderConfig
from maquette.models.structure_flow import Lift, StructureFlow, StructureFlowConfig
from maquette.models.volume_vae import VolumeVAE
from maquette.nn.attention import SceneContext


@dataclass(frozen=True)
class GeneratorConfig:
    """Both networks' sizes, and the axes of what they make."""

    flow: StructureFlowConfig = field(default_factory=StructureFlowConfig)
    picture: PictureEncoderConfig = field(default_factory=PictureEncoderConfig)
    # or "canonical": the data's own azimuth (ablation); stages/azimuth.py turns its volumes to the
    # view
    frame: str = "view-centric"
    # whose visible surface the lift of an instance branch shows; or "own" (ablation). The scene
    # branch always sees all
    instances_see: str = "all"


@dataclass(frozen=True, eq=False)
class Condition:
    """What B sequences know of their picture, encoded once for all steps."""

    context: Tensor  # (B, M, context width)
    lift: Lift | None


class Generator(nn.Module):
    """StructureFlow + PictureEncoder; see the module docstring."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.flow = StructureFlow(config.flow)
        self.picture = PictureEncoder(config.picture)

    def encode(
        self,
        crops: Tensor,
        lifted: Tensor | None,
        vae: VolumeVAE,
        zoomed: bool = False,
    ) -> Condition:
        """Crops (B, 5, S, S) and lifted grids (B, lift_channels, G, G, G) -> what every step of the
        sampler needs. zoomed: all rows are single instances in cubes of their own.
        """

        def encode_volume(volume: Tensor) -> Tensor:
            size = (vae.config.resolution,) * 3
            return vae.encode(F.interpolate(volume, size=size, mode="trilinear"))

        tokens = self.picture(crops)
        if self.flow.lift is None:
            return Condition(tokens, None)
        if lifted is None:
            raise ValueError("this model needs the lifted grid of each crop; see models/lifting.py")
        return Condition(tokens, self.flow.encode_lift(lifted, encode_volume, zoomed))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Condition,
        scene_of: Tensor | SceneContext | None = None,
    ) -> Tensor:
        """Velocity (B, channels, R, R, R); see StructureFlow."""
        return self.flow(x, t, condition.context, condition.lift, scene_of)

    def velocity(self, condition: Condition, scene_of: Tensor | None = None) -> Velocity:
        """The function of (x_t, t) that samplers integrate."""
        plan = None if scene_of is None else SceneContext.of(scene_of)
        return at_one_level(lambda x, t: self(x, t, condition, plan))
