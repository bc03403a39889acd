"""Every method's scenes with and without settling: scene F, object F and box IoU (iscene), what
happens to them in MuJoCo (tetris3d), and the share of objects that stand (``standing.py``).

    python benchmarks/settled_methods.py RUN --assets ASSETS [--set random] [--scenes 12]

RUN: a file of JSON lines, one for each scene and method, to which those that it lacks are added;
the tables are of all that it holds. Penetration and displacement are millimetres of a scene that is
a metre long, energy is J/kg. Behind the means, as made and settled, stands the mean paired
difference with half its 95 % interval (Student's t), of the scenes in which nothing diverged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from standing import drop_test, placed, scores

import maquette
from maquette.data.catalogue import Catalogue
from maquette.evaluate.cases import Case
from maquette.evaluate.protocols import TETRIS3D
from maquette.evaluate.score import score_scene
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.simulation.parts import CUTS
from maquette.types import Scene

METHODS = "independent,iscene,midi,coherent,comboverse"
MEASURES = {
    "scene F": 1,
    "object F": 1,
    "box IoU": 3,
    "penetration mm": 2,
    "displacement mm": 0,
    "peak J/kg": 3,
    "standing %": 0,
}


def measured(scene: Scene, case: Case, collision: str) -> list[float | None]:
    """The numbers of MEASURES; None for what diverged."""
    physics = score_scene(placed(scene), case.truth, TETRIS3D)
    lengths = [physics.depth, physics.displacement]
    millimetres = [None if length is None else 1000 * length for length in lengths]
    stands, _ = drop_test(scene, collision)
    standing = 100 * float(stands.mean())
    return [*map(float, scores(scene, case)), *millimetres, physics.peak_energy, standing]


def both(case: Case, method: str) -> list[list[float | None]]:
    """The numbers of a method's scene as it was made, and settled."""
    made = maquette.generate(case.scene_input, method=method)
    settled = made.settle()
    return [measured(made, case, CUTS), measured(settled, case, "parts")]


def line(rows: Sequence[dict[str, Any]], method: str) -> str:
    """A row of the table: the scenes, and of each measure as made, settled and the difference."""
    own = np.array([row["found"] for row in rows if row["method"] == method], dtype=np.float64)
    cells = [method, str(len(own))]
    for digits, values in zip(MEASURES.values(), own.transpose(2, 0, 1)):
        known = values[np.isfinite(values).all(1)]
        gain = known[:, 1] - known[:, 0]
        half = student.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
        before, after = (f"{mean:.{digits}f}" for mean in known.mean(0))
        cells.append(f"{before} -> {after} ({gain.mean():+.{digits}f} ± {half:.{digits}f})")
    return f"| {' | '.join(cells)} |"


def asked() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--set", default="random")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--methods", default=METHODS)
    return parser.parse_args()


def print_table(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    """A line for each method."""
    print(f"| method | scenes | {' | '.join(MEASURES)} |")
    print(f"|---|---|{'---|' * len(MEASURES)}")
    for method in methods:
        print(line(rows, method))


def main() -> None:
    """Measure what is missing in the run, then print the table."""
    args = asked()
    methods = args.methods.split(",")
    args.run.touch()
    rows = [json.loads(line) for line in args.run.read_text().splitlines()]
    known = {(row["scene"], row["method"]) for row in rows}
    library = Catalogue.of(held_out_assets(args.assets)) if args.scenes else None
    for index in range(args.scenes):
        case = make_case(library, args.set, index)
        for method in methods:
            if (case.name, method) in known:
                continue
            row = {"scene": case.name, "method": method, "found": both(case, method)}
            rows.append(row)
            with args.run.open("a") as file:
                file.write(f"{json.dumps(row)}\n")
            print(row, flush=True)
    print_table(rows, methods)


if __name__ == "__main__":
    main()
