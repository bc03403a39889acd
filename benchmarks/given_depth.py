"""What a known depth and a known camera are worth: scenes of the benchmark with nothing given, with
exact depth and camera, with a sensor's faults, and with the camera alone.

    python benchmarks/given_depth.py --assets HELD_OUT/ [--set random] [--scenes 12]
    python benchmarks/given_depth.py --from TRACED/              # of benchmarks/path_traced.py

The depth goes through a file, as 16-bit millimetres, with the whole scene 1.5 m across. The sensor
has 0.5 per cent of noise, 2 per cent of pixels that drop out, and holes along every outline. A
scene that says how long its unit is, is compared in metres. Size error: median over the sides of
the objects' boxes, of the true side.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh
from PIL import Image
from tqdm import tqdm

import maquette
from maquette.checkpoints.embedded import load_models
from maquette.evaluate.cases import Case, load_case, node_name
from maquette.evaluate.score import score_scene
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.given.fit import GeometrySource
from maquette.inputs import read_scene_input
from maquette.render.rasterize import rasterize

METRES = 1.5  # for one unit of the true scene


def true_depth(case: Case) -> np.ndarray:
    """(H, W) z-depth in metres of objects and ground; 0 = unknown."""
    truth = trimesh.util.concatenate(list(case.truth.values()))
    low = float(truth.vertices[:, 1].min())
    ground = np.array([[-9, low, -9], [9, low, -9], [9, low, 9], [-9, low, 9.0]])
    vertices = np.concatenate([truth.vertices, ground])
    plane = np.array([[0, 2, 1], [0, 3, 2]]) + len(truth.vertices)
    faces = np.concatenate([truth.faces, plane, plane[:, ::-1]])
    depth = rasterize(vertices, faces, case.camera).depth
    return np.where(np.isfinite(depth), depth * METRES, 0.0)


def as_a_sensor(depth: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With noise, drop-outs and holes along outlines."""
    noisy = depth * (1 + 0.005 * rng.standard_normal(depth.shape))
    edges = np.zeros(labels.shape, np.uint8)
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edges[1:] |= labels[1:] != labels[:-1]
    holes = cv2.dilate(edges, np.ones((3, 3), np.uint8)) > 0
    return np.where(holes | (rng.random(depth.shape) < 0.02), 0.0, noisy)


def written(depth: np.ndarray, folder: str) -> Path:
    """As a sensor's file."""
    path = Path(folder) / "depth.png"
    Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(path)
    return path


def variants(case: Case, folder: str) -> dict[str, GeometrySource]:
    """What is given, by name."""
    depth = true_depth(case)
    labels = np.zeros(depth.shape, np.int32)
    for mask in case.scene_input.masks:
        labels[mask.mask] = mask.label
    rng = np.random.default_rng(0)
    matrix = case.camera.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    exact = written(depth, folder)
    noisy = written(as_a_sensor(depth, labels, rng), tempfile.mkdtemp(dir=folder))
    return {
        "nothing": GeometrySource(),
        "camera": GeometrySource(intrinsics=matrix),
        "depth": GeometrySource(depth=exact),
        "depth and camera": GeometrySource(depth=exact, intrinsics=matrix),
        "depth of a sensor and camera": GeometrySource(depth=noisy, intrinsics=matrix),
    }


def scored(case: Case, source: GeometrySource, models: Any) -> Mapping[str, float]:
    """One scene."""
    bare = case.scene_input
    given = read_scene_input(
        bare.image, {mask.label: mask.mask for mask in bare.masks}, geometry=source
    )
    scene = maquette.generate(given, models=models, seed=0)
    unit = (scene.metres_per_unit or METRES) / METRES
    meshes = {
        node_name(i.label): i.mesh.copy().apply_transform(i.world_from_instance).apply_scale(unit)
        for i in scene.instances
    }
    found = score_scene(meshes, case.truth, "iscene", 0)
    size = size_error(case, meshes)
    return {"scene F": found.f_s, "object F": found.f_o, "box IoU": found.iou_b, "size": size}


def size_error(case: Case, meshes: Mapping[str, trimesh.Trimesh]) -> float:
    """Median relative error of the sides of boxes."""
    off = []
    for name, truth in case.truth.items():
        if name in meshes:
            sides = np.ptp(meshes[name].bounds, axis=0)
            off.append(np.abs(sides / np.maximum(truth.extents, 1e-3) - 1))
    return float(np.median(np.concatenate(off)))


def cases_of(chosen: argparse.Namespace) -> Iterator[Case]:
    """The scenes of a folder, or of a set."""
    if chosen.folder is not None:
        found = sorted(chosen.folder.rglob("objects.json"))
        for place in found[: chosen.scenes]:
            yield load_case(place.parent)
        return
    library = held_out_assets(chosen.assets)
    for index in range(chosen.scenes):
        yield make_case(library, chosen.set, index)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", help="folder of held-out meshes; default: procedural ones")
    parser.add_argument("--set", default="random")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--from", dest="folder", type=Path, help="prepared scenes, path-traced")
    parser.add_argument("--only", help="of the ways, separated by commas; default: all")
    chosen = parser.parse_args()
    models = load_models(None)
    wanted = chosen.only.split(",") if chosen.only else None
    rows: dict[str, list[Mapping[str, float]]] = {}
    cases = list(cases_of(chosen))
    with tempfile.TemporaryDirectory() as folder:
        for case in tqdm(cases, desc="scenes"):
            for name, source in variants(case, folder).items():
                if wanted is None or name in wanted:
                    rows.setdefault(name, []).append(scored(case, source, models))
    print(f"| given, {len(cases)} scenes | scene F | object F | box IoU | size error |")
    print("|---|---|---|---|---|")
    print_rows(rows)


def print_rows(rows: Mapping[str, list[Mapping[str, float]]]) -> None:
    """The means of each way."""
    for name, found in rows.items():
        mean = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        print(
            f"| {name} | {mean['scene F']:.1f} | {mean['object F']:.1f} | {mean['box IoU']:.3f} "
            f"| {mean['size']:.1%} |"
        )


if __name__ == "__main__":
    main()
