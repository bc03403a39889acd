"""``maquette benchmark``: methods on fixed sets of held-out scenes, in one table."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from maquette.declare import add_options, chosen
from maquette.errors import InputError
from maquette.options import SceneOptions
from maquette.options.benchmark import BenchmarkOptions
from maquette.options.execution import ExecutionOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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

GENERATING = ("seed", "samples", "steps", "guidance", "device")  # a contestant always has them
CHANGING = ("iterations", "fit")  # it has them when they differ from the default


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
    add_options(parser, BenchmarkOptions)
    add_options(parser, ExecutionOptions)
    add_options(parser, SceneOptions, (*GENERATING, *CHANGING))
    parser.add_argument(
        "--prepare-only", action="store_true", help="write the photos, masks and truths, and stop"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of the tables"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Benchmark."""
    import contextlib
    import tempfile

    from maquette.evaluate.benchmark import prepare, run_benchmark
    from maquette.evaluate.comparison import as_json, comparison_tables
    from maquette.evaluate.results import write_results
    from maquette.evaluate.tables import markdown, unusable_table
    from maquette.execute.pool import processes
    from maquette.execute.store import is_far, local_copy, path_at, written

    with contextlib.ExitStack() as folders:
        own = folders.enter_context(tempfile.TemporaryDirectory(prefix="maquette-benchmark-"))
        out = path_at(args.out or own)
        if is_far(out) and args.engine != "local":
            raise InputError(
                f"--out {out}: the workers of a cluster write into one folder; let all machines "
                "share one, or use --shard I/N, which writes to a URL"
            )
        plan = plan_of(args, folders.enter_context(local_copy(out, "run.json")))
        with Bars() as bars:
            if args.prepare_only:
                with processes(plan.engine) as pool:
                    usable = prepare(plan, pool, bars)
                print(f"{len(usable.scenes)} scenes in {out / 'scenes'}")
                return 0
            rows = run_benchmark(plan, bars)
        unusable = plan.folder.record()["unusable"]
        tables = comparison_tables(rows, plan.baseline)
        if unusable:
            tables.append(unusable_table(unusable))
        text = "\n\n".join(map(markdown, tables))
        if args.out:
            with written(plan.out / "table.md") as path:
                path.write_text(text + "\n", encoding="utf-8")
        if args.results:
            write_results(plan.out, path_at(args.results))
    print(json.dumps(as_json(rows)) if args.json else text)
    return 0


def plan_of(args: argparse.Namespace, out: Path) -> BenchmarkPlan:
    """Arguments -> a plan. Raises InputError."""
    from maquette.evaluate.benchmark import BenchmarkPlan
    from maquette.execute.pool import Engine

    if (args.shard or args.merge) and not args.out:
        raise InputError("--shard and --merge need --out RUN, the folder that all machines share")
    asked = chosen(BenchmarkOptions, args)
    made = _contestants(asked, _of_methods(args))
    names = [c.name for c in made if c.kind == "generator"] or [c.name for c in made]
    compared = asked.title or asked.variants or len(asked.weights) > 1
    baseline = asked.baseline or (names[0] if names and compared else None)
    extra = [name for name in listed(asked.extra or ("physics", "boxes")) if name != "none"]
    return BenchmarkPlan(
        out,
        tuple(_sources(asked)),
        tuple(made),
        protocols=tuple(listed(asked.protocols or ("iscene",))),
        extra=tuple(extra),
        engine=Engine.of(chosen(ExecutionOptions, args), asked.jobs, asked.threads),
        title=asked.title,
        baseline=baseline,
    )


def _of_methods(args: argparse.Namespace) -> dict[str, object]:
    """What the methods are told."""
    options = chosen(SceneOptions, args)
    changed = (name for name in CHANGING if getattr(options, name) != getattr(SceneOptions, name))
    return {name: getattr(options, name) for name in (*GENERATING, *changed)}


def _sources(asked: BenchmarkOptions) -> Sequence[CaseSource]:
    from maquette.evaluate.readers import sources_of
    from maquette.evaluate.sets import SETS, SetSource, set_named
    from maquette.execute.store import kept_here

    if asked.source:
        return sources_of(kept_here(asked.source), asked.gt_format, asked.scenes)
    names = listed(asked.sets or ("random",))
    names = list(SETS) if names == ["all"] else names
    for name in names:
        set_named(name)
    count = asked.scenes or 48
    assets = asked.assets and str(kept_here(asked.assets))
    return [SetSource(name, k, assets) for name in names for k in range(count)]


def _contestants(asked: BenchmarkOptions, options: dict[str, object]) -> list[Contestant]:
    from maquette.evaluate.contestants import contestants
    from maquette.execute.store import kept_here

    methods = [name for name in listed(asked.methods or ("iscene",)) if name != "none"]
    named = [split(text, "") for text in asked.weights]
    weights = {name: str(kept_here(folder)) for name, folder in named}
    predictions = [split(text, None) for text in asked.predictions]
    files = {name: str(kept_here(folder)) for name, folder in predictions}
    if len(weights) < len(asked.weights):
        given = " ".join(asked.weights)
        raise InputError(f"--weights {given} need different names; write NAME=DIR for each")
    return contestants(methods, weights, files, options, variants_of(asked.variants))


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


def listed(texts: Iterable[str]) -> list[str]:
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

    def __call__(
        self,
        stage: str,
        done: int,
        of: int,
    ) -> None:
        """Show that ``done`` of ``of`` are finished."""
        from tqdm import tqdm

        if stage != self.stage and of:
            self.__exit__()
            self.bar = tqdm(
                total=of,
                desc=stage,
                unit="scene",
                disable=not sys.stderr.isatty(),
            )
            self.stage = stage
        if self.bar is not None and stage == self.stage:
            self.bar.update(done - self.bar.n)
