"""The named sets: scenes composed from held-out assets with fixed seeds, each of them what its name
says.

A scene is a function of the assets, the set's name and its index only. Candidates are drawn from
one generator per scene until one passes the set's test (``SceneSet.holds``); so no set contains
scenes that it is not named after.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from maquette.data.assets import Asset, load_asset
from maquette.data.compose import compose
from maquette.data.layout import AssetList, Catalogue, LibraryLike, Placement
from maquette.data.procedural import FAMILIES, is_held_out, procedural_asset
from maquette.data.scenes import SceneConfig
from maquette.data.views import View, ViewConfig, sample_view
from maquette.errors import InputError
from maquette.evaluate.cases import Case, Meshes, measured, node_name
from maquette.geometry.transforms import scale_of, transform_points
from maquette.types import InstanceMask, SceneInput

SETS_VERSION = 1  # goes up whenever the same assets would give other scenes
PHOTO_SIZE = 384  # pixels
OCCLUSION = (
    0.40,
    0.75,
)  # the most hidden object of an "occlusion" scene is hidden by a share in this range
VIEWS = replace(
    ViewConfig(), size=PHOTO_SIZE, elevation=(12.0, 50.0), cut=0.0, unmasked=0.0, least_pixels=60
)
MOST_TRIES = 200


@dataclass(frozen=True, eq=False)
class SceneSet:
    """One named set."""

    seed: int  # part of every scene's seed; never changes
    kind: str  # composition of data/scenes.py
    meaning: str  # what its test guarantees, for people
    holds: Callable[[Case, View, Catalogue], bool]
    views: ViewConfig = VIEWS


def _at_least(count: int) -> Callable[[Case, View, Catalogue], bool]:
    return lambda case, view, catalogue: len(case.truth) >= count


def _something_stacked(case: Case, view: View, catalogue: Catalogue) -> bool:
    return bool(stacked(case.truth))


def _twins(case: Case, view: View, catalogue: Catalogue) -> bool:
    looks = [(p.asset, round(scale_of(p.world_from_asset), 6)) for p in view.placements]
    return len(set(looks)) < len(looks)


def _half_hidden(case: Case, view: View, catalogue: Catalogue) -> bool:
    return OCCLUSION[0] <= max(case.hidden.values()) <= OCCLUSION[1]


SETS: Mapping[str, SceneSet] = {
    "random": SceneSet(
        0,
        "random",
        "2 to 12 random objects on random discs, now and then a table with things on it",
        _at_least(2),
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
        4, "room", "at least 3 pieces of furniture and small things between walls", _at_least(3)
    ),
    "tabletop": SceneSet(
        5,
        "tabletop",
        "at least 3 small objects on a table or on the ground, often as a close-up",
        _at_least(3),
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
        return f"{self.set}/{self.index:04d}"

    @property
    def identity(self) -> str:
        """Version of the sets, and the assets by their names and sizes."""
        return f"sets {SETS_VERSION}, {_assets_identity(self.assets)}"

    def load(self) -> Case:
        """Compose and render the scene."""
        return make_case(_catalogue(self.assets), self.set, self.index)


def set_named(name: str) -> SceneSet:
    """Find a set. InputError that lists the known ones."""
    if name not in SETS:
        raise InputError(f"unknown set {name!r}; choose from {', '.join(SETS)}")
    return SETS[name]


def held_out_assets(folder: str | Path | None) -> AssetList:
    """The assets of a folder of .npz files, or, without one, of the procedural families that
    training never uses.
    """
    if folder is not None:
        files = sorted(Path(folder).glob("*.npz"))
        if not files:
            raise InputError(
                f"{folder} holds no .npz assets; give a folder of held-out assets, or none for the procedural ones"
            )
        return AssetList(tuple(load_asset(file) for file in files))
    families = [family for family in FAMILIES if is_held_out(family)]
    return AssetList(
        tuple(
            procedural_asset(np.random.default_rng((11, k)), families[k % len(families)])
            for k in range(48)
        )
    )


@functools.lru_cache(maxsize=1)
def _assets_identity(folder: str | None) -> str:
    if folder is None:
        return "procedural assets"
    files = sorted((file.name, file.stat().st_size) for file in Path(folder).glob("*.npz"))
    return f"{len(files)} assets {hashlib.sha256(repr(files).encode()).hexdigest()[:12]}"


@functools.lru_cache(maxsize=1)
def _catalogue(folder: str | None) -> Catalogue:
    """The measured assets, kept because every scene of a process uses the same ones."""
    return Catalogue.of(held_out_assets(folder))


def make_case(library: LibraryLike, set_name: str, index: int) -> Case:
    """Scene ``index`` of a set: a function of the assets, the set's name and the index only."""
    scene_set = set_named(set_name)
    catalogue = Catalogue.of(library)
    rng = np.random.default_rng((2026, scene_set.seed, index))
    config = SceneConfig(mix=((scene_set.kind, 1.0),))
    for attempt in range(MOST_TRIES):
        view = sample_view(compose(catalogue, rng, config), catalogue, rng, scene_set.views)
        if len(view.placements) < 2:  # a view of a single object is no scene
            continue
        case = _case_of(view, catalogue, f"{set_name}/{index:04d}", attempt)
        if scene_set.holds(case, view, catalogue):
            return case
    raise InputError(
        f"{set_name}/{index:04d}: none of {MOST_TRIES} candidates holds the promise ({scene_set.meaning}); give other assets"
    )


def _case_of(view: View, catalogue: Catalogue, name: str, attempt: int) -> Case:
    names = [catalogue.asset(p.asset).name for p in view.placements]
    masks = tuple(InstanceMask(k + 1, view.instance == k + 1, text) for k, text in enumerate(names))
    truth = {
        node_name(k + 1): _placed(catalogue.asset(p.asset), view.scene_from_world, p)
        for k, p in enumerate(view.placements)
    }
    origin = {"set": name.partition("/")[0], "version": SETS_VERSION, "candidate": attempt}
    return measured(name, SceneInput(view.image, masks, name), truth, view.camera, origin)


def _placed(asset: Asset, scene_from_world: np.ndarray, placement: Placement) -> trimesh.Trimesh:
    colors = np.concatenate([asset.colors, np.full((len(asset.colors), 1), 255, np.uint8)], axis=1)
    vertices = transform_points(
        scene_from_world @ placement.world_from_asset, asset.vertices.astype(np.float64)
    )
    return trimesh.Trimesh(vertices, asset.faces, vertex_colors=colors, process=False)


def stacked(truth: Meshes) -> list[tuple[str, str]]:
    """Pairs (upper, lower) of which the upper stands on the lower's top: it is smaller, its foot is
    within a tenth of the lower's height of the lower's highest point, and the middle of its foot is
    above the lower's footprint.
    """
    boxes = {name: np.asarray(mesh.bounds) for name, mesh in truth.items()}
    pairs = []
    for upper, a in boxes.items():
        for lower, b in boxes.items():
            near = abs(a[0, 1] - b[1, 1]) <= 0.1 * (b[1, 1] - b[0, 1])
            smaller = np.ptp(a, axis=0).max() < np.ptp(b, axis=0).max()
            foot = a.mean(0)[[0, 2]]
            if (
                upper != lower
                and near
                and smaller
                and (b[0, [0, 2]] <= foot).all()
                and (foot <= b[1, [0, 2]]).all()
            ):
                pairs.append((upper, lower))
    return pairs
