"""Gaussian splats as PLY, in the layout that viewers of 3D Gaussian splatting read (Kerbl et al.
2023): x y z, normals (zero), f_dc_0..2, opacity before the sigmoid, log scales, and rotations (w,
x, y, z), all float32.

In the flow: decoded Gaussians -> this file -> any splat viewer. The frame is that of the Gaussians;
turn them first (``rotated``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from maquette.document.ply import encode_vertices
from maquette.errors import InputError
from maquette.geometry.gaussians import Gaussians
from maquette.output import write_files

POSITION = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
COLOUR = ("f_dc_0", "f_dc_1", "f_dc_2")
SCALE = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
NAMES = (*POSITION, *NORMAL, *COLOUR, "opacity", *SCALE, *ROTATION)
FLOAT = np.dtype("<f4")
# Quaternions that turn: (x, y, z) -> (x, z, -y), as our GLB stands, and (x, y, z) -> (x, -z, y),
# as TRELLIS's own PLY files do, whose up is -y.
Z_UP_TO_Y_UP = (0.5**0.5, -(0.5**0.5), 0.0, 0.0)
RELEASED_TURN = (0.5**0.5, 0.5**0.5, 0.0, 0.0)


def encode_gaussian_ply(gaussians: Gaussians) -> bytes:
    """The content of the file."""
    opacity = gaussians.opacities.double().clamp(1e-7, 1 - 1e-7)
    logit = (opacity / (1 - opacity)).log()[:, None]
    normals = torch.zeros_like(gaussians.positions)
    parts = [gaussians.positions, normals, gaussians.harmonics, logit, gaussians.scales.log()]
    columns = torch.cat([part.float() for part in [*parts, gaussians.rotations]], dim=1)
    return encode_vertices(dict(zip(NAMES, columns.cpu().numpy().astype(FLOAT).T)))


def decode_gaussian_ply(data: bytes, name: str = "the file") -> Gaussians:
    """The inverse of ``encode_gaussian_ply``. InputError for PLY files with other columns."""
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii", "replace").split("\n")
    found = tuple(line.split()[-1] for line in lines if line.startswith("property float"))
    counts = [line for line in lines if line.startswith("element vertex")]
    rows_there, rest = divmod(len(body), FLOAT.itemsize * len(NAMES))
    if found != NAMES or counts != [f"element vertex {rows_there}"] or rest:
        raise InputError(
            f"{name} is no PLY of Gaussians with degree-0 colours; "
            f"expected the columns {' '.join(NAMES)}, complete"
        )
    values = np.frombuffer(body, FLOAT).reshape(-1, len(NAMES)).copy()
    rows = dict(zip(NAMES, torch.from_numpy(values).unbind(1)))

    parts = (POSITION, SCALE, ROTATION, COLOUR)
    positions, scales, rotations, colours = (
        torch.stack([rows[name] for name in part], dim=1) for part in parts
    )
    return Gaussians(positions, scales.exp(), rotations, rows["opacity"].sigmoid(), colours)


def write_gaussian_ply(path: str | Path, gaussians: Gaussians) -> Path:
    """Write the file; it appears under its name only when complete. Raises OutputError."""
    write_files({Path(path): encode_gaussian_ply(gaussians)})
    return Path(path)
