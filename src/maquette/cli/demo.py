"""``maquette demo``: the bundled picture -> a scene. What a stranger runs first."""

from __future__ import annotations

import argparse
import sys


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    from maquette.cli.generate import add_common

    parser = subparsers.add_parser(
        "demo",
        help="make a scene of the bundled picture",
        description="Make a 3D scene of the bundled picture, without network: "
        "scene.glb, scene.json, preview.png, and the picture itself with its truth.",
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
    from pathlib import Path

    from maquette.batch.finished import Wanted, content_hash, read_document
    from maquette.batch.pairs import Job
    from maquette.cli.generate import rests, run_one
    from maquette.export.bundle import assets_folder
    from maquette.options import SceneOptions
    from maquette.output import write_files

    bundled = assets_folder() / "demo"
    photo = bundled / "photo.jpg"
    job = Job(photo, bundled / "masks.png", Path(args.out))
    former = (read_document(job.folder) or {"provenance": {}})["provenance"].get("request")
    is_former_demo = isinstance(former, dict) and former.get("photo") == content_hash(photo)
    wanted = Wanted(
        SceneOptions(seed=args.seed, device=args.device, settle=rests(None)),
        weights=None if args.weights is None else Path(args.weights),
        overwrite=is_former_demo,
    )
    code = run_one(job, wanted, args)
    for file in sorted(bundled.iterdir()):
        if not (job.folder / file.name).exists():  # what is there may be somebody's
            write_files({job.folder / file.name: file.read_bytes()})
    if not (args.quiet or args.json):
        command = sys.argv[0] if Path(sys.argv[0]).stem == "maquette" else "maquette"
        print(f"the picture, its masks and their truth are in {job.folder}, too")
        print(f"look at the scene: {command} view {job.folder}")
    return code
