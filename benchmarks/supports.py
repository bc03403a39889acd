"""How often ``stages.support`` says rightly what objects stand on.

    python benchmarks/supports.py [--sets small-on-large,low-cameras] [--scenes 14] [--first 0]
    python benchmarks/supports.py --placement

With ``--placement`` true boxes are put where the estimated distances want them, and their IoU with
the truth after the best scale and shift is what placing alone costs: objects where their estimated
boxes are against the joint solve of ``stages.contacts``; with the paired 95 % interval.

Truth: the benchmark's own scenes, whose meshes say what stands on what.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import trimesh
from scipy.stats import binomtest
from support_sets import SUPPORT_SETS
from tqdm import tqdm

from maquette.checkpoints.embedded import PERCEPTION, load_models
from maquette.data.catalogue import Catalogue
from maquette.evaluate.cases import Case, label_of
from maquette.evaluate.sets import SETS, drawn_case, held_out_assets, stacked
from maquette.geometry.boxes import box_iou
from maquette.geometry.transforms import transform_points
from maquette.models.conditioning import letterboxed_camera
from maquette.models.image_encoder import GeometryNet
from maquette.render.rasterize import RenderBuffers, rasterize
from maquette.stages import perceive as perceive_module
from maquette.stages.contacts import in_contact
from maquette.stages.frame import DepthPicture
from maquette.stages.perceive import perceive
from maquette.stages.support import find_supports
from maquette.types import GROUND, Camera, Support

OWN = "small-on-large,tabletop,random,rooms,occlusion"
ALL = ",".join([OWN, *SUPPORT_SETS])
NEAR = 0.01  # of the scene's longest side


def true_supports(case: Case) -> dict[int, int | str | None]:
    """Label -> label or GROUND; None for what hangs or leans."""
    pairs = {label_of(upper): label_of(lower) for upper, lower in stacked(case.truth)}
    bottoms = {label_of(name): mesh.bounds[0, 1] for name, mesh in case.truth.items()}
    lowest = min(bottoms.values())
    return {
        label: pairs.get(label, GROUND if bottom - lowest < NEAR else None)
        for label, bottom in bottoms.items()
    }


def cases_of(library: Catalogue, name: str, scenes: Iterable[int]) -> Iterator[Case]:
    """Scenes of one of the benchmark's sets, or of those here, by number."""
    scene_set = SUPPORT_SETS.get(name) or SETS[name]
    return (drawn_case(library, scene_set, name, index) for index in scenes)


def shares(counted: Counter[str]) -> str:
    """Of all pairs, how many are said rightly, and of all that is said, how much is wrong; with
    95 % intervals (Wilson, 1927). A pair is an object with a mask and what it truly stands on,
    another object or the ground; what hangs or leans is in none.
    """
    known = {key: count for key, count in counted.items() if not key.startswith("other")}
    right = sum(count for key, count in counted.items() if key.endswith("right"))
    wrong = sum(count for key, count in counted.items() if key.endswith("WRONG"))
    pairs = sum(known.values())
    return f"right {_share(right, pairs)} of {pairs} pairs, wrong {_share(wrong, right + wrong)}"


def _share(count: int, of: int) -> str:
    interval = binomtest(count, max(of, 1)).proportion_ci(0.95, "wilson")
    return f"{count / max(of, 1):.3f} ({interval.low:.3f} to {interval.high:.3f})"


def verdict(said: int | str | None, true: int | str | None) -> str:
    kind = "ground" if true == GROUND else "object" if true is not None else "other"
    if said is None:
        return f"{kind} not said"
    return f"{kind} {'right' if said == true else 'WRONG'}"


def place_scores(case: Case, net: GeometryNet) -> tuple[float, float]:
    """Mean box IoU with objects where their own boxes are, and with all contacts solved."""
    pairs = []

    def both(raw: DepthPicture, boxed: DepthPicture, supports: Mapping[int, Support]) -> None:
        pairs.extend([boxed, in_contact(raw, boxed, supports)])

    with patch.object(perceive_module, "find_supports", _noting(both)):
        perceive_module.perceive(net, case.scene_input)
    return tuple(_placed_iou(case, seen) for seen in pairs)


def _noting(both: Callable[..., None]) -> Callable[..., Any]:
    boxed_into = perceive_module.into_boxes
    given = []

    def remember(seen: DepthPicture, boxes: Mapping[int, np.ndarray]) -> DepthPicture:
        given.append(seen)
        return boxed_into(seen, boxes)

    perceive_module.into_boxes = remember

    def noted(boxed: DepthPicture, boxes: Mapping[int, np.ndarray]) -> dict[int, Support]:
        perceive_module.into_boxes = boxed_into
        found = find_supports(boxed, boxes)
        both(given[0], boxed, found)
        return found

    return noted


