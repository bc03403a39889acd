import numpy as np
import pytest

from maquette.data.catalogue import Catalogue
from maquette.data.compose import compose, compositions
from maquette.data.scenes import SceneConfig, placed_vertices
from tests.data.collisions import collisions
from tests.data.toys import Toys, toy
from tests.data.toys import trimesh as t

KINDS = ("random", "small-on-large", "duplicates", "dense", "tabletop", "room")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


def test_every_kind_of_the_default_mix_is_known() -> None:
    assert tuple(compositions()) == KINDS == tuple(kind for kind, _ in SceneConfig().mix)


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
