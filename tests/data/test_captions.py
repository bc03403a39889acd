"""The things of a view stand where its picture shows them."""

import itertools

import numpy as np

from maquette.data.captions import things_of
from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.layout import placed_asset
from maquette.data.scenes import ComposedScene
from maquette.data.views import ViewConfig, boxes_in_scene, sample_view
from maquette.geometry.cameras import project
from maquette.models.sentences import relation
from tests.train.worlds import solids


def test_things_of_a_view_are_where_the_picture_shows_them():
    """Left of is further left in the picture, in front of is nearer: by projection, an independent
    way to the same words.
    """
    catalogue = Catalogue.of(AssetList(tuple(solids())))
    agreed = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        feet = [
            (x, 0.0, z) for x, z in rng.uniform(-2, 2, (3, 2)) + np.array([[-3, 0], [3, 0], [0, 4]])
        ]
        scene = ComposedScene(
            tuple(placed_asset(catalogue, k, 1.0, 0.4 * k, foot) for k, foot in enumerate(feet)),
            "test",
        )
        view = sample_view(scene, catalogue, rng, ViewConfig(size=48, unmasked=0.0, cut=0.0))
        things = things_of(view, catalogue)
        for found, box in zip(
            things, boxes_in_scene(view, catalogue)
        ):  # boxes of turned boxes contain those of the meshes
            assert (found.box[0] <= box[0] + 1e-6).all() and (found.box[1] >= box[1] - 1e-6).all()
        middles = [project(view.camera, t.box.mean(0)) for t in things]
        for a, b in itertools.permutations(range(len(things)), 2):
            found = relation(things[a], things[b], view.camera.position)
            if found in ("to the left of", "to the right of"):
                assert (middles[a][0][0] < middles[b][0][0]) == (found == "to the left of")
            elif found in ("in front of", "behind"):
                assert (middles[a][1] < middles[b][1]) == (found == "in front of")
            agreed += found is not None
    assert agreed > 20 and {t.noun for t in things} <= {"box", "ball", "can"}