def _placed_iou(case: Case, seen: DepthPicture) -> float:
    """True boxes scaled and moved along the estimated rays to the estimated mean depths."""
    true_camera = letterboxed_camera(case.camera, seen.picture)
    drawn = _drawn(case, true_camera)
    estimated = letterboxed_camera(seen.camera, seen.picture)
    truth = []
    placed = []
    for name, mesh in case.truth.items():
        own = (seen.picture.labels == label_of(name)) & (drawn.instance == label_of(name))
        if not own.any():
            continue
        pixel = np.argwhere(own).mean(0)[::-1] + 0.5
        near = np.exp(np.log(drawn.depth[own]).mean())
        far = np.exp(np.log(seen.depth[own]).mean())
        focal = true_camera.intrinsics[0, 0] / estimated.intrinsics[0, 0]
        scale = far / near * focal
        at_true = _at_depth(true_camera, pixel, near)
        at_estimate = _at_depth(estimated, pixel, far)
        box = np.asarray(mesh.bounds)
        truth.append(box)
        placed.append(at_estimate + (box - at_true) * scale)
    return float(np.mean([box_iou(a, b) for a, b in zip(*_aligned(placed, truth))]))


def _drawn(case: Case, camera: Camera) -> RenderBuffers:
    """The truth as a camera sees it."""
    meshes = list(case.truth.values())
    whole = trimesh.util.concatenate(meshes)
    owners = np.repeat([label_of(n) for n in case.truth], [len(m.faces) for m in meshes])
    return rasterize(whole.vertices, whole.faces, camera, face_instance=owners.astype(np.int32))


def _at_depth(camera: Camera, pixel: np.ndarray, depth: float) -> np.ndarray:
    ray = np.linalg.inv(camera.intrinsics) @ [*pixel, 1.0]
    return transform_points(camera.world_from_camera, ray * depth)


def _aligned(placed: list[np.ndarray], truth: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The placed boxes after the best scale and shift onto the true ones."""
    a = np.array(placed).reshape(-1, 3)
    b = np.array(truth).reshape(-1, 3)
    centred = a - a.mean(0)
    scale = (centred * (b - b.mean(0))).sum() / (centred**2).sum()
    fitted = centred * scale + b.mean(0)
    return fitted.reshape(-1, 2, 3), np.array(truth)


def compare_placement(library: Catalogue, net: GeometryNet, sets: str, scenes: range) -> None:
    everything = []
    for name in sets.split(","):
        cases = cases_of(library, name, scenes)
        scores = np.array([place_scores(case, net) for case in tqdm(cases, name, disable=None)])
        everything.append(scores)
        print(f"{name}: {_gain(scores)}", flush=True)
    print(f"all: {_gain(np.concatenate(everything))}")


def _gain(scores: np.ndarray) -> str:
    before, after = scores.T
    gain = after - before
    error = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    return f"box IoU {before.mean():.3f} -> {after.mean():.3f} ({gain.mean():+.3f} +- {error:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=ALL)
    parser.add_argument("--scenes", type=int, default=14)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--assets")
    parser.add_argument("--placement", action="store_true")
    args = parser.parse_args()
    library = Catalogue.of(held_out_assets(args.assets))
    (net,) = load_models().models((PERCEPTION,), torch.device("cpu"))
    numbers = range(args.first, args.first + args.scenes)
    if args.placement:
        compare_placement(library, net, args.sets, numbers)
        return
    everything: Counter[str] = Counter()
    for name in args.sets.split(","):
        cases = cases_of(library, name, numbers)
        counted: Counter[str] = sum(
            (verdicts(c, net) for c in tqdm(cases, name, disable=None)), Counter()
        )
        everything += counted
        print(f"{name}: {dict(sorted(counted.items()))}; {shares(counted)}", flush=True)
    print(f"all: {dict(sorted(everything.items()))}; {shares(everything)}")


def verdicts(case: Case, net: GeometryNet) -> Counter[str]:
    """How often each verdict holds in a scene; what is wrong is printed."""
    found: Counter[str] = Counter()
    supports = perceive(net, case.scene_input).supports
    for label, true in true_supports(case).items():
        if label in supports:
            said = verdict(supports[label].on, true)
            found[said] += 1
            if "WRONG" in said:
                print(f"  {case.name} label {label}: {supports[label]}, truly {true}")
    return found


if __name__ == "__main__":
    main()
