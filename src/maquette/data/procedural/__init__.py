"""Procedural assets: families of seeded, painted, watertight objects, so that tests, demos and
small trainings need no download.

Each family composes signed distances (`shapes`, `paints`); `meshing` turns the solid into an Asset.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maquette.data.assets import Asset
from maquette.data.procedural import creatures, furniture, household, vehicles
from maquette.data.procedural.meshing import asset_from_solid
from maquette.data.procedural.shapes import Solid
from maquette.errors import InputError

_FAMILY_FUNCTIONS: tuple[Callable[[np.random.Generator], Solid], ...] = (
    *(furniture.chair, furniture.stool, furniture.table, furniture.shelf),
    *(furniture.cabinet, furniture.sofa, furniture.bed, furniture.bench),
    *(
        household.mug,
        household.bowl,
        household.plate,
        household.bottle,
        household.vase,
        household.teapot,
        household.lamp,
    ),
    *(household.books, household.crate, household.clock),
    *(creatures.quadruped, creatures.bird, creatures.fish),
    *(creatures.tree, creatures.plant, creatures.cactus, creatures.mushroom),
    *(vehicles.car, vehicles.truck, vehicles.bus, vehicles.boat, vehicles.blocks, vehicles.blob),
)
_HELD_OUT = ("stool", "teapot", "clock", "bird", "cactus", "bus")

FAMILIES: tuple[str, ...] = tuple(function.__name__ for function in _FAMILY_FUNCTIONS)


def is_held_out(family: str) -> bool:
    """Tell whether a family is reserved for evaluation: never train on it. InputError for an
    unknown family.
    """
    _family_function(family)
    return family in _HELD_OUT


def procedural_asset(
    rng: np.random.Generator, family: str | None = None, *, face_budget: int = 5000
) -> Asset:
    """Make a random asset of a family, or of a random family that is not held out; named
    ``family-<8 hex digits>``.
    """
    if family is None:
        open_families = [name for name in FAMILIES if not is_held_out(name)]
        family = open_families[rng.integers(len(open_families))]
    shape = _family_function(family)(rng)
    return asset_from_solid(shape, f"{family}-{rng.integers(2**32):08x}", face_budget=face_budget)


def _family_function(family: str) -> Callable[[np.random.Generator], Solid]:
    if family not in FAMILIES:
        raise InputError(
            f"there is no procedural family {family!r}; choose one of: {', '.join(FAMILIES)}"
        )
    return _FAMILY_FUNCTIONS[FAMILIES.index(family)]
