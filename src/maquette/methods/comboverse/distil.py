"""Score distillation of a layout: what a text-to-image model thinks of random views of placed
meshes, given a prompt (ComboVerse, 3.3).

In the flow: ``arrange`` moves the meshes and calls this for a second loss, beside that of the
photo's own view; views are drawn by ``soft`` and judged by ``flow.distillation``. Views stay
within AZIMUTH of the photo's, because left and right are the photo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.flow.distillation import sds_loss
from maquette.methods.comboverse.arrange import MeshParts
from maquette.methods.comboverse.soft import soft_render
from maquette.models.image_prior import ImagePrior
from maquette.models.words import spatial_words
from maquette.render.preview import orbit_cameras
from maquette.types import Camera

GAIN = 25.0  # of the paper, on the attention to spatial words
STEPS = (800, 900)  # of the paper: late steps decide layout, not texture
# of random views: to each side of the photo's; above the floor
AZIMUTH = np.deg2rad(45.0)
ELEVATION = np.deg2rad((5.0, 40.0))
GROUND = 0.5  # grey behind the objects, as the embedded model has seen it
SHARPNESS = 2.0  # per pixel


@dataclass(frozen=True, eq=False)
class Distillation:
    """A loss of placed vertices for ``arrange``; each call draws new views and new noise."""

    prior: ImagePrior
    parts: MeshParts
    prompt: str
    gain: Tensor | None  # (L,) of the attention to each word; None = plain SDS
    views: int  # per call
    guidance: float
    generator: torch.Generator

    def __call__(self, vertices: Tensor, iteration: int) -> Tensor:
        """The loss of vertices (V, 3) of the parts in the scene."""
        drawn = partial(
            soft_render,
            vertices,
            self.parts.faces,
            self.parts.colours,
            sharpness=SHARPNESS,
            background=torch.full((3,), GROUND),
            face_instance=self.parts.face_instance,
        )
        cameras = self.cameras(vertices.detach().double().numpy())
        colours = torch.stack([drawn(camera).colour for camera in cameras]).movedim(-1, 1)
        return sds_loss(
            self.prior,
            colours,
            self.prompt,
            generator=self.generator,
            gain=self.gain,
            steps=STEPS,
            guidance=self.guidance,
        )

    def cameras(self, points: np.ndarray) -> list[Camera]:
        """Random views that hold all points (V, 3) of a view-centric frame."""
        draws = torch.rand(self.views, 2, generator=self.generator, dtype=torch.float64).numpy()
        low, high = ELEVATION
        size = self.prior.size
        return [
            orbit_cameras(points, [AZIMUTH * (2 * a - 1)], size, size, low + (high - low) * e)[0]
            for a, e in draws
        ]


@torch.no_grad()
def spatial_gain(prior: ImagePrior, prompt: str) -> Tensor:
    """(L,) GAIN at the spatial words of a prompt ("on", "in front of"), 1 elsewhere."""
    flags = torch.tensor(spatial_words(prior.words(prompt)), dtype=torch.float32)
    gain = torch.ones(prior.context([prompt]).shape[1])
    gain[: len(flags)] += (GAIN - 1) * flags
    return gain
