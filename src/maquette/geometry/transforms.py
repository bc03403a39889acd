"""Rigid and similarity transforms as 4x4 float64 arrays, named ``a_from_b``. First module of the
geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Real, Shaped
from numpy.random import Generator

Points = Float[np.ndarray, "N 3"]
OtherPoints = Float[np.ndarray, "M 3"]  # of a second set
# Any whole numbers: jaxtyping does not know all names of C (longlong).
Faces = Shaped[np.ndarray, "F 3"]
VerticesAndFaces = tuple[Real[np.ndarray, "_ 3"], Shaped[np.ndarray, "_ 3"]]
Vector = Sequence[float] | Real[np.ndarray, " 3"]
Matrix3 = Float[np.ndarray, "3 3"]

Transform = Float[np.ndarray, "4 4"]  # a_from_b, of column vectors


def similarity(
    scale: float = 1.0,
    rotation: Real[np.ndarray, "3 3"] | None = None,
    translation: Vector | None = None,
) -> Transform:
    """Matrix of ``x -> scale * rotation @ x + translation``."""
    matrix = np.eye(4)
    linear = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
    matrix[:3, :3] = scale * linear
    if translation is not None:
        matrix[:3, 3] = translation
    return matrix


def unit_vectors(
    vectors: Real[np.ndarray, "*any 3"], least: float = 1e-30
) -> Real[np.ndarray, "*any 3"]:
    """Vectors of length one; those shorter than ``least`` are divided by it, so zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), least)


def any_angle(rng: Generator) -> float:
    """A random turn from 0 to 2 pi."""
    return rng.uniform(0, 2 * np.pi)


def cos_and_sin(angle: Any) -> tuple[Any, Any]:
    """Of an angle, or of an array of them."""
    return np.cos(angle), np.sin(angle)


def rotation_y(angle: float) -> Matrix3:
    """Right-handed rotation about +Y by ``angle`` radians."""
    c, s = cos_and_sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_x(angle: float) -> Matrix3:
    """Right-handed rotation about +X by ``angle`` radians."""
    c, s = cos_and_sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def rotation_z(angle: float) -> Matrix3:
    """Right-handed rotation about +Z by ``angle`` radians."""
    c, s = cos_and_sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def transform_points(
    a_from_b: Transform, points: Real[np.ndarray, "*any 3"]
) -> Float[np.ndarray, "*any 3"]:
    """Map points of frame b to frame a."""
    return points @ a_from_b[:3, :3].T + a_from_b[:3, 3]


def from_upright(points: Real[np.ndarray, "N 3"]) -> Real[np.ndarray, " N"]:
    """Distances of points from the vertical axis through the origin."""
    return np.hypot(points[:, 0], points[:, 2])


def determinant(a_from_b: Transform) -> float:
    """Of the linear part: how many times larger volumes become, below 0 for a reflection."""
    return float(np.linalg.det(a_from_b[:3, :3]))


def scale_of(a_from_b: Transform) -> float:
    """The isotropic scale of a similarity: the cube root of its determinant. Negative for a
    reflection.
    """
    return float(np.cbrt(determinant(a_from_b)))
