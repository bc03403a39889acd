"""Procedural assets: families of seeded, painted, watertight objects, so that tests, demos and
small trainings need no download.

Each family composes signed distances (`shapes`, `paints`); `meshing` turns the solid into an Asset.
"""

from __future__ import annotations

from collections.abc import Callable

from numpy.random import Generator

from maquette.data.assets import Asset
from maquette.data.procedural import animals, furniture, household, plants, vehicles
from maquette.data.procedural.meshing import asset_from_solid
from maquette.data.procedural.shapes import PaintedSolid
from maquette.errors import InputError

_MAKERS: tuple[Callable[[Generator], PaintedSolid], ...] = (
    furniture.chair,
    furniture.stool,
    furniture.table,
    furniture.shelf,
    furniture.cabinet,
    furniture.sofa,
    furniture.bed,
    furniture.bench,
    household.mug,
    household.bowl,
    household.plate,
    household.bottle,
    household.vase,
    household.teapot,
    household.lamp,
    household.books,
    household.crate,
    household.clock,
    animals.quadruped,
    animals.bird,
    animals.fish,
    plants.tree,
    plants.plant,
    plants.cactus,
    plants.mushroom,
    vehicles.car,
    vehicles.truck,
    vehicles.bus,
    vehicles.boat,
    vehicles.blocks,
    vehicles.blob,
)
_HELD_OUT = ("stool", "teapot", "clock", "bird", "cactus", "bus")

FAMILIES: tuple[str, ...] = tuple(maker.__name__ for maker in _MAKERS)


def is_held_out(family: str) -> bool:
    """Tell whether a family is reserved for evaluation: never train on it. InputError for an
    unknown family.
    """
    _maker(family)
    return family in _HELD_OUT


def procedural_asset(
    rng: Generator, family: str | None = None, *, face_budget: int = 5000
) -> Asset:
    """Make a random asset of a family, or of a random family that is not held out; named
    ``family-<8 hex digits>``.
    """
    if family is None:
        open_families = [name for name in FAMILIES if not is_held_out(name)]
        family = open_families[rng.integers(len(open_families))]
    shape = _maker(family)(rng)
    return asset_from_solid(shape, f"{family}-{rng.integers(2**32):08x}", face_budget=face_budget)


def _maker(family: str) -> Callable[[Generator], PaintedSolid]:
    """The function of a family; InputError for one that is unknown."""
    if family not in FAMILIES:
        raise InputError(
            f"there is no procedural family {family!r}; choose one of: {', '.join(FAMILIES)}"
        )
    return _MAKERS[FAMILIES.index(family)]
