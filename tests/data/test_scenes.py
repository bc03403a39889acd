import math
import time

import numpy as np
import pytest

from maquette.data.catalogue import Catalogue
from maquette.data.layout import LayoutConfig, Placement
from maquette.data.rooms import compose_room
from maquette.data.scenes import (
    ComposedScene,
    SceneConfig,
    compose_duplicates,
    compose_random,
    compose_small_on_large,
    compose_tabletop,
    merge_geometry,
    placed_vertices,
)
from tests.data.collisions import collisions
from tests.data.toys import Toy, Toys


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


def test_the_collision_check_sees_a_collision(catalogue: Catalogue) -> None:
    scene = ComposedScene((Placement(1, np.eye(4)), Placement(2, np.eye(4))), "test")
    assert collisions(scene, catalogue) == 1


def test_the_number_of_objects_keeps_to_the_limits(catalogue: Catalogue) -> None:
    config = SceneConfig(layout=LayoutConfig(count=(3, 5)))
    rng = np.random.default_rng(13)
    counts = {len(compose_random(catalogue, rng, config).placements) for _ in range(60)}
    assert max(counts) == 5 and min(counts) >= 2


def test_duplicates_are_copies_of_one_size(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(14)
    for _ in range(50):
        scene = compose_duplicates(catalogue, rng)
        sizes = [
            round(float(np.linalg.norm(p.world_from_asset[:3, 0])), 6) for p in scene.placements
        ]
        pairs = list(zip([p.asset for p in scene.placements], sizes))
        assert max(pairs.count(pair) for pair in pairs) >= 2


def test_small_objects_stand_on_large_ones(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(15)
    lifted = [
        sum(
            p.world_from_asset[1, 3]
            - 0.5 * np.linalg.norm(p.world_from_asset[:3, 0]) * catalogue.extents[p.asset, 1]
            > 0.05
            for p in s.placements
        )
        for s in (compose_small_on_large(catalogue, rng) for _ in range(40))
    ]
    assert np.mean([count > 0 for count in lifted]) > 0.9


def test_random_scenes_are_composed_in_milliseconds(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(17)
    started = time.process_time()
    for _ in range(100):
        compose_random(catalogue, rng)
    assert (time.process_time() - started) / 100 < 0.02


def test_merged_geometry_is_every_object_where_it_was_placed(catalogue: Catalogue) -> None:
    scene = compose_room(catalogue, np.random.default_rng(18))
    merged = merge_geometry(scene, catalogue)
    for index, placement in enumerate(scene.placements):
        part = slice(merged.starts[index], merged.starts[index + 1])
        assert np.array_equal(merged.vertices[part], placed_vertices(catalogue, placement))
        own = merged.faces[merged.face_instance == index]
        assert own.min() >= part.start and own.max() < part.stop
        assert np.array_equal(own - part.start, catalogue.asset(placement.asset).faces)
    assert scene.shell is not None and (merged.face_instance == -1).sum() == len(scene.shell.faces)
    lengths = np.linalg.norm(merged.normals[: merged.starts[-1]], axis=1)
    assert math.isclose(lengths.min(), 1.0, abs_tol=1e-4) and math.isclose(
        lengths.max(), 1.0, abs_tol=1e-4
    )


def test_assets_that_are_not_quite_centred_do_not_sink_into_each_other() -> None:
    off = [
        Toy(a.name, a.vertices + np.float32([3e-4, -5e-4, 2e-4]) * (-1) ** k, a.faces, a.colors)
        for k, a in enumerate(Toys.many().assets)
    ]
    catalogue = Catalogue.of(Toys(tuple(off)))
    rng = np.random.default_rng(19)
    for composed in (compose_small_on_large, compose_tabletop):
        scenes = [composed(catalogue, rng) for _ in range(30)]
        assert not any(collisions(scene, catalogue) for scene in scenes)
