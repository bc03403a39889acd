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

from maquette.errors import InputError
from maquette.geometry.gaussians import Gaussians
from maquette.output import atomic_write

NAMES = (
    "x",
    "y",
    "z",
    "nx",
    "ny",
    "nz",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
)
Z_UP_TO_Y_UP = (0.5**0.5, -(0.5**0.5), 0.0, 0.0)  # quaternion: (x, y, z) -> (x, z, -y), as our GLB
RELEASED_TURN = (
    0.5**0.5,
    0.5**0.5,
    0.0,
    0.0,
)  # (x, y, z) -> (x, -z, y): TRELLIS's own PLY files, whose up is -y


def encode_gaussian_ply(gaussians: Gaussians) -> bytes:
    """The content of the file."""
    opacity = gaussians.opacities.double().clamp(1e-7, 1 - 1e-7)
    columns = np.zeros((len(gaussians), len(NAMES)), "<f4")
    parts = {
        0: gaussians.positions,
        6: gaussians.harmonics,
        9: (opacity / (1 - opacity)).log()[:, None],
        10: gaussians.scales.log(),
        13: gaussians.rotations,
    }
    for first, values in parts.items():
        columns[:, first : first + values.shape[1]] = values.float().cpu().numpy()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(columns)}",
        *(f"property float {name}" for name in NAMES),
    ]
    return ("\n".join([*header, "end_header"]) + "\n").encode("ascii") + columns.tobytes()


def decode_gaussian_ply(data: bytes, name: str = "the file") -> Gaussians:
    """The inverse of ``encode_gaussian_ply``. Raises InputError for PLY files with other columns."""
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii", "replace").split("\n")
    found = tuple(line.split()[-1] for line in lines if line.startswith("property float"))
    counts = [int(line.split()[-1]) for line in lines if line.startswith("element vertex")]
    if found != NAMES or len(counts) != 1 or len(body) != 4 * len(NAMES) * counts[0]:
        raise InputError(
            f"{name} is no PLY of Gaussians with degree-0 colours; expected the columns {' '.join(NAMES)}, complete"
        )
    rows = torch.from_numpy(np.frombuffer(body, "<f4").reshape(-1, len(NAMES)).copy())
    return Gaussians(
        rows[:, :3], rows[:, 10:13].exp(), rows[:, 13:17], rows[:, 9].sigmoid(), rows[:, 6:9]
    )


def write_gaussian_ply(path: str | Path, gaussians: Gaussians) -> Path:
    """Write the file; it appears under its name only when complete. Raises OutputError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(encode_gaussian_ply(gaussians))
    return Path(path)
