"""``maquette report``: a benchmark's run folder as one HTML page."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

PAGE = "report.html"
EPILOG = """examples:
  maquette report runs/benchmark
  maquette report s3://bucket/benchmark
  maquette report runs/ablation --baseline old --out ablation.html --jobs 2
tables in Markdown, with results-text.md beside it included:
  maquette report runs/all --results results.md

The page holds everything and needs no network: tables with their protocol, plots, all scenes with
pictures, and every scene in 3D.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "report",
        help="a benchmark as one HTML page",
        description="Write one self-contained HTML page about a benchmark's run folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="RUN", help="the --out folder of maquette benchmark")
    parser.add_argument("--out", metavar="FILE", help="the page (default: RUN/report.html)")
    parser.add_argument(
        "--baseline", metavar="METHOD", help="add the ablation tables against this method"
    )
    parser.add_argument(
        "--results",
        metavar="FILE.md",
        help="instead: methods, costs and ablations in Markdown (see: maquette benchmark)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="J",
        help="processes that draw (default 1)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: the page and its size"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Report."""
    from maquette.errors import InputError
    from maquette.evaluate.results import write_results
    from maquette.execute.store import local_copy, path_at, written

    if args.jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {args.jobs}")
    run_folder = path_at(args.folder)
    page = path_at(args.out) if args.out else run_folder / PAGE
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(local_copy(run_folder, PAGE))
        if args.results:
            page = write_results(here, path_at(args.results))
            print(json.dumps({"page": str(page)}) if args.json else page)
            return 0
        own = stack.enter_context(written(page)) if args.out else here / PAGE
        _write(here, own, args)
        size = own.stat().st_size / 2**20
    told = json.dumps({"page": str(page), "mb": round(size, 2)})
    print(told if args.json else f"{page} ({size:.1f} MB)")
    return 0


def _write(folder: Path, page: Path, args: argparse.Namespace) -> None:
    """Write the page, with a bar of the scenes that are drawn."""
    from tqdm import tqdm

    from maquette.evaluate.report import write_report

    with tqdm(unit="scene", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        write_report(
            folder,
            page,
            baseline=args.baseline,
            jobs=args.jobs,
            progress=progress,
        )
