"""A body of revolution: the solid between level discs about an axis.

In the flow: made by ``profile``, one kind of known shape (``shapes``, which tells what all of them
say). Shapes of arrays: N rays or points, M heights of a profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maquette.geometry.transforms import from_upright

STEPS = 48  # along a ray, for the first place inside
ROUND = 16  # points of a rim
LID = 0.02  # of the height; nearer to the upper end is its lid


@dataclass(frozen=True, eq=False)
class TurnedBody:
    """A solid between two discs about an axis at distance 1 from the eye, which is upright in the
    body's own axes.
    """

    axis: np.ndarray  # (2,) x and z
    heights: np.ndarray  # (M,) ascending
    radii: np.ndarray  # (M,)
    own_from_level: np.ndarray  # (3, 3) rotation by which it leans

    @property
    def rims(self) -> np.ndarray:
        """(M * ROUND, 3) of its discs."""
        turns = np.linspace(0.0, 2 * np.pi, ROUND, endpoint=False)
        x = self.axis[0] + self.radii[:, None] * np.cos(turns)
        z = self.axis[1] + self.radii[:, None] * np.sin(turns)
        y = np.broadcast_to(self.heights[:, None], x.shape)
        return np.stack([x, y, z], axis=-1).reshape(-1, 3)

    @property
    def width(self) -> float:
        """Of its widest disc."""
        return float(2 * self.radii.max())

    def on_lid(self, heights: np.ndarray) -> np.ndarray:
        """(N,) bool: whether heights (N,) of its surface are of the disc that closes it above."""
        return self.heights[-1] - heights < LID * np.ptp(self.heights)

    def mirror_angles(self, towards: float) -> tuple[float, ...]:
        """Of the plane that faces the eye."""
        return (towards,)

    @property
    def slimness(self) -> float:
        """Height over width."""
        return float(np.ptp(self.heights) / max(2 * self.radii.max(), 1e-12))

    @cached_property
    def _steepness(self) -> np.ndarray:
        """(M,) distance from the surface over that along the radius."""
        if len(self.heights) < 2:
            return np.ones(len(self.heights))
        return 1.0 / np.hypot(1.0, np.gradient(self.radii, self.heights))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) about how far points (N, 3) in its own axes are outside of it; negative inside."""
        height = points[:, 1]
        radius = np.linalg.norm(points[:, [0, 2]] - self.axis, axis=1)
        off = radius - np.interp(height, self.heights, self.radii)
        aside = off * np.interp(height, self.heights, self._steepness)
        beyond = np.maximum(self.heights[0] - height, height - self.heights[-1])
        return np.maximum(aside, beyond)

    def first_met(self, rays: np.ndarray) -> np.ndarray:
        """(N,) multiples of level rays (N, 3) at which they enter; inf where they do not."""
        rays = rays @ self.own_from_level.T
        level = np.maximum(from_upright(rays), 1e-9)
        reach = 1.01 * self.radii.max()
        steps = np.linspace(1.0 - reach, 1.0 + reach, STEPS)
        at = steps / level[:, None]
        places = at[..., None] * rays[:, None]
        off = self.distance(places.reshape(-1, 3)).reshape(at.shape)
        first = (off < 0).argmax(1)[:, None]
        both = np.concatenate([first, np.maximum(first - 1, 0)], axis=1)
        here, there = np.take_along_axis(off, both, 1).T
        near, nearer = np.take_along_axis(at, both, 1).T
        share = np.clip(here / np.minimum(here - there, -1e-12), 0.0, 1.0)
        return np.where(here < 0, near + share * (nearer - near), np.inf)
