"""Scenes for ``supports.py`` that the benchmark's own sets have too few of: low cameras with
occluders, chains of three, and objects over a table's edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from maquette.data.catalogue import Catalogue
from maquette.data.layout import Placement, stack_on
from maquette.data.scenes import ComposedScene, draw_assets
from maquette.data.views import View
from maquette.evaluate.cases import Case
from maquette.evaluate.sets import VIEWS, SceneSet, stacked
from maquette.geometry.transforms import similarity

HIDDEN = 0.25  # of the most hidden object, at least
OVER = 0.25  # of an object's width that is beyond the edge, at least
ABOVE = 1e-3  # world units over the floor


def is_hidden(case: Case, view: View) -> bool:
    """Something hides a quarter of an object, or more."""
    return max(case.hidden.values()) >= HIDDEN


def is_chain(case: Case, view: View) -> bool:
    """Something stands on what stands on something."""
    pairs = stacked(case.truth)
    return bool({upper for upper, _ in pairs} & {lower for _, lower in pairs})


def is_over_edge(case: Case, view: View) -> bool:
    """A quarter of what stands on another is beyond it."""
    for upper, lower in stacked(case.truth):
        low, high = case.truth[lower].bounds
        own = case.truth[upper].bounds
        beyond = np.maximum(low - own[0], own[1] - high)[[0, 2]]
        if (beyond > OVER * np.ptp(own, axis=0)[[0, 2]]).any():
            return True
    return False


def with_a_third(
    scene: ComposedScene, catalogue: Catalogue, rng: np.random.Generator
) -> ComposedScene:
    """Something on each thing that stands on another, where there is room."""
    placed = list(scene.placements)
    for lower in uppers(scene, catalogue):
        placed += stack_on(catalogue, lower, draw_assets(catalogue, rng, 1), rng)
    return replace(scene, placements=tuple(placed))


def at_the_edge(
    scene: ComposedScene, catalogue: Catalogue, rng: np.random.Generator
) -> ComposedScene:
    """One thing that stands on another, moved to the middle of its edge."""
    found = uppers(scene, catalogue)
    if not found:
        return scene
    moved = found[0]
    foot = moved.world_from_asset[:3, 3]
    below = [p for p in scene.placements if p not in found]
    lower = min(below, key=lambda p: np.linalg.norm((p.world_from_asset[:3, 3] - foot)[[0, 2]]))
    inside = 0.9 * np.array([catalogue.extents[lower.asset][0] / 2, 0.0, 0.0])
    edge = lower.world_from_asset[:3, :3] @ (inside * rng.choice([-1.0, 1.0]))
    shift = (lower.world_from_asset[:3, 3] + edge - foot) * (1.0, 0.0, 1.0)
    there = replace(moved, world_from_asset=similarity(1.0, None, shift) @ moved.world_from_asset)
    return replace(scene, placements=tuple(there if p is moved else p for p in scene.placements))


def uppers(scene: ComposedScene, catalogue: Catalogue) -> list[Placement]:
    """What does not stand on the floor."""
    found = []
    for placement in scene.placements:
        scale = np.cbrt(np.linalg.det(placement.world_from_asset[:3, :3]))
        half = scale * catalogue.extents[placement.asset, 1] / 2
        if placement.world_from_asset[1, 3] - half > ABOVE:
            found.append(placement)
    return found


SUPPORT_SETS: Mapping[str, SceneSet] = {
    "low-cameras": SceneSet(
        21,
        "dense",
        "a crowd seen from below 20 degrees, a quarter of something hidden",
        is_hidden,
        replace(VIEWS, elevation=(3.0, 18.0)),
    ),
    "chains": SceneSet(
        22, "small-on-large", "something on something on something", is_chain, change=with_a_third
    ),
    "over-edge": SceneSet(
        23, "small-on-large", "something over a table's edge", is_over_edge, change=at_the_edge
    ),
}
