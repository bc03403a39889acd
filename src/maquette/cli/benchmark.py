"""``maquette benchmark``: methods on fixed sets of held-out scenes, in one table."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from maquette.declare import add_options, chosen
from maquette.errors import InputError
from maquette.options import ExecutionOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from maquette.evaluate.benchmark import BenchmarkPlan
    from maquette.evaluate.cases import CaseSource
    from maquette.evaluate.contestants import Contestant

EPILOG = """examples:
  maquette benchmark --method iscene,boxes --scenes 48 --assets HELD_OUT/ --out runs/all --jobs 2
  maquette benchmark --set random,occlusion --weights old=runs/old --weights new=runs/new \\
                     --out runs/ablation
  maquette benchmark --from 3d-front/ --gt-format midi-3dfront --protocol midi,midi-fixed,iscene \\
                     --out runs/front
  maquette benchmark --method midi --weights half=runs/half --weights none=runs/none --title MIDI \\
                     --out runs/all --results results.md
  maquette benchmark --method comboverse --variants layout=ssds,sds,depth,none --scenes 4 \\
                     --title ComboVerse --out runs/all
photos and masks for another system, and its score:
  maquette benchmark --set rooms --prepare-only --out runs/rooms
  maquette benchmark --set rooms --method none --predictions theirs=their_glbs/ --out runs/rooms
methods: those of maquette generate, published models by name (maquette models), oracles that know
  the truth (boxes, spheres, truth), or none when there are --predictions.
