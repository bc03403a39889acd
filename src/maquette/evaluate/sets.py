"""The named sets: scenes composed from held-out assets with fixed seeds, each of them what its name
says.

A scene is a function of the assets, the set's name and its index only. Candidates are drawn from
one generator per scene until one passes the set's test (``SceneSet.holds``); so no set contains
scenes that it is not named after.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import trimesh
from numpy.random import Generator

from maquette.data.assets import load_asset
from maquette.data.catalogue import AssetLike, AssetList, Catalogue, LibraryLike
from maquette.data.compose import compose
from maquette.data.layout import Placement
from maquette.data.procedural import FAMILIES, is_held_out, procedural_asset
from maquette.data.scenes import ComposedScene, SceneConfig
from maquette.data.views import View, ViewConfig, sample_view
from maquette.document.appearance import opaque
from maquette.errors import InputError
from maquette.evaluate.cases import Case, measured_case, node_name, set_of
from maquette.evaluate.files import fingerprint
from maquette.evaluate.surfaces import Meshes
from maquette.geometry.boxes import longest_side
from maquette.geometry.transforms import scale_of, transform_points
from maquette.types import InstanceMask, SceneInput, StrPath

SETS_VERSION = 1  # goes up whenever the same assets would give other scenes
PHOTO_SIZE = 384  # pixels
# The most hidden object of an "occlusion" scene is hidden by a share in this range.
OCCLUSION = (0.40, 0.75)
VIEWS = replace(
    ViewConfig(),
    size=PHOTO_SIZE,
    elevation=(12.0, 50.0),
    cut=0.0,
    unmasked=0.0,
    least_pixels=60,
)
MOST_TRIES = 200
PROCEDURAL_ASSETS = 48  # without a folder
NEAR = 0.1  # of the lower one's height: so close is a foot to the top that it stands on


Change = Callable[[ComposedScene, Catalogue, Generator], ComposedScene]


@dataclass(frozen=True, eq=False)
class SceneSet:
    """One named set."""

    seed: int  # part of every scene's seed; never changes
    kind: str  # composition of data/scenes.py
    meaning: str  # what its test guarantees, for people
    holds: Callable[[Case, View], bool]
    views: ViewConfig = VIEWS
    change: Change | None = None  # of the composition, before it is seen


def _pair_or_more(case: Case, view: View) -> bool:
    """At least two objects."""
    return len(case.truth) >= 2


def _several(case: Case, view: View) -> bool:
    """At least three objects."""
    return len(case.truth) >= 3


def _something_stacked(case: Case, view: View) -> bool:
    """An object on a larger one."""
    return bool(stacked(case.truth))


def _twins(case: Case, view: View) -> bool:
    """Two of the same asset in the same size."""
    looks = [(p.asset, round(scale_of(p.world_from_asset), 6)) for p in view.placements]
    return len(set(looks)) < len(looks)


def _half_hidden(case: Case, view: View) -> bool:
    """The most hidden object is hidden by a share in OCCLUSION."""
    return OCCLUSION[0] <= max(case.hidden.values()) <= OCCLUSION[1]


SETS: Mapping[str, SceneSet] = {
    "random": SceneSet(
        0,
        "random",
        "2 to 12 random objects on random discs, now and then a table with things on it",
        _pair_or_more,
    ),
    "small-on-large": SceneSet(
        1, "small-on-large", "at least one object stands on top of a larger one", _something_stacked
    ),
    "duplicates": SceneSet(
        2, "duplicates", "at least two objects are the same asset in the same size", _twins
    ),
    "occlusion": SceneSet(
        3, "dense", "a crowd whose most hidden object is hidden by 40 to 75 %", _half_hidden
    ),
    "rooms": SceneSet(
        4, "room", "at least 3 pieces of furniture and small things between walls", _several
    ),
    "tabletop": SceneSet(
        5,
        "tabletop",
        "at least 3 small objects on a table or on the ground, often as a close-up",
        _several,
    ),
}


@dataclass(frozen=True)
class SetSource:
    """One scene of a named set, made when it is loaded; what worker processes receive."""

    set: str
    index: int
    assets: str | None = None  # folder of .npz; None = procedural families that training never uses

    @property
    def name(self) -> str:
        """Such as "random/0003"."""
        return scene_name(self.set, self.index)

    @property
    def identity(self) -> str:
        """Version of the sets, and the assets by their names and sizes."""
        return f"sets {SETS_VERSION}, {_assets_identity(self.assets)}"

    def load(self) -> Case:
        """Compose and render the scene."""
        return make_case(_catalogue(self.assets), self.set, self.index)


def scene_name(set_name: str, index: int) -> str:
    """The name of a scene of a set."""
    return f"{set_name}/{index:04d}"


def set_named(name: str) -> SceneSet:
    """Find a set. InputError that lists the known ones."""
    if name not in SETS:
        raise InputError(f"unknown set {name!r}; choose from {', '.join(SETS)}")
    return SETS[name]


def held_out_assets(folder: StrPath | None) -> AssetList:
    """The assets of a folder of .npz files, or, without one, of the procedural families that
    training never uses.
    """
    if folder is not None:
        files = sorted(Path(folder).glob("*.npz"))
        if not files:
            raise InputError(
                f"{folder} holds no .npz assets; "
                "give a folder of held-out assets, or none for the procedural ones"
            )
        return AssetList(tuple(map(load_asset, files)))
    families = [family for family in FAMILIES if is_held_out(family)]
    assets = []
    for k in range(PROCEDURAL_ASSETS):
        rng = np.random.default_rng((11, k))
        assets.append(procedural_asset(rng, families[k % len(families)]))
    return AssetList(tuple(assets))


@functools.lru_cache(maxsize=1)
def _assets_identity(folder: str | None) -> str:
    """Which assets a set is made of, for the record."""
    if folder is None:
        return "procedural assets"
    files = list(Path(folder).glob("*.npz"))
    return f"{len(files)} assets {fingerprint(files)}"


@functools.lru_cache(maxsize=1)
def _catalogue(folder: str | None) -> Catalogue:
    """The measured assets, kept because every scene of a process uses the same ones."""
    return Catalogue.of(held_out_assets(folder))


def make_case(library: LibraryLike, set_name: str, index: int) -> Case:
    """Scene ``index`` of a set: a function of the assets, the set's name and the index only."""
    return drawn_case(library, set_named(set_name), set_name, index)


