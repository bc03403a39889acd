"""Every method's scenes with and without settling, by the protocol ``tetris3d``.

    python benchmarks/settled_methods.py CASE... [--methods iscene,midi,coherent,independent]

CASE: folders that ``evaluate.cases.save_case`` wrote. Penetration and displacement are millimetres
of a scene that is a metre long, energy is J/kg. Beside each mean with settling stands the paired
difference that settling makes, and half its 95 % interval; a few cases tell an order and no more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import maquette
from maquette.evaluate.cases import load_case, node_name
from maquette.evaluate.protocols import TETRIS3D
from maquette.evaluate.score import score_scene
from maquette.evaluate.surfaces import Meshes
from maquette.types import Scene

METHODS = "independent,iscene,midi,coherent,comboverse"


def placed(scene: Scene) -> Meshes:
    """The objects of a scene where they stand, by node."""
    meshes = {}
    for instance in scene.visible().instances:
        moved = instance.mesh.copy().apply_transform(instance.world_from_instance)
        meshes[node_name(instance.label)] = moved
    return meshes


def physics(scene: Scene, truth: Meshes) -> np.ndarray:
    """(3,) penetration, displacement, peak energy."""
    found = score_scene(placed(scene), truth, TETRIS3D)
    return np.array([found.depth, found.displacement, found.peak_energy])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--methods", default=METHODS)
    args = parser.parse_args()
    cases = [load_case(Path(folder)) for folder in args.cases]
    print(f"{len(cases)} scenes; penetration mm, displacement mm, peak J/kg: as made -> settled")
    for method in args.methods.split(","):
        rows = []
        for case in cases:
            scene = maquette.generate(case.scene_input, method=method)
            rows.append([physics(one, case.truth) for one in (scene, scene.settle())])
        before, after = (np.array(rows) * (1000, 1000, 1)).swapaxes(0, 1)
        gain = after - before
        half = 1.96 * gain.std(0, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        print(f"{method}: {before.mean(0).round(2)} -> {after.mean(0).round(2)}", flush=True)
        print(f"    {gain.mean(0).round(2)} +- {np.round(half, 2)}", flush=True)


if __name__ == "__main__":
    main()