sets: random, small-on-large, duplicates, occlusion, rooms, tabletop; all = every one.
formats: folder (one folder per scene), glb (a scene per file, photos are rendered), midi-3dfront.
  See docs/evaluation-data.md.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "benchmark",
        help="score methods on held-out scenes",
        description="Compose and render fixed sets of held-out scenes (or read your own), "
        "generate, score, and print tables.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scenes = parser.add_argument_group("scenes")
    scenes.add_argument(
        "--set",
        action="append",
        dest="sets",
        metavar="NAMES",
        help="repeat or separate by commas (default: random)",
    )
    scenes.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="scenes per set (default 48), or the first N of --from (default: all)",
    )
    scenes.add_argument(
        "--assets",
        metavar="FOLDER",
        help="held-out assets as .npz (default: procedural families never trained on)",
    )
    scenes.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        help="scenes with ground truth of your own instead of the sets",
    )
    scenes.add_argument(
        "--gt-format",
        default="folder",
        metavar="FORMAT",
        help="folder, glb or midi-3dfront (default: folder)",
    )
    methods = parser.add_argument_group("methods")
    methods.add_argument(
        "--method",
        action="append",
        metavar="NAMES",
        help="repeat or separate by commas (default: iscene)",
    )
    methods.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="not the embedded ones; repeat to compare",
    )
    methods.add_argument(
        "--variants",
        metavar="OPTION=VALUES",
        help="one contestant for each of several values of an option, such "
        "as layout (none, depth, sds, ssds) or fit (true, false)",
    )
    methods.add_argument(
        "--predictions",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another system's DIR/<scene>.glb",
    )
    methods.add_argument("--steps", type=int, help="sampling steps")
    methods.add_argument("--guidance", type=float, help="guidance weight (1 = off)")
    methods.add_argument(
        "--samples", type=int, default=1, help="tries per scene, the best by the self-check is kept"
    )
    methods.add_argument(
        "--iterations", type=int, metavar="N", help="of arranging, for methods that arrange"
    )
    methods.add_argument(
        "--no-fit",
        action="store_true",
        help="the generator alone: volumes are not held to mask and visible surface",
    )
    methods.add_argument("--seed", type=int, default=0)
    methods.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps or auto (default)"
    )
    parser.add_argument(
        "--protocol",
        action="append",
        metavar="NAMES",
        help="repeat or separate by commas (default: iscene)",
    )
    parser.add_argument(
        "--extra",
        action="append",
        metavar="NAMES",
        help="measure more: physics, boxes, volume, poses, emd, one-way (see maquette evaluate); "
        "repeat or separate by commas (default: physics,boxes; none = nothing more)",
    )
    parser.add_argument(
        "--baseline",
        metavar="METHOD",
        help="of ablation tables (default: the first of several --weights or --variants)",
    )
    parser.add_argument(
        "--title",
        default="",
        metavar="TEXT",
        help="the methods are variants: their own table of differences in --results",
    )
    parser.add_argument(
        "--results",
        metavar="FILE.md",
        help="write a page about everything in --out; FILE-text.md beside it is included",
    )
    parser.add_argument(
        "--out",
        metavar="RUN",
        help="folder for everything; a repeated command continues there; for maquette report",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="J",
        help="processes (default 1); the rows do not depend on it",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="T",
        help="CPU threads of each process (default 1)",
    )
    add_options(parser, ExecutionOptions)
    parser.add_argument(
        "--prepare-only", action="store_true", help="write the photos, masks and truths, and stop"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of the tables"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Benchmark."""
    import tempfile
    from pathlib import Path

    from maquette.evaluate.benchmark import prepare, run_benchmark
    from maquette.evaluate.comparison import as_json, comparison_tables
    from maquette.evaluate.results import write_results
    from maquette.evaluate.tables import markdown, unusable_table
    from maquette.execute.pool import processes
    from maquette.output import atomic_write

    with tempfile.TemporaryDirectory(prefix="maquette-benchmark-") as temporary:
        plan = plan_of(args, Path(args.out or temporary))
        with Bars() as bars:
            if args.prepare_only:
                with processes(plan.engine) as pool:
                    usable = prepare(plan, pool, bars)
                print(f"{len(usable.scenes)} scenes in {plan.out / 'scenes'}")
                return 0
            rows = run_benchmark(plan, bars)
        unusable = plan.folder.record()["unusable"]
    tables = comparison_tables(rows, plan.baseline)
    if unusable:
        tables.append(unusable_table(unusable))
    text = "\n\n".join(map(markdown, tables))
    if args.out:
        with atomic_write(plan.out / "table.md") as path:
            path.write_text(text + "\n", encoding="utf-8")
    if args.results:
        write_results(plan.out, Path(args.results))
    print(json.dumps(as_json(rows)) if args.json else text)
    return 0


def plan_of(args: argparse.Namespace, out: Path) -> BenchmarkPlan:
    """Arguments -> a plan. Raises InputError."""
    from maquette.evaluate.benchmark import BenchmarkPlan
    from maquette.execute.pool import Engine

    if (args.shard or args.merge) and not args.out:
        raise InputError("--shard and --merge need --out RUN, the folder that all machines share")
    made = _contestants(args)
    names = [c.name for c in made if c.kind == "generator"] or [c.name for c in made]
    compared = args.title or args.variants or len(args.weights) > 1
    baseline = args.baseline or (names[0] if names and compared else None)
    extra = [name for name in listed(args.extra or ["physics", "boxes"]) if name != "none"]
    return BenchmarkPlan(
        out,
        tuple(_sources(args)),
        tuple(made),
        protocols=tuple(listed(args.protocol or ["iscene"])),
        extra=tuple(extra),
        engine=Engine.of(chosen(ExecutionOptions, args), args.jobs, args.threads),
        title=args.title,
        baseline=baseline,
    )


def _sources(args: argparse.Namespace) -> Sequence[CaseSource]:
    from maquette.evaluate.readers import sources_of
    from maquette.evaluate.sets import SETS, SetSource, set_named

    if args.scenes is not None and args.scenes < 1:
        raise InputError(f"--scenes must be at least 1, got {args.scenes}")
    if args.source:
        return sources_of(args.source, args.gt_format, args.scenes)
    names = listed(args.sets or ["random"])
    names = list(SETS) if names == ["all"] else names
    for name in names:
        set_named(name)
    return [SetSource(name, k, args.assets) for name in names for k in range(args.scenes or 48)]


def _contestants(args: argparse.Namespace) -> list[Contestant]:
    from maquette.evaluate.contestants import contestants

    methods = [name for name in listed(args.method or ["iscene"]) if name != "none"]
    weights = dict(split(text, "") for text in args.weights)
    files = dict(split(text, None) for text in args.predictions)
    if len(weights) < len(args.weights):
        raise InputError(f"--weights {args.weights} need different names; write NAME=DIR for each")
    given = ("seed", "samples", "steps", "guidance", "device")
    options = {name: getattr(args, name) for name in given}
    if args.iterations is not None:
        options["iterations"] = args.iterations
    if args.no_fit:
        options["fit"] = False
    return contestants(methods, weights, files, options, variants_of(args.variants))


def variants_of(text: str | None) -> dict[str, dict[str, object]]:
    """OPTION=A,B as name -> option; {} without a text. Values are words, numbers, or true and
    false.
    """
    if not text:
        return {}
    option, values = split(text, None)
    known = {"true": True, "false": False}
    variants: dict[str, dict[str, object]] = {}
    for value in listed([values]):
        name = f"{option}-{value}" if value in known else value
        variants[name] = {option: known.get(value, _number(value))}
    return variants


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def listed(texts: list[str]) -> list[str]:
    """Repeated and comma-separated values as one list, each once."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    return list(dict.fromkeys(filter(None, parts)))


def split(text: str, name: str | None) -> tuple[str, str]:
    """NAME=DIR as a pair; without a name the given one, InputError when there is none."""
    left, equals, right = text.partition("=")
    if equals:
        return left, right
    if name is None:
        raise InputError(f"{text!r} has no name; write NAME=DIR")
    return name, text


class Bars:
    """One progress bar per stage on a terminal."""

    def __init__(self) -> None:
        self.bar = None
        self.stage = ""

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, stage: str, done: int, of: int) -> None:
        """Show that ``done`` of ``of`` are finished."""
        from tqdm import tqdm

        if stage != self.stage and of:
            self.__exit__()
            self.bar = tqdm(total=of, desc=stage, unit="scene", disable=not sys.stderr.isatty())
            self.stage = stage
        if self.bar is not None and stage == self.stage:
            self.bar.update(done - self.bar.n)
