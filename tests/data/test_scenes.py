import itertools
import math
import time

import numpy as np
import pytest

from maquette.data.layout import Catalogue, LayoutConfig, Placement, convex_hull
from maquette.data.scenes import (
    ComposedScene,
    SceneConfig,
    compose,
    compositions,
    merge_geometry,
    placed_vertices,
)
from tests.data.toys import Toy, Toys, toy
from tests.data.toys import trimesh as t

KINDS = ("random", "small-on-large", "duplicates", "dense", "tabletop", "room")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


def footprints_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two convex outlines (K, 2) have a separating line along an edge of either: the
    separating axis theorem.
    """
    for edges in (np.roll(a, -1, axis=0) - a, np.roll(b, -1, axis=0) - b):
        axes = np.stack([-edges[:, 1], edges[:, 0]])
        first = a @ axes
        second = b @ axes
        if ((first.max(0) <= second.min(0) + 1e-6) | (second.max(0) <= first.min(0) + 1e-6)).any():
            return True
    return False


def collisions(scene: ComposedScene, catalogue: Catalogue) -> int:
    """Pairs of objects whose heights and whose convex outlines from above both overlap."""
    placed = [placed_vertices(catalogue, p).astype(np.float64) for p in scene.placements]
    heights = [(v[:, 1].min(), v[:, 1].max()) for v in placed]
    outlines = [convex_hull(v[:, [0, 2]]) for v in placed]
    return sum(
        heights[i][0] < heights[j][1] - 1e-5
        and heights[j][0] < heights[i][1] - 1e-5
        and not footprints_apart(outlines[i], outlines[j])
        for i, j in itertools.combinations(range(len(placed)), 2)
    )


def test_the_collision_check_sees_a_collision(catalogue: Catalogue) -> None:
    assert (
        collisions(
            ComposedScene((Placement(1, np.eye(4)), Placement(2, np.eye(4))), "test"), catalogue
        )
        == 1
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_objects_intersect_and_all_are_supported(kind: str, catalogue: Catalogue) -> None:
    rng = np.random.default_rng(10)
    for _ in range(60):
        scene = compositions()[kind](catalogue, rng, SceneConfig())
        assert 2 <= len(scene.placements) <= 12
        assert collisions(scene, catalogue) == 0
        boxes = [placed_vertices(catalogue, p) for p in scene.placements]
        tops = [0.0] + [float(v[:, 1].max()) for v in boxes]
        for vertices in boxes:  # the floor or the top of another object is right below
            assert min(abs(float(vertices[:, 1].min()) - top) for top in tops) < 1e-5


def test_the_mix_decides_what_is_composed(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(11)
    config = SceneConfig(mix=(("dense", 1.0), ("room", 3.0)))
    kinds = [compose(catalogue, rng, config).kind for _ in range(200)]
    assert set(kinds) == {"dense", "room"} and 0.6 < kinds.count("room") / 200 < 0.9


def test_scenes_depend_on_the_generator_only(catalogue: Catalogue) -> None:
    first, second = (compose(catalogue, np.random.default_rng(12)) for _ in range(2))
    assert [p.asset for p in first.placements] == [p.asset for p in second.placements]
    assert all(
        np.array_equal(a.world_from_asset, b.world_from_asset)
        for a, b in zip(first.placements, second.placements)
    )


def test_the_number_of_objects_keeps_to_the_limits(catalogue: Catalogue) -> None:
    config = SceneConfig(layout=LayoutConfig(count=(3, 5)))
    rng = np.random.default_rng(13)
    counts = {len(compositions()["random"](catalogue, rng, config).placements) for _ in range(60)}
    assert max(counts) == 5 and min(counts) >= 2


def test_duplicates_are_copies_of_one_size(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(14)
    for _ in range(50):
        scene = compositions()["duplicates"](catalogue, rng, SceneConfig())
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
        for s in (
            compositions()["small-on-large"](catalogue, rng, SceneConfig()) for _ in range(40)
        )
    ]
    assert np.mean([count > 0 for count in lifted]) > 0.9


def test_a_library_without_tables_still_composes_everything() -> None:
    balls = Catalogue.of(
        Toys(
            (
                toy(t.creation.icosphere(1), "ball"),
                toy(t.creation.cone(0.4, 1.0), "cone", upright=True),
            )
        )
    )
    for kind in KINDS:
        assert (
            len(compositions()[kind](balls, np.random.default_rng(16), SceneConfig()).placements)
            >= 2
        )


def test_random_scenes_are_composed_in_milliseconds(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(17)
    started = time.process_time()
    for _ in range(100):
        compositions()["random"](catalogue, rng, SceneConfig())
    assert (time.process_time() - started) / 100 < 0.02


def test_merged_geometry_is_every_object_where_it_was_placed(catalogue: Catalogue) -> None:
    scene = compositions()["room"](catalogue, np.random.default_rng(18), SceneConfig())
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
    for kind in ("small-on-large", "tabletop"):
        assert not sum(
            collisions(compositions()[kind](catalogue, rng, SceneConfig()), catalogue)
            for _ in range(30)
        )
