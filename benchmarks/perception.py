"""What the image encoder gets wrong, and what each part of it costs the scene: errors on held-out
views, then parts replaced by the truth.

    maquette data import HELD_OUT/ --out held-out python benchmarks/perception.py --library held-out
    --assets HELD_OUT/ [--weights DIR] [--views 160] [--scenes 12]

The first table is of rendered views that no training has seen, one look each (no mirror image). The
second is of the cameras of such views as the product sees them, the network alone and with what
straight lines say. The third makes the first scenes of the benchmark's set "random" with ``--method
iscene`` four times: as estimated; with the true shape of every visible surface (its mean distance
stays estimated); with the true camera; with both. What is lost there, no generator can bring back.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import trimesh
from tqdm import tqdm

import maquette
from maquette.checkpoints.embedded import ModelSet, load_models
from maquette.data.catalogue import Catalogue
from maquette.data.library import AssetLibrary
from maquette.data.scenes import SceneConfig
from maquette.data.views import View, ViewConfig
from maquette.evaluate.cases import Case, node_name
from maquette.evaluate.score import score_scene
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.geometry.cameras import pitch_of
from maquette.models.conditioning import (
    Picture,
    camera_parameters,
    centre_depth,
    letterboxed_camera,
)
from maquette.models.image_encoder import GeometryNet
from maquette.render.rasterize import rasterize
from maquette.stages import perceive
from maquette.train.geometry import EXAMINED, GeometryTask, held_out_errors, windows_of
from maquette.train.sources import RandomViews, Sources
from maquette.types import Camera, InstanceMask, SceneInput

LINES_PIXELS, LINES_SEED = 512, 11  # of the second table
LEAST_PIXELS = 60
VARIANTS = ((), ("surfaces",), ("camera",), ("surfaces", "camera"))


def true_log_depth(case: Case, picture: Picture) -> np.ndarray:
    """(S, S) log z-depth of the truth in the letterboxed picture less that of the scene's centre;
    nan where no object is.
    """
    meshes = trimesh.util.concatenate(list(case.truth.values()))
    depth = rasterize(meshes.vertices, meshes.faces, letterboxed_camera(case.camera, picture)).depth
    return np.where(
        np.isfinite(depth), np.log(depth / centre_depth(camera_parameters(case.camera))), np.nan
    )


def with_truth(case: Case, parts: Sequence[str]) -> Callable[..., Any]:
    """``perceive._estimate`` with parts of its answer replaced by the truth."""
    estimate = perceive._estimate

    def replaced(net: GeometryNet, picture: Picture, *given: Any) -> Any:
        found = estimate(net, picture, *given)
        if "camera" in parts:
            found = replace(found, camera=camera_parameters(case.camera).astype(np.float64))
        if "surfaces" in parts:
            truth = true_log_depth(case, picture)
            depth = found.depth.copy()
            for label in np.unique(picture.labels[picture.labels > 0]):
                own = (picture.labels == label) & np.isfinite(truth)
                depth[own] = (
                    truth[own] - truth[own].mean() + depth[own].mean() if own.any() else depth[own]
                )
            found = replace(found, depth=depth, reliefs={})
        return found

    return replaced


def oracle(assets: str | None, models: ModelSet, scenes: int) -> None:
    """Print the third table."""
    library = held_out_assets(assets)
    scores = {parts: [] for parts in VARIANTS}
    for index in tqdm(range(scenes), desc="scenes"):
        case = make_case(library, "random", index)
        for parts in VARIANTS:
            scores[parts].append(scored(case, parts, models))
    print(f"| true, {scenes} scenes | scene F | object F | box IoU |\n|---|---|---|---|")
    for parts, found in scores.items():
        scene_f, object_f, box_iou = np.mean(found, axis=0)
        name = " and ".join(parts) or "nothing"
        print(f"| {name} | {scene_f:.1f} | {object_f:.1f} | {box_iou:.3f} |")


def scored(case: Case, parts: Sequence[str], models: ModelSet) -> tuple[float, float, float]:
    """Scene F, object F and box IoU of a scene of which parts are known."""
    lines = network_alone if "camera" in parts else perceive.seen_by_lines
    with (
        patch.object(perceive, "_estimate", with_truth(case, parts)),
        patch.object(perceive, "seen_by_lines", lines),
    ):
        scene = maquette.generate(case.scene_input, models=models, seed=0)
    meshes = {
        node_name(instance.label): instance.mesh.copy().apply_transform(
            instance.world_from_instance
        )
        for instance in scene.instances
    }
    found = score_scene(meshes, case.truth, "iscene", 0, camera=case.camera)
    return found.f_s, found.f_o, found.iou_b


def errors(library: str, models: ModelSet, views: int) -> None:
    """Print the first table."""
    opened = AssetLibrary.open(library)
    net = models["image-encoder"].model
    source = RandomViews(Catalogue.of(opened), SceneConfig(), ViewConfig(size=256))
    task = GeometryTask(net, Sources(opened, opened, source, source), seed=977)
    found = []
    for start in tqdm(range(0, views, EXAMINED), desc="views"):
        samples = [task.held_out[k] for k in range(start, min(start + EXAMINED, views))]
        batch = task.collate(samples)
        with torch.no_grad():
            seen = net(batch["picture"], batch["shown"], windows_of(batch))
        found.append((len(samples), held_out_errors(seen, batch)))
    print(f"| error, {views} views | |\n|---|---|")
    for name in found[0][1]:
        print(f"| {name} | {sum(n * scores[name] for n, scores in found) / views:.3g} |")


def cameras(library: str, models: ModelSet, views: int) -> None:
    """Print the second table, with twice the standard error of the paired differences."""
    catalogue = Catalogue.of(AssetLibrary.open(library))
    net = models["image-encoder"].model
    source = RandomViews(catalogue, SceneConfig(), ViewConfig(size=LINES_PIXELS))
    found = []
    for number in tqdm(range(views), desc="cameras"):
        view = source(np.random.default_rng((LINES_SEED, number)))
        given = seen_input(view)
        if given is not None:
            with patch.object(perceive, "seen_by_lines", network_alone):
                alone = perceive.perceive(net, given).camera
            seen = perceive.perceive(net, given).camera
            found.append([camera_errors(camera, view.camera) for camera in (alone, seen)])
    errors = np.array(found)
    gained = errors[:, 1] - errors[:, 0]
    spread = 2 * gained.std(0) / len(errors) ** 0.5
    print(f"| {len(errors)} views | network alone | with lines | paired |\n|---|---|---|---|")
    for row, name in enumerate(("pitch, degrees", "log focal length")):
        before, after = errors[:, :, row].mean(0)
        paired = f"{gained[:, row].mean():+.3f} ± {spread[row]:.3f}"
        print(f"| {name} | {before:.3f} | {after:.3f} | {paired} |")


def seen_input(view: View) -> SceneInput | None:
    """A view as a photo with masks; None when no object has LEAST_PIXELS."""
    labels = np.unique(view.instance[view.instance > 0])
    masks = tuple(InstanceMask(int(label), view.instance == label) for label in labels)
    sizes = [mask.mask.sum() for mask in masks]
    return SceneInput(view.image, masks) if max(sizes, default=0) >= LEAST_PIXELS else None


def network_alone(*photo_and_camera: Any, is_known: bool = False) -> tuple[float, float]:
    """What ``seen_by_lines`` would say of a photo without a line."""
    _, _, pitch, focal, *_ = photo_and_camera
    return pitch, focal


def camera_errors(camera: Camera, truth: Camera) -> tuple[float, float]:
    """Of its pitch, degrees, and of the logarithm of its focal length."""
    pitch = abs(pitch_of(camera) - pitch_of(truth))
    focal = abs(np.log(camera.intrinsics[0, 0] / truth.intrinsics[0, 0]))
    return float(np.rad2deg(pitch)), float(focal)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--library",
        help="held-out library of maquette data import; without it there is no first table",
    )
    parser.add_argument(
        "--assets", help="folder of held-out meshes; default: held-out procedural families"
    )
    parser.add_argument(
        "--weights", help="folder of weights or run of maquette train; default: the embedded ones"
    )
    parser.add_argument("--views", type=int, default=160)
    parser.add_argument("--scenes", type=int, default=12)
    chosen = parser.parse_args()
    loaded = load_models(chosen.weights)
    if chosen.library:
        errors(chosen.library, loaded, chosen.views)
        cameras(chosen.library, loaded, chosen.views)
    if chosen.scenes:
        oracle(chosen.assets, loaded, chosen.scenes)
