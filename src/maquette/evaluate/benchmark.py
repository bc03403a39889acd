"""Fixed sets of held-out scenes, rendered, given to methods as photo and masks, and scored: how maquette measures itself.

In the flow: held-out assets -> random scenes and views (fixed seeds) -> a method's meshes -> scores, one row per scene and method.
Every scene counts: a method that fails on one gets a row of misses. Rows are kept in a CSV file, so a run can be resumed.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from maquette.data.assets import Asset, load_asset
from maquette.data.layout import AssetList, Catalogue, LibraryLike
from maquette.data.procedural import FAMILIES, is_held_out, procedural_asset
from maquette.data.scenes import SceneConfig, compose
from maquette.data.views import View, ViewConfig, sample_view
from maquette.errors import InputError, MaquetteError
from maquette.evaluate.score import SceneScore, score_scene
from maquette.evaluate.summary import METRICS, bootstrap_interval
from maquette.geometry.transforms import transform_points
from maquette.output import atomic_write
from maquette.types import InstanceMask, Scene, SceneInput

SETS: Mapping[str, str] = {  # name -> composition of data/scenes.py
    "random": "random",
    "small-on-large": "small-on-large",
    "duplicates": "duplicates",
    "occlusion": "dense",
    "rooms": "room",
    "tabletop": "tabletop",
}
PHOTO_SIZE = 384  # pixels

Meshes = dict[str, trimesh.Trimesh]
Method = Callable[["Case"], Meshes]


@dataclass(frozen=True, eq=False)
class Case:
    """One scene of a set: what a method may see, and the truth it is compared with."""

    name: str  # such as "random/0003"
    scene_input: SceneInput
    truth: Meshes  # node name -> mesh in the scene frame
    view: View  # the render; methods under test must not look at it, oracles do


def held_out_assets(folder: str | Path | None) -> AssetList:
    """The assets of a folder of .npz files, or, without one, of the procedural families that training never uses."""
    if folder is not None:
        files = sorted(Path(folder).glob("*.npz"))
        if not files:
            raise InputError(f"{folder} holds no .npz assets; give a folder of held-out assets, or none for the procedural ones")
        return AssetList(tuple(load_asset(file) for file in files))
    families = [family for family in FAMILIES if is_held_out(family)]
    return AssetList(tuple(procedural_asset(np.random.default_rng((11, k)), families[k % len(families)]) for k in range(48)))


def make_case(library: LibraryLike, set_name: str, index: int) -> Case:
    """Scene ``index`` of a set: a function of the assets, the set's name and the index only."""
    rng = np.random.default_rng((2026, list(SETS).index(set_name), index))
    config = SceneConfig(mix=((SETS[set_name], 1.0),))
    views = replace(ViewConfig(), size=PHOTO_SIZE, elevation=(12.0, 50.0), cut=0.0, unmasked=0.0, least_pixels=60)
    catalogue = Catalogue.of(library)
    while True:  # a view of a single object is no scene
        view = sample_view(compose(catalogue, rng, config), catalogue, rng, views)
        if len(view.placements) >= 2:
            break
    masks = tuple(InstanceMask(k + 1, view.instance == k + 1, catalogue.asset(p.asset).name) for k, p in enumerate(view.placements))
    poses = [view.scene_from_world @ p.world_from_asset for p in view.placements]
    truth = {f"instance_{k + 1}": _placed(catalogue.asset(p.asset), pose) for k, (p, pose) in enumerate(zip(view.placements, poses))}
    return Case(f"{set_name}/{index:04d}", SceneInput(view.image, masks, f"{set_name}/{index:04d}"), truth, view)


def _placed(asset: Asset, scene_from_asset: np.ndarray) -> trimesh.Trimesh:
    colors = np.concatenate([asset.colors, np.full((len(asset.colors), 1), 255, np.uint8)], axis=1)
    vertices = transform_points(scene_from_asset, asset.vertices.astype(np.float64))
    return trimesh.Trimesh(vertices, asset.faces, vertex_colors=colors, process=False)


def scene_meshes(scene: Scene) -> Meshes:
    """Meshes of a result in the scene frame, by node name."""
    return {i.node_name: i.mesh.copy().apply_transform(i.world_from_instance) for i in scene.instances}


def oracle_boxes(case: Case) -> Meshes:
    """Every object replaced by its exact bounding box: what knowing only layout and size is worth."""
    return {name: trimesh.creation.box(bounds=mesh.bounds) for name, mesh in case.truth.items()}


def oracle_spheres(case: Case) -> Meshes:
    """Every object replaced by a sphere in the middle of its box, as wide as the box's mean side."""
    made = {}
    for name, mesh in case.truth.items():
        sphere = trimesh.creation.icosphere(3, radius=0.5 * float(np.mean(mesh.extents)))
        made[name] = sphere.apply_translation(mesh.bounds.mean(0))
    return made


