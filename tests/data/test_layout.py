import math
import time

import numpy as np
import pytest
import trimesh

from maquette.data.catalogue import Catalogue
from maquette.data.layout import (
    LayoutConfig,
    layout_on_floor,
    placed_asset,
    poisson_discs,
    stack_on,
)
from maquette.data.polygons import distance_to_edges, inside_polygon
from tests.data.toys import Toys, toy


def test_discs_never_meet_and_keep_the_gap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        radii = rng.uniform(0.05, 1.0, int(rng.integers(2, 40)))
        gap = float(rng.uniform(0.0, 0.5))
        centres = poisson_discs(radii, gap, rng)
        distance = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(
            np.full(len(radii), np.inf)
        )
        assert (distance >= radii[:, None] + radii + gap - 1e-12).all()


def test_the_region_grows_until_discs_fit_and_stays_dense() -> None:
    radii = np.full(60, 0.5)
    centres = poisson_discs(radii, 0.0, np.random.default_rng(1), attempts=3)
    span = np.ptp(centres, axis=0).max() + 1.0
    assert 60 * math.pi * 0.25 < span**2 < 8 * 60 * math.pi * 0.25


def test_discs_depend_on_the_generator_only() -> None:
    radii = np.linspace(1.0, 0.2, 9)
    first, second, other = (poisson_discs(radii, 0.1, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first, second) and not np.allclose(first, other)


def test_placed_objects_stand_on_their_height_and_turn_about_the_vertical() -> None:
    cube = toy(trimesh.creation.box((1.0, 0.5, 0.25)))
    placement = placed_asset(Catalogue.of(Toys((cube,))), 0, 2.0, 0.7, (3.0, 1.0, -2.0))
    world = cube.vertices @ placement.world_from_asset[:3, :3].T + placement.world_from_asset[:3, 3]
    assert world[:, 1].min() == pytest.approx(1.0) and np.ptp(world[:, 1]) == pytest.approx(1.0)
    assert np.allclose(world.mean(0)[[0, 2]], [3.0, -2.0], atol=1e-6)
    assert np.allclose(placement.world_from_asset[[0, 1, 2], 1], [0.0, 2.0, 0.0])


def test_floor_layouts_do_not_intersect_and_take_milliseconds() -> None:
    catalogue = Catalogue.of(Toys.many())
    rng = np.random.default_rng(2)
    started = time.process_time()
    for _ in range(100):
        count = int(rng.integers(2, 13))
        assets = rng.integers(0, len(catalogue), count)
        sizes = rng.uniform(0.3, 1.2, count)
        placed = layout_on_floor(catalogue, assets, sizes, rng, LayoutConfig())
        centres = np.array([p.world_from_asset[[0, 2], 3] for p in placed])
        radii = catalogue.radii[assets] * sizes
        distance = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(
            np.full(count, np.inf)
        )
        assert (distance >= radii[:, None] + radii - 1e-9).all()
        assert [p.asset for p in placed] == assets.tolist()
    assert (time.process_time() - started) / 100 < 0.02


def test_stacked_objects_stay_within_the_top_and_apart() -> None:
    catalogue = Catalogue.of(Toys.many())
    rng = np.random.default_rng(6)
    for _ in range(100):
        table = placed_asset(catalogue, 0, 1.5, float(rng.uniform(-3, 3)), (1.0, 0.0, -2.0))
        assets = rng.integers(0, len(catalogue), int(rng.integers(1, 8)))
        stacked = stack_on(catalogue, table, assets, rng)
        assert 1 <= len(stacked) <= len(assets)
        corners = (
            catalogue.top(0) @ table.world_from_asset[np.ix_([0, 2], [0, 2])].T
            + table.world_from_asset[[0, 2], 3]
        )
        centres = np.array([p.world_from_asset[[0, 2], 3] for p in stacked])
        radii = np.array(
            [catalogue.radii[p.asset] * np.linalg.norm(p.world_from_asset[:3, 0]) for p in stacked]
        )
        assert (
            inside_polygon(centres, corners).all()
            and (distance_to_edges(centres, corners) >= radii - 1e-9).all()
        )
        distance = np.linalg.norm(centres[:, None] - centres, axis=-1) + np.diag(
            np.full(len(radii), np.inf)
        )
        assert (distance >= radii[:, None] + radii - 1e-9).all()
        bottoms = [
            p.world_from_asset[1, 3]
            - 0.5 * p.world_from_asset[1, 1] * catalogue.extents[p.asset, 1]
            for p in stacked
        ]
        assert np.allclose(bottoms, 1.5 * catalogue.extents[0, 1])


def test_a_single_stacked_object_is_anchored_at_the_centroid() -> None:
    catalogue = Catalogue.of(Toys.many())
    table = placed_asset(catalogue, 0, 1.5, 0.3, (1.0, 0.0, -2.0))
    (only,) = stack_on(catalogue, table, np.array([2]), np.random.default_rng(7))
    assert np.allclose(only.world_from_asset[[0, 2], 3], (1.0, -2.0), atol=5e-3)
