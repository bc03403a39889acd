"""``maquette data``: import or make assets, look at random scenes, write training shards."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from maquette.declare import add_options, chosen
from maquette.errors import InputError
from maquette.options.data import DataSetOptions, ImportOptions
from maquette.options.execution import ExecutionOptions

if TYPE_CHECKING:
    from maquette.data.catalogue import Catalogue
    from maquette.data.shards import ShardConfig

PROCEDURAL_ASSETS = 24  # made when no library is given


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command and its actions."""
    parser = subparsers.add_parser(
        "data",
        help="import or make assets, preview random scenes, build training shards",
        description=__doc__,
    )
    actions = parser.add_subparsers(
        dest="action",
        metavar="ACTION",
        required=True,
    )

    importer = actions.add_parser(
        "import", help="clean, normalise and measure a folder of meshes; makes a library"
    )
    importer.add_argument(
        "folder",
        metavar="FOLDER",
        help="GLB, GLTF, OBJ, PLY, STL or .npz assets",
    )
    importer.add_argument(
        "--out",
        required=True,
        metavar="LIBRARY",
        help="folder of the library; continued when it exists",
    )
    add_options(importer, ImportOptions)
    importer.add_argument("--verbose", action="store_true", help="say of each file what was wrong")
    add_options(importer, ExecutionOptions)
    importer.set_defaults(run=run_import)

    maker = actions.add_parser(
        "make",
        help="write more assets to import: procedural ones, "
        "or those of a library in other proportions",
    )
    maker.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of .npz assets",
    )
    maker.add_argument(
        "--count",
        type=int,
        default=1000,
        metavar="N",
        help="(default: 1000)",
    )
    maker.add_argument(
        "--vary",
        type=Path,
        metavar="LIBRARY",
        help="stretch and taper its assets; default: procedural assets",
    )
    maker.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="(default: 0)",
    )
    maker.set_defaults(run=run_make)

    preview = actions.add_parser("preview", help="write a contact sheet of random scenes")
    preview.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="SHEET",
        help="the picture to write, .png or .jpg",
    )
    add_options(preview, DataSetOptions, ("library", "scenes", "views", "size", "kind", "seed"))
    preview.set_defaults(
        run=run_preview,
        scenes=12,
        views=3,
    )

    build = actions.add_parser(
        "build", help="write scenes and views as WebDataset shards; can be interrupted and repeated"
    )
    build.add_argument(
        "--out",
        required=True,
        metavar="SHARDS",
        help="folder of the shards; continued when it exists",
    )
    add_options(build, DataSetOptions)
    add_options(build, ExecutionOptions)
    build.set_defaults(run=run_build)


def run_import(args: argparse.Namespace) -> int:
    """Build or continue a library."""
    from maquette.data.importer import import_folder
    from maquette.execute.pool import Engine

    options = chosen(ImportOptions, args)
    engine = Engine.of(chosen(ExecutionOptions, args), options.jobs)
    progress = _progress("assets", time.monotonic())
    report = import_folder(args.folder, args.out, options, progress, engine)
    print(report.table())
    for name, reason in sorted(report.dropped.items()) if args.verbose else ():
        print(f"dropped {name}: {reason}")
    for name, lack in sorted(report.incomplete.items()) if args.verbose else ():
        print(f"incomplete {name}: {lack}")
    print(f"{report.library.folder}: {len(report.library)} assets")
    return 0


def run_make(args: argparse.Namespace) -> int:
    """Write procedural or varied assets."""
    from maquette.data.library import AssetLibrary
    from maquette.data.variants import make_assets

    if args.count < 1:
        raise InputError(f"--count must be at least 1, got {args.count}")
    originals = AssetLibrary.open(args.vary) if args.vary is not None else None
    make_assets(args.out, args.count, args.seed, originals, _progress("assets", time.monotonic()))
    print(f"{args.out}: {args.count} assets; next: maquette data import {args.out} --out LIBRARY")
    return 0


def run_preview(args: argparse.Namespace) -> int:
    """Write a contact sheet of a few scenes."""
    import cv2

    from maquette.data.preview import contact_sheet
    from maquette.data.shards import make_scene
    from maquette.output import atomic_write

    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(
            f"--out {args.out} is no picture; expected a name that ends in .png or .jpg"
        )
    asked, config, catalogue = _data_set(args)
    started = time.monotonic()
    scenes = [make_scene(catalogue, config, index)[1] for index in range(asked.scenes)]
    seconds = time.monotonic() - started
    with atomic_write(args.out) as temporary:
        cv2.imwrite(str(temporary), contact_sheet(scenes)[..., ::-1])
    rate = asked.scenes * asked.views / max(seconds, 1e-6)
    print(
        f"{args.out}: {asked.scenes} scenes of {len(catalogue)} assets, {asked.views} views each, "
        f"{rate:.1f} views/s"
    )
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Write the missing shards of a data set."""
    from maquette.data.shards import build_shards
    from maquette.execute.pool import Engine

    asked, config, catalogue = _data_set(args)
    started = time.monotonic()
    progress = _progress("scenes", started)
    engine = Engine.of(chosen(ExecutionOptions, args), asked.jobs)
    written = build_shards(catalogue, args.out, config, engine=engine, progress=progress)
    if engine.merge:
        print(f"{args.out}: all {config.shards} shards with {asked.scenes} scenes are there")
        return 0
    seconds = max(time.monotonic() - started, 1e-6)
    rate = written * asked.views / seconds
    kept = f", {asked.scenes - written} were there already" if written < asked.scenes else ""
    if not engine.share.is_all:
        kept = f", the share {engine.share} of {asked.scenes}"
    print(f"{args.out}: {written} scenes written in {seconds:.1f} s ({rate:.1f} views/s){kept}")
    return 0


def _data_set(args: argparse.Namespace) -> tuple[DataSetOptions, ShardConfig, Catalogue]:
    """What is asked for, how shards of it are made, and the assets."""
    asked = chosen(DataSetOptions, args)
    return asked, _shard_config(asked), _catalogue(asked.library, asked.seed)


def _shard_config(asked: DataSetOptions) -> ShardConfig:
    from maquette.data.scenes import SceneConfig
    from maquette.data.shards import ShardConfig
    from maquette.data.views import ViewConfig

    scene = SceneConfig(mix=((asked.kind, 1.0),)) if asked.kind else SceneConfig()
    view = ViewConfig(size=asked.size)
    return ShardConfig(asked.scenes, asked.views, asked.seed, asked.per_shard, scene, view)


def _catalogue(folder: str | None, seed: int) -> Catalogue:
    """Open a library, or make procedural assets."""
    import numpy as np

    from maquette.data.catalogue import AssetList, Catalogue
    from maquette.data.library import AssetLibrary
    from maquette.data.procedural import procedural_asset

    if folder is not None:
        return Catalogue.of(AssetLibrary.open(folder))
    print(f"no --library: making {PROCEDURAL_ASSETS} procedural assets", file=sys.stderr)
    generators = [np.random.default_rng((seed, k)) for k in range(PROCEDURAL_ASSETS)]
    return Catalogue.of(AssetList(tuple(map(procedural_asset, generators))))


def _progress(what: str, started: float) -> Callable[[int, int], None]:
    """Return a callback that keeps one line on stderr up to date."""

    def show(done: int, total: int) -> None:
        seconds = time.monotonic() - started
        end = "\r" if done < total and sys.stderr.isatty() else "\n"
        line = f"{done}/{total} {what} after {seconds:.0f} s"
        print(
            line,
            end=end,
            file=sys.stderr,
            flush=True,
        )

    return show
