"""How often ``stages.support`` says rightly what objects stand on.

    python benchmarks/supports.py [--sets small-on-large,tabletop] [--scenes 14] [--assets DIR]

Truth: the benchmark's own scenes, whose meshes say what stands on what.
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from tqdm import tqdm

from maquette.checkpoints.embedded import PERCEPTION, load_models
from maquette.data.catalogue import Catalogue
from maquette.evaluate.cases import Case, label_of
from maquette.evaluate.sets import held_out_assets, make_case, stacked
from maquette.stages.perceive import perceive
from maquette.types import GROUND

SETS = "small-on-large,tabletop,random,rooms,occlusion"
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


def verdict(said: int | str | None, true: int | str | None) -> str:
    kind = "ground" if true == GROUND else "object" if true is not None else "other"
    if said is None:
        return f"{kind} not said"
    return f"{kind} {'right' if said == true else 'WRONG'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--scenes", type=int, default=14)
    parser.add_argument("--assets")
    args = parser.parse_args()
    library = Catalogue.of(held_out_assets(args.assets))
    (net,) = load_models().models((PERCEPTION,), torch.device("cpu"))
    for name in args.sets.split(","):
        found: Counter[str] = Counter()
        for index in tqdm(range(args.scenes), desc=name, disable=None):
            case = make_case(library, name, index)
            supports = perceive(net, case.scene_input).supports
            for label, true in true_supports(case).items():
                if label in supports:
                    said = verdict(supports[label].on, true)
                    found[said] += 1
                    if "WRONG" in said:
                        print(f"  {case.name} label {label}: {supports[label]}, truly {true}")
        print(f"{name}: {dict(sorted(found.items()))}", flush=True)


if __name__ == "__main__":
    main()
