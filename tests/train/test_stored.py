"""Stored views: the same views that sequential reading gives, picked at random and reproducibly."""

import dataclasses

import numpy as np
import pytest

from maquette.data.shards import ShardConfig, build_shards, read_shards
from maquette.data.views import ViewConfig
from maquette.errors import InputError
from maquette.train.stored import StoredViews
from tests.data.toys import Toys


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    build_shards(
        Toys.many(), folder, ShardConfig(scenes=3, views=2, per_shard=2, view=ViewConfig(size=48))
    )
    return folder


def test_random_access_equals_sequential_reading(shards):
    expected = [view for sample in read_shards(shards) for view in sample.views]
    stored = StoredViews.open(shards)
    assert len(stored) == 3
    rng = np.random.default_rng(0)
    for _ in range(6):
        view = stored(rng)
        match = [e for e in expected if np.array_equal(e.image, view.image)]
        assert (
            match
            and np.array_equal(match[0].depth, view.depth)
            and np.array_equal(match[0].instance, view.instance)
        )
        np.testing.assert_array_equal(
            match[0].placements[0].world_from_asset, view.placements[0].world_from_asset
        )


def test_the_same_generator_state_gives_the_same_view(shards):
    stored = StoredViews.open(shards)
    a = stored(np.random.default_rng(5))
    b = stored(np.random.default_rng(5))
    assert np.array_equal(a.image, b.image)


def test_without_geometry_the_rest_is_the_same(shards):
    """The same draws give the same view; only what costs most to read is missing."""
    stored = StoredViews.open(shards)
    plain = dataclasses.replace(stored, geometry=False)
    one = np.random.default_rng(3)
    two = np.random.default_rng(3)
    for _ in range(4):
        full = stored(one)
        bare = plain(two)
        assert np.array_equal(full.image, bare.image) and np.array_equal(
            full.instance, bare.instance
        )
        assert (
            np.array_equal(full.camera.position, bare.camera.position)
            and full.ground_height == bare.ground_height
        )
        assert (
            np.isfinite(full.depth).any()
            and np.isinf(bare.depth).all()
            and full.normal.any()
            and not bare.normal.any()
        )
        assert bare.depth.shape == full.depth.shape and bare.normal.dtype == full.normal.dtype


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="maquette data build"):
        StoredViews.open(tmp_path)


def test_scenes_of_some_kinds_only(shards):
    kinds = [sample.kind for sample in read_shards(shards)]
    for kind in set(kinds):
        assert len(StoredViews.open(shards, {kind})) == kinds.count(kind)
    assert len(StoredViews.open(shards, set(kinds))) == len(kinds)
    with pytest.raises(InputError, match="no scenes of kind ballroom"):
        StoredViews.open(shards, {"ballroom"})
