"""One scene of any kind: all compositions by name, and a draw among them.

Above scenes.py (random layouts) and rooms.py (furnished rooms) in the flow; views, shards and
training ask here for a scene.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from maquette.data.catalogue import Catalogue, LibraryLike
from maquette.data.rooms import compose_room
from maquette.data.scenes import (
    ComposedScene,
    SceneConfig,
    compose_dense,
    compose_duplicates,
    compose_random,
    compose_small_on_large,
    compose_tabletop,
)

Composition = Callable[[LibraryLike, Generator, SceneConfig], ComposedScene]


def compose(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """One scene of a kind drawn from ``config.mix``."""
    config = config or SceneConfig()
    kinds, weights = zip(*config.mix)
    kind = str(rng.choice(kinds, p=np.array(weights) / sum(weights)))
    return compositions()[kind](Catalogue.of(library), rng, config)


def compositions() -> dict[str, Composition]:
    """Return the composition of each kind by name."""
    return {
        "random": compose_random,
        "small-on-large": compose_small_on_large,
        "duplicates": compose_duplicates,
        "dense": compose_dense,
        "tabletop": compose_tabletop,
        "room": compose_room,
    }
