"""What it gains that bodies of revolution and boxes are told by their outlines (stages/known.py):
scenes of the benchmark made with and without, paired.

    python benchmarks/known_shapes.py --assets HELD_OUT/ [--set random] [--scenes 48]

Scene F, object F and box IoU by protocol iscene with fewer points. Scenes without any such shape
are the same both times and count as 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from standing import scores
from tqdm import tqdm

import maquette
from maquette.checkpoints.embedded import PERCEPTION, ModelSet, load_models
from maquette.data.catalogue import Catalogue
from maquette.evaluate.cases import Case
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.stages.perceive import perceive

MEASURES = ("scene F", "object F", "box IoU")


def measured(case: Case, models: ModelSet) -> tuple[np.ndarray, int]:
    """What knowing shapes gains (3,), and how many are known."""
    (net,) = models.models((PERCEPTION,), "cpu")
    count = len(perceive(net, case.scene_input).shapes)
    if count == 0:
        return np.zeros(len(MEASURES)), 0
    plain, known = (
        scores(maquette.generate(case.scene_input, models=models, revolve=revolve), case)
        for revolve in (False, True)
    )
    tqdm.write(f"{case.name}: {count} known, {plain.round(3)} -> {known.round(3)}")
    return known - plain, count


def print_gains(gains: np.ndarray, counts: np.ndarray) -> None:
    """Means of gains (scenes, 3) with half their 95 % intervals, and how many shapes are known."""
    half = student.ppf(0.975, len(gains) - 1) * gains.std(0, ddof=1) / len(gains) ** 0.5
    print(f"{counts.sum()} known shapes in {(counts > 0).sum()} of {len(counts)} scenes")
    for name, gain, spread in zip(MEASURES, gains.mean(0), half):
        print(f"| {name} | {gain:+.3f} ± {spread:.3f} |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--set", default="random")
    parser.add_argument("--scenes", type=int, default=48)
    chosen = parser.parse_args()
    models = load_models(None)
    library = Catalogue.of(held_out_assets(chosen.assets))
    rows = []
    for index in tqdm(range(chosen.scenes), desc="scenes"):
        rows.append(measured(make_case(library, chosen.set, index), models))
    gains, counts = zip(*rows)
    print_gains(np.array(gains), np.array(counts))


if __name__ == "__main__":
    main()
