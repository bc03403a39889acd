"""Random views: a function of the generator alone, and of the compositions that were asked for."""

import numpy as np

from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.views import ViewConfig
from maquette.train.sources import RandomViews, scene_config
from tests.train.worlds import solids


def test_a_view_depends_on_its_generator_only():
    source = RandomViews(
        Catalogue.of(AssetList(tuple(solids()))), scene_config("random"), ViewConfig(size=48)
    )
    a, b, c = (source(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.depth, b.depth)
        and not np.array_equal(a.image, c.image)
    )


def test_names_of_compositions():
    assert scene_config("rooms").mix == (("room", 1.0),) and scene_config("random").mix == (
        ("random", 1.0),
    )
    assert len(scene_config("mixed").mix) > 2
