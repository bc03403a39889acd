"""Where training data comes from: a library, views of random scenes of it, and the same of held-out
objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from maquette.data.catalogue import Catalogue
from maquette.data.compose import compose
from maquette.data.library import AssetLibrary
from maquette.data.scenes import ComposedScene, SceneConfig
from maquette.data.views import View, ViewConfig, sample_view

ViewSource = Callable[[Generator], View]  # a random view of a random scene


@dataclass(frozen=True, eq=False)
class RandomViews:
    """A picklable source of views: a random scene of the library, seen by a random camera."""

    catalogue: Catalogue
    scenes: SceneConfig
    views: ViewConfig

    def __call__(self, rng: Generator) -> View:
        """A new scene and one view of it."""
        scene: ComposedScene = compose(self.catalogue, rng, self.scenes)
        return sample_view(scene, self.catalogue, rng, self.views)


@dataclass(frozen=True, eq=False)
class Sources:
    """What a task is trained and examined on."""

    library: AssetLibrary
    # the library itself when there is no other: then the examination shows the fit only
    held_out: AssetLibrary
    views: ViewSource  # of the library
    unseen: ViewSource  # of the held-out library


def no_object(seed: int, index: int) -> RuntimeError:
    """What a data set raises that has drawn 100 views in a row without a use for one."""
    return RuntimeError(
        f"100 views in a row show no object (seed {seed}, index {index}); "
        "the view configuration is wrong"
    )


def scene_config(scenes: str) -> SceneConfig:
    """The compositions of a training set by name."""
    if scenes == "random":
        return SceneConfig(mix=(("random", 1.0),))
    if scenes == "rooms":
        return SceneConfig(mix=(("room", 1.0),))
    return SceneConfig()
