"""What the instances of a scene know of each other, measured where nothing else is in the way: the
pass of I-Scene in the scene's cube, with exact depth and camera and boxes as badly known as
estimated ones, on views of held-out objects.

    maquette data import HELD_OUT/ --out held-out
    python benchmarks/scene_context.py --library held-out --weights all=RUN --weights own=RUN ...

Per composition and generator, means over scenes, and after the first generator the paired
difference to it with half its 95 % interval. IoU: of an instance's inside with the true one, on the
decoder's cells. Hidden: the same among the cells that another object may hide, for instances with
at least LEAST_HIDDEN true cells there. Overlap: share of the insides that another instance holds as
well. Contact: of pairs that touch, the error of the way between the two surfaces where it is
shortest, in per cent of the scene's side (beyond twice the truncation distances are not told).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from maquette.checkpoints.embedded import load_models
from maquette.data.catalogue import Catalogue
from maquette.data.library import AssetLibrary
from maquette.data.scenes import SceneConfig
from maquette.data.views import ViewConfig
from maquette.evaluate.summary import bootstrap_interval, means_of
from maquette.flow.sample import seeded_noise
from maquette.geometry.volumes import TRUNCATION
from maquette.models.conditioning import instance_crop
from maquette.models.generator import GeneratorConfig
from maquette.models.lifting import lifted_grid
from maquette.stages.decode import decode
from maquette.stages.lift import Models
from maquette.stages.sample import Sampling, sample
from maquette.train.generator import inside_iou
from maquette.train.sequences import RowConfig, RowMaker, ShownView, disturb_box, show
from maquette.train.sources import RandomViews

COMPOSITIONS = "random,dense,small-on-large,tabletop"
MEASURES = ("IoU %", "hidden IoU %", "overlap %", "contact error %")
CELLS = 64
ROWS = RowConfig(augment=False)
HIDDEN = 4  # the lifted channel of cells that something else may hide
LEAST_HIDDEN = 20  # cells
TOUCHING = 1 / 64  # of the scene's side


@dataclass(frozen=True, eq=False)
class Truth:
    """A scene of N instances."""

    shown: ShownView
    labels: tuple[int, ...]
    distance: Tensor  # (N, R, R, R) in sides of the scene's cube, negative inside, truncated
    hidden: Tensor  # (N, R, R, R) bool: cells that another object may hide

    @property
    def touching(self) -> list[tuple[int, int]]:
        """Pairs of instances."""
        pairs = combinations(range(len(self.distance)), 2)
        return [pair for pair in pairs if between(self.distance, pair) < TOUCHING]


def between(distance: Tensor, pair: tuple[int, int]) -> float:
    """The way between two surfaces where it is shortest; below 0 where they run into each other."""
    one, other = pair
    return float((distance[one] + distance[other]).amin())


def grids(
    shown: ShownView,
    labels: Sequence[int | None],
    config: GeneratorConfig,
    blind: bool = False,
) -> Tensor:
    """(N, C, G, G, G) what is lifted into the scene's cube for instances, None = the scene; for
    ``blind`` instances nothing.
    """
    seen = shown.estimate(np.random.default_rng(0), shift_instances=True)
    lifted = []
    for label in labels:
        view = None if blind and label is not None else seen
        lifted.append(lifted_grid(view, shown.estimated, label, np.eye(4), None, config))
    return torch.stack(lifted)


def truths(library: AssetLibrary, composition: str, views: int) -> Iterator[Truth]:
    """Scenes of a composition in which at least two objects are seen."""
    scenes = SceneConfig(mix=((composition, 1.0),))
    source = RandomViews(Catalogue.of(library), scenes, ViewConfig(size=256))
    maker = RowMaker(library, ROWS, GeneratorConfig(), CELLS)
    found = index = 0
    while found < views:
        rng = np.random.default_rng((41, index))
        index += 1
        shown = show(source(rng), library, rng, ROWS)
        if len(shown.visible) >= 2:
            found += 1
            yield truth_of(shown, maker, rng)


def truth_of(shown: ShownView, maker: RowMaker, rng: np.random.Generator) -> Truth:
    """Of a view, whose boxes become as badly known as estimated ones."""
    boxes = {label: disturb_box(box, rng, 1.0) for label, box in shown.estimated.items()}
    shown = replace(shown, estimated=boxes)
    labels = tuple(k + 1 for k in shown.visible)
    volumes = [maker.target(shown.view, [k], np.eye(4)) for k in shown.visible]
    hidden = grids(shown, labels, GeneratorConfig())[:, HIDDEN : HIDDEN + 1]
    fine = F.interpolate(hidden, (CELLS,) * 3)[:, 0] > 0
    return Truth(shown, labels, torch.stack(volumes)[:, 0] * TRUNCATION, fine)


@torch.inference_mode()
def made(models: Models, truth: Truth, sampling: Sampling, blind: bool = False) -> Tensor:
    """(N, R, R, R) distances as a generator makes them, its instances beside its scene branch."""
    generator = models.generator
    config = generator.config
    labels = (None, *truth.labels)
    shown = truth.shown
    crops = [instance_crop(shown.image, shown.drawn, x, config.picture.size) for x in labels]
    pictures = torch.from_numpy(np.stack(crops))
    condition = generator.encode(pictures, grids(shown, labels, config, blind), models.vae)
    scene_of = torch.zeros(len(labels), dtype=torch.int64)
    scene_of[0] = -1
    noise = seeded_noise(config.flow.latent_shape, range(len(labels)))
    velocity_of = partial(generator.velocity, scene_of=scene_of)
    latents = sample(velocity_of, condition, noise, sampling.steps, sampling)
    return decode(models, latents[1:])[:, 0] * TRUNCATION


def measured(distance: Tensor, truth: Truth) -> list[float]:
    """The MEASURES of one scene; nan where there is nothing to measure."""
    inside, wanted = distance < 0, truth.distance < 0
    behind = (wanted & truth.hidden).sum((1, 2, 3)) >= LEAST_HIDDEN
    hidden = inside_iou(inside & truth.hidden, wanted & truth.hidden)[behind]
    shared = (inside.sum(0) > 1) & inside
    overlap = shared.sum() / inside.sum().clamp(min=1)
    off = [between(distance, pair) - between(truth.distance, pair) for pair in truth.touching]
    contact = np.abs(off).mean() if off else np.nan
    values = (inside_iou(inside, wanted).mean(), hidden.mean(), overlap, contact)
    return [100 * float(value) for value in values]


def table(scores: Mapping[str, Sequence[Sequence[float]]], composition: str) -> None:
    """Print the means of every generator, (scenes, measures) each, and differences to the first."""
    baseline = np.array(next(iter(scores.values())))
    for name, rows in scores.items():
        own = np.array(rows)
        cells = [f"{value:.1f}" for value in means_of(own)]
        change = own - baseline
        if np.nansum(np.abs(change)) > 0:
            low, high = bootstrap_interval(change)
            half = (high - low) / 2
            changes = [f"({c:+.1f} ± {h:.1f})" for c, h in zip(means_of(change), half)]
            cells = [" ".join(both) for both in zip(cells, changes)]
        print(f"| {composition} | {name} | {len(own)} | {' | '.join(cells)} |", flush=True)


def asked() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", required=True, help="held-out library with fields")
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--compositions", default=COMPOSITIONS)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--steps", type=int, default=Sampling.steps)
    parser.add_argument("--start", type=float, default=Sampling.start, help="1 = from noise")
    parser.add_argument(
        "--blind", action="store_true", help="nothing is lifted for instances: context must tell"
    )
    return parser.parse_args()


def generator_of(folder: str) -> Models:
    """What is measured of a folder of weights."""
    models = load_models(folder)
    return Models(models["generator"].model, models["volume-vae"].model)


def main() -> None:
    """Print the table."""
    chosen = asked()
    torch.set_num_threads(1)
    library = AssetLibrary.open(chosen.library)
    named = (given.split("=", 1) for given in chosen.weights)
    generators = {name: generator_of(folder) for name, folder in named}
    sampling = Sampling(chosen.steps, start=chosen.start)
    print(f"| composition | generator | scenes | {' | '.join(MEASURES)} |")
    print("|---" * (3 + len(MEASURES)) + "|")
    for composition in chosen.compositions.split(","):
        scores: dict[str, list[list[float]]] = {name: [] for name in generators}
        for truth in tqdm(truths(library, composition, chosen.views), composition, chosen.views):
            for name, models in generators.items():
                volumes = made(models, truth, sampling, chosen.blind)
                scores[name].append(measured(volumes, truth))
        table(scores, composition)


if __name__ == "__main__":
    main()
