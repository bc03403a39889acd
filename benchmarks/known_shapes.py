"""What it gains that bodies of revolution and boxes are told by their outlines (stages/profile.py,
stages/cuboid.py): scenes of the benchmark made with and without, paired.

    python benchmarks/known_shapes.py --assets HELD_OUT/ [--set random] [--scenes 48]

Scene F, object F and box IoU by protocol iscene with fewer points. Scenes without any such shape
are the same both times and count as 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
from scipy.stats import t as student
from standing import scores
from tqdm import tqdm

import maquette
from maquette.checkpoints.embedded import load_models
from maquette.data.catalogue import Catalogue
from maquette.evaluate.cases import Case
from maquette.evaluate.sets import held_out_assets, make_case
from maquette.stages.profile import found_bodies
from maquette.stages.turned import Bodies, KnownShape

MEASURES = ("scene F", "object F", "box IoU")


def made(case: Case, models: object, is_off: bool) -> tuple[maquette.Scene, tuple[int, ...]]:
    """A case's scene, and the labels of known shapes."""
    found: dict[int, KnownShape] = {}

    def find(*given: object) -> Bodies:
        found.update({} if is_off else found_bodies(*given))  # type: ignore[arg-type]
        return found

    with mock.patch("maquette.stages.perceive.found_bodies", find):
        scene = maquette.generate(case.scene_input, models=models, seed=0)
    return scene, tuple(found)


def measured(case: Case, models: object) -> tuple[np.ndarray, int] | None:
    """Scores (2, 3) without and with, and how many shapes are known; None without any."""
    scene, labels = made(case, models, is_off=False)
    if not labels:
        return None
    plain, _ = made(case, models, is_off=True)
    both = [scores(one, case) for one in (plain, scene)]
    return np.array(both), len(labels)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--set", default="random")
    parser.add_argument("--scenes", type=int, default=48)
    chosen = parser.parse_args()
    models = load_models(None)
    library = Catalogue.of(held_out_assets(chosen.assets))
    gains = np.zeros((chosen.scenes, len(MEASURES)))
    objects = 0
    for index in tqdm(range(chosen.scenes), desc="scenes"):
        found = measured(make_case(library, chosen.set, index), models)
        if found is None:
            continue
        gains[index] = found[0][1] - found[0][0]
        objects += found[1]
        tqdm.write(f"{index}: {found[1]} shapes, {found[0].round(3).tolist()}")
    half = student.ppf(0.975, len(gains) - 1) * gains.std(0, ddof=1) / len(gains) ** 0.5
    print(f"{objects} known shapes in {len(gains)} scenes, {(gains != 0).any(1).sum()}")
    for name, gain, spread in zip(MEASURES, gains.mean(0), half):
        print(f"| {name} | {gain:+.3f} ± {spread:.3f} |")


if __name__ == "__main__":
    main()
