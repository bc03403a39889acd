"""``maquette benchmark``: methods on fixed sets of held-out scenes, in one table."""

from __future__ import annotations

import argparse
import sys

EPILOG = """examples:
  maquette benchmark --method iscene --method boxes --scenes 48 --assets HELD_OUT_NPZ/ --out runs/benchmark
  maquette benchmark --method iscene --weights runs/weights --set random --set occlusion
methods: the generators (iscene), and oracles that show what layout alone is worth (boxes, spheres).
sets: random, small-on-large, duplicates, occlusion, rooms, tabletop.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "benchmark", help="score methods on held-out scenes",
        description="Compose, render, generate and score fixed sets of held-out scenes.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--method", action="append", metavar="NAME", help="iscene, boxes or spheres; repeat for several (default: iscene)")
    parser.add_argument("--set", action="append", dest="sets", metavar="NAME", help="repeat for several (default: random)")
    parser.add_argument("--scenes", type=int, default=48, metavar="N", help="scenes per set (default 48)")
    parser.add_argument("--assets", metavar="FOLDER", help="held-out assets as .npz (default: procedural families never trained on)")
    parser.add_argument("--weights", metavar="DIR", help="a folder of weights instead of the embedded ones")
    parser.add_argument("--protocol", default="iscene", help="evaluation protocol (default: iscene)")
    parser.add_argument("--out", metavar="RUN", help="folder for rows.csv and table.md; a repeated command continues there")
    parser.add_argument("--steps", type=int, help="sampling steps")
    parser.add_argument("--guidance", type=float, help="guidance weight (1 = off)")
    parser.add_argument("--samples", type=int, default=1, help="tries per scene, the best by the self-check is kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Benchmark."""
    from pathlib import Path

    import torch
    from tqdm import tqdm

    from maquette.checkpoints.embedded import load_models
    from maquette.errors import InputError
    from maquette.evaluate.benchmark import held_out_assets, oracle_boxes, oracle_spheres, run_benchmark, scene_meshes, summary, table
    from maquette.output import atomic_write
    from maquette.pipeline import METHODS, generate

    if args.threads:
        torch.set_num_threads(args.threads)
    oracles = {"boxes": oracle_boxes, "spheres": oracle_spheres}
    names = list(dict.fromkeys(args.method or ["iscene"]))
    for name in names:
        if name not in METHODS and name not in oracles:
            raise InputError(f"unknown method {name!r}; choose from {', '.join([*METHODS, *oracles])}")
    models = load_models(args.weights) if any(name in METHODS for name in names) else None

    def generated(name: str):
        options = {"method": name, "seed": args.seed, "samples": args.samples, "steps": args.steps, "guidance": args.guidance}
        return lambda case: scene_meshes(generate(case.scene_input, models=models, **options))

    methods = {name: generated(name) if name in METHODS else oracles[name] for name in names}
    with tqdm(total=len(args.sets or [0]) * args.scenes, unit="scene", disable=not sys.stderr.isatty()) as bar:
        rows = run_benchmark(held_out_assets(args.assets), args.sets or ["random"], args.scenes, methods, args.protocol, args.out,
                             lambda done, total: bar.update(done - bar.n))  # fmt: skip
    text = table(rows)
    if args.out:
        with atomic_write(Path(args.out) / "table.md") as temporary:
            temporary.write_text(f"protocol {rows[0].protocol}\n\n{text}\n")
    print(summary(rows) if args.json else f"protocol {rows[0].protocol}\n\n{text}")
    return 0
