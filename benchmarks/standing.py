"""How many objects of generated scenes stand when physics begins, before and after settling.

    python benchmarks/standing.py SCENE... [--collision hull] [--truth CASES]

SCENE: folders that ``maquette generate`` made. CASES: a folder in which a benchmark's case, as
``evaluate.cases.save_case`` writes it, has the name of the scene that was made of it; then scene F,
object F and box IoU are told, too (protocol iscene with fewer points).

An object stands when in the drop test it tilts less than 15 degrees and moves less than 5 % of the
scene. "held": settling could not make it stand, so it holds it; in the drop test nothing is held.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from maquette.document.scene_json import load
from maquette.evaluate.cases import Case, load_case, node_name
from maquette.evaluate.protocols import ISCENE
from maquette.evaluate.score import score_scene
from maquette.evaluate.surfaces import Meshes
from maquette.options import ScaleOptions, SimulationOptions
from maquette.simulation.bodies import bodies_of, known_solids, span_of
from maquette.simulation.parts import CUTS
from maquette.simulation.scale import scaled_scene
from maquette.simulation.settle import GONE, TOPPLED, SettledScene, settle, tilt_of
from maquette.simulation.world import world_of
from maquette.types import Scene

POINTS = 3000  # of each object, for scores


def drop_test(scene: Scene, collision: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each object, whether it stands, and its deepest overlap in shares of the scene;
    ``collision``: as ``simulation.parts.decomposed`` takes it.
    """
    scaled = scaled_scene(scene, ScaleOptions(metres_per_unit=1.0 / span_of(scene.visible())))
    solids = known_solids(scene, collision)
    world = world_of(bodies_of(scaled, SimulationOptions(up="y"), solids))
    overlaps = np.array(list(world.penetrations().values())) / span_of(scene.visible())
    before = world.poses()
    world.come_to_rest()
    after = world.poses()
    stands = []
    for label, pose in before.items():
        change = np.linalg.inv(pose) @ after[label]
        moved = np.linalg.norm(change[:3, 3])
        stands.append(tilt_of(change[:3, :3]) < TOPPLED and moved < GONE)
    return np.array(stands), overlaps


def placed(scene: Scene) -> Meshes:
    """The objects of a scene where they stand, by node."""
    return {
        node_name(one.label): one.mesh.copy().apply_transform(one.world_from_instance)
        for one in scene.visible().instances
    }


def scores(scene: Scene, case: Case) -> np.ndarray:
    """Scene F, object F and box IoU."""
    found = score_scene(placed(scene), case.truth, replace(ISCENE, points=POINTS))
    return np.array([found.f_s, found.f_o, found.iou_b])


def before_and_after(
    path: str, options: SimulationOptions, truth: Path | None
) -> tuple[np.ndarray, ...]:
    """Of a scene's objects: which stood, stand and are held, overlaps before and after, and what
    the masks lost; then (0 or 1, 2, 3) its scores before and after. Each scene is a line.
    """
    scene = load(path)
    collision = options.collision
    stood, overlap = drop_test(scene, CUTS if collision == "parts" else collision)
    begun = time.perf_counter()
    settled = settle(scene, options)
    seconds = time.perf_counter() - begun
    stands, left = drop_test(settled.scene, "parts")  # with which it was settled
    held = np.array([not row.rests for row in settled.objects])
    looks = masks_lost(settled)
    case = None if truth is None else truth / Path(path).name
    pairs = scored_pair(scene, settled.scene, case)
    print(
        f"{path}: {len(stood)} objects, stood {stood.sum()}, stand {stands.sum()}, "
        f"held {held.sum()}, {seconds:.1f} s; masks lost {np.mean(looks or [0]):.3f}",
        flush=True,
    )
    print_remarks(settled)
    return stood, stands, held, overlap, left, np.array(looks), pairs


def print_remarks(settled: SettledScene) -> None:
    """A line for each object of which settling has something to say."""
    for row in settled.objects:
        if row.remark:
            print(f"    {row.node}: {row.remark}; moved {row.displacement:.3f}")


def masks_lost(settled: SettledScene) -> list[float]:
    """By how much objects agree less with their masks, where that was measured."""
    return [
        row.agreement_before - row.agreement_after
        for row in settled.objects
        if row.agreement_before is not None and row.agreement_after is not None
    ]


def scored_pair(before: Scene, after: Scene, case: Path | None) -> np.ndarray:
    """(1, 2, 3) scores of a scene before and after, (0, 2, 3) without a truth."""
    if case is None or not case.exists():
        return np.empty((0, 2, 3))
    known = load_case(case)
    pairs = np.array([[scores(before, known), scores(after, known)]])
    print(f"    scene F, object F, box IoU: {pairs[0, 0].round(3)} -> {pairs[0, 1].round(3)}")
    return pairs


def asked() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--collision", default="parts")
    parser.add_argument("--truth", type=Path)
    return parser.parse_args()


def main() -> None:
    """Settle, drop, and print."""
    args = asked()
    options = SimulationOptions(collision=args.collision, up="y")
    rows = [before_and_after(path, options, args.truth) for path in args.scenes]
    *columns, pairs = (np.concatenate(column) for column in zip(*rows))
    stood, stands, held, overlap, left, looks = columns
    print(f"{len(stood)} objects: stood {stood.mean():.2f}, stand {stands.mean():.2f}")
    print(f"held {held.mean():.2f}, stand or held {(stands | held).mean():.2f}")
    print(f"mean overlap {overlap.mean():.5f} -> {left.mean():.5f}; masks lost {looks.mean():.4f}")
    if len(pairs):
        before, after = pairs.mean(0).round(3)
        print(f"{len(pairs)} scenes: scene F, object F, box IoU {before} -> {after}")


if __name__ == "__main__":
    main()
