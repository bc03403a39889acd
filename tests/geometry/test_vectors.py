"""Vectors of three numbers in compiled loops say what numpy says."""

import numpy as np

from maquette.geometry.vectors import (
    cross,
    dot,
    minus,
    over,
    plus,
    plus_scaled,
    row_of,
    squared_distance,
)

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 3))


def test_products_and_sums_are_those_of_numpy():
    a, b = tuple(A), tuple(B)
    assert np.isclose(dot(a, b), A @ B)
    assert np.allclose(cross(a, b), np.cross(A, B))
    assert np.allclose(minus(a, b), A - B)
    assert np.allclose(plus(a, b), A + B)
    assert np.allclose(plus_scaled(a, 0.3, b), A + 0.3 * B)
    assert np.allclose(over(a, 4.0), A / 4.0)
    assert np.isclose(squared_distance(a, b), np.sum((A - B) ** 2))
    assert row_of(np.stack([A, B]), 1) == tuple(B)


def test_a_cross_product_stands_upright_on_both():
    upright = cross(tuple(A), tuple(B))
    assert abs(dot(upright, tuple(A))) < 1e-12 and abs(dot(upright, tuple(B))) < 1e-12
