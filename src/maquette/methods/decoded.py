"""Meshes as the decoders of published models give them: of a vector set's field, and with vertex
colours.

In the flow: latents of a published model -> meshes in its own upright cube; ``stages.viewpoint``
brings them into the scene frame.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor

from maquette.document.appearance import opaque
from maquette.models.midi3d import decode_field
from maquette.models.vecset_vae import VecSetVAE
from maquette.stages.decode import drop_specks

CELLS = 256  # along the side of the grid on which a field is asked


def coloured_mesh(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray | None = None
) -> trimesh.Trimesh:
    """A mesh from vertices (V, 3), faces (F, 3) and sRGB colours (V, 3) in [0, 1]; grey without
    colours.
    """
    grey = np.full((len(vertices), 3), 128)
    rgba = opaque(grey if colours is None else np.clip(255.0 * colours + 0.5, 0, 255))
    placed = np.asarray(vertices, np.float64)
    return trimesh.Trimesh(placed, faces, vertex_colors=rgba, process=False)


def field_mesh(
    vae: VecSetVAE,
    latent: Tensor,
    cells: int = CELLS,
    points: int = 65536,
) -> trimesh.Trimesh | None:
    """The surface of one latent (L, channels), in the release's cube of about [-1, 1]^3; None when
    there is none.

    As in the release the field is averaged over 3^3 grid points first. points: how many are asked
    at once.
    """
    field, grid = decode_field(vae, latent, cells, chunk=points)
    padded = F.pad(field.values.float()[None, None], (1,) * 6, mode="replicate")
    values = F.avg_pool3d(padded, 3, stride=1)[0, 0].cpu().numpy()
    del field, padded
    outside = max(float(values.max()), -float(values.min()), 1e-3)
    inner = values[1:-1, 1:-1, 1:-1]
    rim = np.pad(inner, 1, constant_values=outside)  # closed at the cube's faces
    del values, inner
    if not (rim < 0).any():
        return None
    vertices, faces, _, _ = marching_cubes(rim, level=0.0, gradient_direction="descent")
    low = np.array(grid.low)
    sides = np.array(grid.high) - low
    return coloured_mesh(*drop_specks(low + vertices / cells * sides, faces))
