"""Vectors of three numbers for compiled loops: tuples, as an array of three would have to be
allocated, counted and freed.

Used by the kernels of geometry, render and data/illumination. Everything is inlined and written
out, so that sums have one order; precision follows the operands. Numba's caches look at the file of
a kernel only: after a change here, empty them.
"""

from __future__ import annotations

from typing import no_type_check

from numba import njit

compiled = njit(
    cache=True,
    nogil=True,
    error_model="numpy",
)  # a kernel, called from Python
inlined = njit(inline="always", error_model="numpy")  # a part of kernels


@inlined
@no_type_check
def row_of(array, row):
    """The first three numbers of a row of an array (N, 3)."""
    return array[row, 0], array[row, 1], array[row, 2]


@inlined
@no_type_check
def dot(a, b):
    """Scalar product."""
    ax, ay, az = a
    bx, by, bz = b
    return ax * bx + ay * by + az * bz


@inlined
@no_type_check
def squared_distance(a, b):
    """Of two points."""
    apart = minus(a, b)
    return dot(apart, apart)


@inlined
@no_type_check
def cross(a, b):
    """Vector product."""
    ax, ay, az = a
    bx, by, bz = b
    x = ay * bz - az * by
    y = az * bx - ax * bz
    return x, y, ax * by - ay * bx


@inlined
@no_type_check
def minus(a, b):
    """Difference."""
    ax, ay, az = a
    bx, by, bz = b
    return ax - bx, ay - by, az - bz


@inlined
@no_type_check
def plus(a, b):
    """Sum."""
    ax, ay, az = a
    bx, by, bz = b
    return ax + bx, ay + by, az + bz


@inlined
@no_type_check
def plus_scaled(a, factor, b):
    """``a`` + ``factor`` ``b``."""
    ax, ay, az = a
    bx, by, bz = b
    return ax + factor * bx, ay + factor * by, az + factor * bz


@inlined
@no_type_check
def times(a, factor):
    """Product of a vector and a number."""
    x, y, z = a
    return x * factor, y * factor, z * factor


@inlined
@no_type_check
def over(a, divisor):
    """Quotient of a vector and a number."""
    x, y, z = a
    return x / divisor, y / divisor, z / divisor


@inlined
@no_type_check
def affine(matrix, row, point):
    """One coordinate of a point under an affine map (3, 4)."""
    return dot(row_of(matrix, row), point) + matrix[row, 3]
