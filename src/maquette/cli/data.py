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
from maquette.options import ExecutionOptions

if TYPE_CHECKING:
    from maquette.data.catalogue import Catalogue
    from maquette.data.shards import ShardConfig
    from maquette.execute.pool import Engine

PROCEDURAL_ASSETS = 24  # made when no library is given
KINDS = ("random", "small-on-large", "duplicates", "dense", "tabletop", "room")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command and its actions."""
    parser = subparsers.add_parser(
        "data",
        help="import or make assets, preview random scenes, build training shards",
        description=__doc__,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    importer = actions.add_parser(
        "import", help="clean, normalise and measure a folder of meshes; makes a library"
    )
    importer.add_argument(
        "folder", type=Path, metavar="FOLDER", help="GLB, GLTF, OBJ, PLY, STL or .npz assets"
    )
    importer.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="LIBRARY",
        help="folder of the library; continued when it exists",
    )
    importer.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default: 1)")
    importer.add_argument(
        "--up", choices=("y", "z"), default="y", help="upward axis of the files (default: y)"
    )
    importer.add_argument("--metric", action="store_true", help="the files' unit is the metre")
    importer.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the order of the assets (default: 0)"
    )
    importer.add_argument(
        "--no-fields",
        dest="fields",
        action="store_false",
        help="leave out the distance fields, which take most of the time: enough for scenes, views "
        "and the image encoder, not for the VAE or the generator",
    )
    importer.add_argument("--verbose", action="store_true", help="say of each file what was wrong")
    add_options(importer, ExecutionOptions)
    importer.set_defaults(run=run_import)

    maker = actions.add_parser(
        "make",
        help="write more assets to import: procedural ones, "
        "or those of a library in other proportions",
    )
    maker.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of .npz assets"
    )
    maker.add_argument("--count", type=int, default=1000, metavar="N", help="(default: 1000)")
    maker.add_argument(
        "--vary",
        type=Path,
        metavar="LIBRARY",
        help="stretch and taper its assets; default: procedural assets",
    )
    maker.add_argument("--seed", type=int, default=0, metavar="S", help="(default: 0)")
    maker.set_defaults(run=run_make)

    preview = actions.add_parser("preview", help="write a contact sheet of random scenes")
    preview.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="SHEET",
        help="the picture to write, .png or .jpg",
    )
    _add_scene_options(preview, scenes=12, views=3)
    preview.set_defaults(run=run_preview)

    build = actions.add_parser(
        "build", help="write scenes and views as WebDataset shards; can be interrupted and repeated"
    )
    build.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="SHARDS",
        help="folder of the shards; continued when it exists",
    )
    _add_scene_options(build, scenes=1000, views=4)
    build.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default: 1)")
    build.add_argument(
        "--per-shard", type=int, default=64, metavar="K", help="scenes in one shard (default: 64)"
    )
    add_options(build, ExecutionOptions)
    build.set_defaults(run=run_build)


def _add_scene_options(parser: argparse.ArgumentParser, scenes: int, views: int) -> None:
    parser.add_argument(
        "--library",
        type=Path,
        metavar="DIR",
        help="from 'maquette data import'; default: procedural assets",
    )
    parser.add_argument(
        "--scenes", type=int, default=scenes, metavar="N", help=f"(default: {scenes})"
    )
    parser.add_argument(
        "--views", type=int, default=views, metavar="V", help=f"per scene (default: {views})"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=128,
        metavar="PX",
        help="side of a view in pixels (default: 128)",
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="compose only this kind of scene (default: a mixture)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="(default: 0)")


def run_import(args: argparse.Namespace) -> int:
    """Build or continue a library."""
    from maquette.data.importer import import_folder

    _at_least_one(jobs=args.jobs)
    started = time.monotonic()
    report = import_folder(
        args.folder,
        args.out,
        up=args.up,
        metric=args.metric,
        engine=_engine(args),
        seed=args.seed,
        fields=args.fields,
        progress=_progress("assets", started),
    )
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

    _at_least_one(count=args.count)
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
    config = _shard_config(args)
    catalogue = _catalogue(args.library, args.seed)
    started = time.monotonic()
    scenes = [make_scene(catalogue, config, index)[1] for index in range(args.scenes)]
    seconds = time.monotonic() - started
    with atomic_write(args.out) as temporary:
        cv2.imwrite(str(temporary), contact_sheet(scenes)[..., ::-1])
    rate = args.scenes * args.views / max(seconds, 1e-6)
    print(
        f"{args.out}: {args.scenes} scenes of {len(catalogue)} assets, {args.views} views each, "
        f"{rate:.1f} views/s"
    )
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Write the missing shards of a data set."""
    from maquette.data.shards import build_shards

    _at_least_one(jobs=args.jobs)
    config = _shard_config(args)
    catalogue = _catalogue(args.library, args.seed)
    started = time.monotonic()
    progress = _progress("scenes", started)
    engine = _engine(args)
    written = build_shards(catalogue, args.out, config, engine=engine, progress=progress)
    seconds = max(time.monotonic() - started, 1e-6)
    rate = written * args.views / seconds
    if engine.merge:
        print(f"{args.out}: all {config.shards} shards with {args.scenes} scenes are there")
        return 0
    kept = f", {args.scenes - written} were there already" if written < args.scenes else ""
    if not engine.share.is_all:
        kept = f", the share {engine.share} of {args.scenes}"
    print(f"{args.out}: {written} scenes written in {seconds:.1f} s ({rate:.1f} views/s){kept}")
    return 0


def _engine(args: argparse.Namespace) -> Engine:
    from maquette.execute.pool import Engine

    return Engine.of(chosen(ExecutionOptions, args), args.jobs)


def _shard_config(args: argparse.Namespace) -> ShardConfig:
    from maquette.data.scenes import SceneConfig
    from maquette.data.shards import ShardConfig
    from maquette.data.views import ViewConfig

    per_shard = getattr(args, "per_shard", 64)
    _at_least_one(scenes=args.scenes, views=args.views, per_shard=per_shard)
    if args.seed < 0 or not 32 <= args.size <= 1024:
        raise InputError(
            f"got --seed {args.seed} --size {args.size}; expected a seed of at least 0 "
            "and a size of 32 to 1024 pixels"
        )
    scene = SceneConfig(mix=((args.kind, 1.0),)) if args.kind else SceneConfig()
    view = ViewConfig(size=args.size)
    return ShardConfig(args.scenes, args.views, args.seed, per_shard, scene, view)


def _at_least_one(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise InputError(
                f"--{name.replace('_', '-')} {value} is too small; expected at least 1"
            )


def _catalogue(folder: Path | None, seed: int) -> Catalogue:
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
        print(line, end=end, file=sys.stderr, flush=True)

    return show
