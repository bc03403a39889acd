"""What estimates of shapes are worth: the cues of `stages/estimate.py` against the true F-score of
every object of a benchmark run, on scenes that were left out of the fit.

    maquette benchmark --set random --scenes 48 --method iscene --assets ASSETS --out RUN
    python benchmarks/shape_estimates.py RUN --assets ASSETS

Prints the rank correlation and the expected calibration error (ten bins of equal size) by
cross-validation over scenes, and the numbers of the rule fitted on all of them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from maquette.checkpoints.embedded import PERCEPTION, load_models
from maquette.data.catalogue import Catalogue
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.stages.estimate import CUES, cues_of
from maquette.stages.perceive import perceive

FOLDS = 8
BINS = 10
RIDGE = 3.0


def objects_of(run: Path, method: str) -> dict[str, dict[str, float]]:
    """Scene -> node -> F-score of the object by itself, in [0, 1]."""
    found: dict[str, dict[str, float]] = {}
    with (run / "objects.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] == method and row["protocol"].startswith("iscene/"):
                found.setdefault(row["scene"], {})[row["node"]] = float(row["f_o"]) / 100
    return found


def collected(run: Path, method: str, assets: str | None) -> tuple[np.ndarray, ...]:
    """Cues (N, 3), F-scores (N,), and the number of each object's scene (N,)."""
    library = Catalogue.of(held_out_assets(assets))
    (net,) = load_models().models((PERCEPTION,), torch.device("cpu"))
    cues, scores, scenes = [], [], []
    for number, (scene, nodes) in enumerate(tqdm(sorted(objects_of(run, method).items()))):
        name, index = scene.split("/")
        given = make_case(library, name, int(index)).scene_input
        perception = perceive(net, given)
        for mask in given.masks:
            told = cues_of(perception, mask.label)
            score = nodes.get(f"instance_{mask.label}")
            if told is not None and score is not None:
                cues.append(told)
                scores.append(score)
                scenes.append(number)
    return np.array(cues), np.array(scores), np.array(scenes)


def fitted(cues: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and spread of the cues, and the gains with the mean score as last entry."""
    mean, spread = cues.mean(0), cues.std(0)
    design = np.c_[(cues - mean) / spread, np.ones(len(cues))]
    penalty = RIDGE * np.diag([1.0] * cues.shape[1] + [0.0])
    return mean, spread, np.linalg.solve(design.T @ design + penalty, design.T @ scores)


def cross_validated(cues: np.ndarray, scores: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """Estimates (N,), each by a rule that has not seen its scene."""
    order = np.random.default_rng(0).permutation(np.unique(scenes))
    estimates = np.zeros(len(scores))
    for fold in range(FOLDS):
        out = np.isin(scenes, order[fold::FOLDS])
        mean, spread, gains = fitted(cues[~out], scores[~out])
        estimates[out] = (cues[out] - mean) / spread @ gains[:-1] + gains[-1]
    return np.clip(estimates, 0, 1)


def calibration_error(estimates: np.ndarray, scores: np.ndarray) -> float:
    """Mean distance of estimate and truth over bins of equal size."""
    bins = np.array_split(np.argsort(estimates), BINS)
    return sum(len(b) * abs(estimates[b].mean() - scores[b].mean()) for b in bins) / len(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--assets")
    parser.add_argument("--method", default="iscene")
    args = parser.parse_args()
    cues, scores, scenes = collected(args.run, args.method, args.assets)
    estimates = cross_validated(cues, scores, scenes)
    print(f"{len(scores)} objects of {len(np.unique(scenes))} scenes")
    print(f"rank correlation {spearmanr(estimates, scores)[0]:.3f}")
    print(f"expected calibration error {calibration_error(estimates, scores):.3f}")
    mean, spread, gains = fitted(cues, scores)
    for cue, *numbers in zip(CUES, mean, spread, gains):
        print(f"{cue.reason}: mean, spread, gain " + " ".join(f"{n:.4f}" for n in numbers))
    print(f"mean F-score {gains[-1]:.3f}")


if __name__ == "__main__":
    main()
