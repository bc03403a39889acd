"""``maquette demo``: the bundled picture -> a scene. What a stranger runs first."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    from maquette.cli.generate import add_common

    parser = subparsers.add_parser(
        "demo",
        help="make a scene of the bundled picture",
        description="Make a 3D scene of the bundled picture, without network: "
        "scene.glb, scene.json, preview.png.",
    )
    parser.add_argument(
        "-o",
        "--out",
        default="maquette-demo",
        metavar="OUT",
        help="folder for the results (default: maquette-demo)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="another seed, other shapes where nothing is seen (default 0)",
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the demo; a former demo in the same folder is replaced."""
    from importlib import resources
    from pathlib import Path

    from maquette.batch.pairs import Job
    from maquette.batch.results import fingerprint, read_document
    from maquette.batch.run import Settings
    from maquette.cli.generate import run_one
    from maquette.pipeline import Options

    bundled = Path(str(resources.files("maquette"))) / "assets" / "demo"
    photo = bundled / "photo.jpg"
    job = Job(photo, bundled / "masks.png", Path(args.out))
    former = (read_document(job.folder) or {"provenance": {}})["provenance"].get("request")
    is_former_demo = isinstance(former, dict) and former.get("photo") == fingerprint(photo)
    settings = Settings(
        Options(seed=args.seed, device=args.device),
        weights=None if args.weights is None else Path(args.weights),
        overwrite=is_former_demo,
    )
    return run_one(job, settings, args)
