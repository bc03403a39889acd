"""How well the side of an object that the photo does not show is made, with measured depth and
without: held-out objects, each alone in a view of 512 pixels.

    python benchmarks/hidden_sides.py [--assets HELD_OUT/ | --library LIBRARY/] [--objects 24]

F-scores at 2 and 5 per cent of the object's longest side, of the true points that the photo does
not show against the made ones that it does not show. With the true depth and camera: without mirror
planes, with the first one that is found, and with both (stages/mirror.py). And with the product's
own perception, aligned with the truth by the protocol's ICP with scale. Paired differences with
twice their standard error.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from tqdm import tqdm
from whole import VIEW

import maquette
from maquette.checkpoints.embedded import load_models
from maquette.data.assets import Asset
from maquette.data.catalogue import AssetList, Catalogue, LibraryLike
from maquette.data.layout import Placement
from maquette.data.library import AssetLibrary
from maquette.data.scenes import ComposedScene
from maquette.data.views import View, sample_view
from maquette.errors import InputError
from maquette.evaluate.sets import held_out_assets
from maquette.geometry.cameras import project
from maquette.geometry.registration import RobustIcp, robust_icp
from maquette.geometry.transforms import similarity, transform_points
from maquette.given.fit import GeometrySource
from maquette.inputs import read_scene_input
from maquette.stages.mirror import VisibleMatter
from maquette.types import Camera, Scene

SAMPLES = 20_000  # points of a surface
SEEN = 0.02  # of the longest side: nearer to the depth map a point is seen
THRESHOLDS = (0.02, 0.05)
# each with what is left out of it
WAYS = {
    "true depth, no mirror": "find_plane",
    "true depth, one mirror": "find_second",
    "true depth": None,
    "estimated": None,
}


@dataclass(frozen=True, eq=False)
class Alone:
    """One object in a view, and its surface."""

    view: View
    points: np.ndarray  # (N, 3) true, scene frame of the view
    size: float  # longest side

    @classmethod
    def of(cls, asset: Asset, seed: int) -> Alone:
        """On the ground, seen from somewhere."""
        vertices = np.asarray(asset.vertices, float)
        lifted = similarity(1.0, None, np.array([0.0, -float(vertices[:, 1].min()), 0.0]))
        scene = ComposedScene((Placement(0, lifted),), "alone")
        library = Catalogue.of(AssetList((asset,)))
        view = sample_view(scene, library, np.random.default_rng(seed), VIEW)
        placed = transform_points(view.scene_from_world @ lifted, vertices)
        mesh = trimesh.Trimesh(placed, np.asarray(asset.faces), process=False)
        return cls(view, sampled(mesh), float(np.ptp(placed, axis=0).max()))

    @property
    def depth(self) -> np.ndarray:
        """(H, W) of all there is; 0 = nothing."""
        return np.where(np.isfinite(self.view.depth), self.view.depth, 0.0)

    def shown(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: which points of the scene the photo shows."""
        pixel, depth = project(self.view.camera, points)
        height, width = self.view.instance.shape
        columns, rows = pixel.astype(int).T
        inside = (pixel >= 0).all(1) & (columns < width) & (rows < height)
        own = np.where(self.view.instance == 1, self.view.depth, np.inf)
        there = own[rows.clip(0, height - 1), columns.clip(0, width - 1)]
        return inside & (np.abs(there - depth) < SEEN * self.size)

    def scores(self, made: np.ndarray) -> list[float]:
        """F-scores of the hidden side, then of all of it at the first threshold."""
        hidden, hidden_made = ~self.shown(self.points), ~self.shown(made)
        recall = cKDTree(made).query(self.points)[0] / self.size
        precision = cKDTree(self.points).query(made)[0] / self.size
        scores = [f_score(precision[hidden_made], recall[hidden], t) for t in THRESHOLDS]
        return [*scores, f_score(precision, recall, THRESHOLDS[0])]


def f_score(precision: np.ndarray, recall: np.ndarray, threshold: float) -> float:
    """Harmonic mean of the shares within a threshold; 0 without points."""
    if not (len(precision) and len(recall)):
        return 0.0
    p, r = float((precision < threshold).mean()), float((recall < threshold).mean())
    return 2 * p * r / (p + r) if p + r else 0.0


def sampled(mesh: trimesh.Trimesh) -> np.ndarray:
    """(SAMPLES, 3) even points of a surface."""
    return trimesh.sample.sample_surface(mesh, SAMPLES, seed=0)[0]


def in_view(scene: Scene, view: Camera, unit: float) -> np.ndarray:
    """Points of the only object of a scene in another's frame: the same camera took both, and the
    scene's unit is ``unit`` of the view's.
    """
    (instance,) = scene.instances
    mesh = instance.mesh.copy().apply_transform(instance.world_from_instance)
    seen = transform_points(scene.camera.camera_from_world, sampled(mesh)) * unit
    return transform_points(view.world_from_camera, seen)


def made(alone: Alone, way: str, models: object) -> np.ndarray:
    """Points of the object as it is made in one of WAYS."""
    view = alone.view
    matrix = view.camera.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    source = GeometrySource(depth=alone.depth, intrinsics=matrix)
    if way == "estimated":
        source = GeometrySource()
    given = read_scene_input(view.image, {1: view.instance == 1}, geometry=source)
    left_out = WAYS[way]
    with ExitStack() as stack:
        if left_out:
            stack.enter_context(mock.patch.object(VisibleMatter, left_out, return_value=None))
        scene = maquette.generate(given, models=models, seed=0)
    points = in_view(scene, view.camera, scene.metres_per_unit or 1.0)
    if way != "estimated":
        return points
    found = robust_icp(points, alone.points, options=RobustIcp(with_scale=True))
    return transform_points(found.target_from_source, points)


def measured(library: LibraryLike, count: int) -> np.ndarray:
    """(objects, ways, scores) of objects evenly spread over a library; what cannot be made is
    named.
    """
    models = load_models(None)
    numbers = range(0, len(library), max(1, len(library) // count))
    rows = []
    for number in tqdm(numbers[:count], desc="objects"):
        alone = Alone.of(library.asset(number), number)
        try:
            rows.append([alone.scores(made(alone, way, models)) for way in WAYS])
        except (InputError, ValueError) as error:
            tqdm.write(f"{library.asset(number).name}: {error}")
    return np.array(rows)


def print_table(found: np.ndarray) -> None:
    """Means of (objects, ways, scores), and what each mirror gains."""
    print(f"| {len(found)} objects | hidden F at 2 % | hidden F at 5 % | F at 2 % |")
    print("|---|---|---|---|")
    for way, scores in zip(WAYS, found.mean(0)):
        print(f"| {way} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")
    for more, name in enumerate(("the first mirror", "the second")):
        gained = found[:, more + 1] - found[:, more]
        error = 2 * gained.std(0, ddof=1) / len(found) ** 0.5
        paired = (f"{mean:+.3f} ± {spread:.3f}" for mean, spread in zip(gained.mean(0), error))
        print(f"| {name}, paired | " + " | ".join(paired) + " |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--assets", help="folder of held-out .npz assets; default: procedural")
    parser.add_argument("--library", help="a held-out library of `maquette data import`")
    parser.add_argument("--objects", type=int, default=24)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    library = (
        AssetLibrary.open(chosen.library) if chosen.library else held_out_assets(chosen.assets)
    )
    print_table(measured(library, chosen.objects))


if __name__ == "__main__":
    main()