@dataclass(frozen=True)
class Row:
    """The score of one method on one scene."""

    set: str
    scene: str
    method: str
    objects: int
    missing: int
    seconds: float
    metrics: tuple[float, ...]  # in the order of METRICS
    protocol: str
    error: str = ""

    def to_record(self) -> dict[str, Any]:
        """Flat, for a CSV file."""
        named = dict(zip(METRICS, (round(value, 6) for value in self.metrics)))
        return {"set": self.set, "scene": self.scene, "method": self.method, "objects": self.objects, "missing": self.missing,
                "seconds": round(self.seconds, 3), **named, "protocol": self.protocol, "error": self.error}  # fmt: skip


def run_case(case: Case, name: str, method: Method, protocol: str) -> tuple[Row, Meshes]:
    """Run one method on one scene; a failure of the method is a row of misses with its reason."""
    start, error = time.perf_counter(), ""
    try:
        meshes = method(case)
    except MaquetteError as failure:
        meshes, error = {}, str(failure)
    seconds = time.perf_counter() - start
    score: SceneScore = score_scene(meshes, case.truth, protocol)
    row = Row(case.name.split("/")[0], case.name, name, len(score.objects), len(score.missing), seconds,
              tuple(float(getattr(score, metric)) for metric in METRICS), score.protocol, error)  # fmt: skip
    return row, meshes


def run_benchmark(
    library: LibraryLike,
    sets: Sequence[str],
    scenes: int,
    methods: Mapping[str, Method],
    protocol: str = "iscene",
    out: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """All methods on ``scenes`` scenes of each set; with ``out``, rows go to rows.csv there and finished ones are not repeated."""
    unknown = [name for name in sets if name not in SETS]
    if unknown:
        raise InputError(f"unknown set {unknown[0]!r}; choose from {', '.join(SETS)}")
    path = None if out is None else Path(out) / "rows.csv"
    rows = [] if path is None else read_rows(path)
    finished = {(row.scene, row.method, row.protocol.split("/")[0]) for row in rows}
    total, done = len(sets) * scenes, 0
    for set_name in sets:
        for index in range(scenes):
            wanted = [name for name in methods if (f"{set_name}/{index:04d}", name, protocol) not in finished]
            if wanted:
                case = make_case(library, set_name, index)
                rows += [run_case(case, name, methods[name], protocol)[0] for name in wanted]
                if path is not None:
                    write_rows(path, rows)
            done += 1
            progress(done, total)
    return [row for row in rows if row.method in methods and row.set in sets]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write all rows, atomically."""
    records = [row.to_record() for row in rows]
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def read_rows(path: Path) -> list[Row]:
    """Rows of an earlier run; none when there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [Row(r["set"], r["scene"], r["method"], int(r["objects"]), int(r["missing"]), float(r["seconds"]),
                    tuple(float(r[m]) for m in METRICS), r["protocol"], r["error"]) for r in csv.DictReader(file)]  # fmt: skip


SHOWN = ("cd_s", "f_s", "cd_o", "f_o", "iou_b", "f_s_raw", "iou_b_raw")


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: one line per method and set, means with the half width of the 95 % interval over scenes."""
    lines = ["| method | set | scenes | objects | missed | " + " | ".join(SHOWN) + " | s / scene |", "|---" * (len(SHOWN) + 6) + "|"]
    groups = dict.fromkeys((row.method, set_name) for row in rows for set_name in (row.set, "all"))
    several = len({row.set for row in rows}) > 1
    for method, set_name in sorted(groups):
        if set_name == "all" and not several:
            continue
        chosen = [row for row in rows if row.method == method and set_name in (row.set, "all")]
        values = np.array([row.metrics for row in chosen])
        low, high = bootstrap_interval(values)
        cells = []
        for name in SHOWN:
            k = METRICS.index(name)
            digits = 1 if name.startswith("f_") else 4 if name.startswith("cd") else 3
            cells.append(f"{values[:, k].mean():.{digits}f} ± {(high[k] - low[k]) / 2:.{digits}f}")
        counts = f"{len(chosen)} | {sum(r.objects for r in chosen)} | {sum(r.missing for r in chosen)}"
        lines.append(f"| {method} | {set_name} | {counts} | " + " | ".join(cells) + f" | {np.mean([r.seconds for r in chosen]):.1f} |")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """The same means as one JSON object: method -> set -> metric."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        result.setdefault(row.method, {}).setdefault(row.set, {})
    for method, by_set in result.items():
        for set_name in by_set:
            values = np.array([row.metrics for row in rows if row.method == method and row.set == set_name])
            by_set[set_name] = {"scenes": len(values), **dict(zip(METRICS, values.mean(0).round(5).tolist()))}
    return json.dumps(result)