def drawn_case(
    library: LibraryLike,
    scene_set: SceneSet,
    set_name: str,
    index: int,
) -> Case:
    """Scene ``index`` of a set that need not be one of the named ones."""
    name = scene_name(set_name, index)
    catalogue = Catalogue.of(library)
    rng = np.random.default_rng((2026, scene_set.seed, index))
    config = SceneConfig(mix=((scene_set.kind, 1.0),))
    for attempt in range(MOST_TRIES):
        scene = compose(catalogue, rng, config)
        if scene_set.change is not None:
            scene = scene_set.change(scene, catalogue, rng)
        view = sample_view(scene, catalogue, rng, scene_set.views)
        if len(view.placements) < 2:  # a view of a single object is no scene
            continue
        case = _case_of(view, catalogue, name, attempt)
        if scene_set.holds(case, view):
            return case
    raise InputError(
        f"{name}: none of {MOST_TRIES} candidates holds the promise ({scene_set.meaning}); "
        "give other assets"
    )


def _case_of(
    view: View,
    catalogue: Catalogue,
    name: str,
    attempt: int,
) -> Case:
    """A view as a case: photo, masks, true meshes in the scene frame, camera."""
    masks = []
    truth = {}
    for label, placement in enumerate(view.placements, 1):
        asset = catalogue.asset(placement.asset)
        masks.append(InstanceMask(label, view.instance == label, asset.name))
        truth[node_name(label)] = _placed(asset, view.scene_from_world, placement)
    origin = {
        "set": set_of(name),
        "version": SETS_VERSION,
        "candidate": attempt,
    }
    return measured_case(
        name, SceneInput(view.image, tuple(masks), name), truth, view.camera, origin
    )


def _placed(
    asset: AssetLike, scene_from_world: np.ndarray, placement: Placement
) -> trimesh.Trimesh:
    """An asset as a coloured mesh in the scene frame."""
    scene_from_asset = scene_from_world @ placement.world_from_asset
    vertices = transform_points(scene_from_asset, asset.vertices.astype(np.float64))
    colors = opaque(asset.colors)
    return trimesh.Trimesh(vertices, asset.faces, vertex_colors=colors, process=False)


def stacked(truth: Meshes) -> list[tuple[str, str]]:
    """Pairs (upper, lower) of which the upper stands on the lower's top: it is smaller, its foot is
    within a tenth of the lower's height of the lower's highest point, and the middle of its foot is
    above the lower's footprint.
    """
    boxes = {name: np.asarray(mesh.bounds) for name, mesh in truth.items()}
    pairs = permutations(boxes, 2)
    return [(upper, lower) for upper, lower in pairs if _stands_on(boxes[upper], boxes[lower])]


def _stands_on(upper: np.ndarray, lower: np.ndarray) -> bool:
    """Whether one box's foot is at the top of another, larger one, and above it."""
    low, high = lower
    foot = upper.mean(0)
    foot[1] = upper[0, 1]
    near = abs(foot[1] - high[1]) <= NEAR * (high[1] - low[1])
    over = ((low <= foot) & (foot <= high))[[0, 2]].all()
    return near and over and longest_side(upper) < longest_side(lower)
