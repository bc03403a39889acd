"""``maquette serve``: the job API on a Ray cluster. The work is in ``maquette.serve``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from maquette.cli.app import finders, token_of
from maquette.declare import add_options, chosen
from maquette.serve.settings import ServeSettings

EPILOG = """examples:
  maquette serve --data /shared/maquette
  maquette serve --data /shared/maquette --database postgresql://maquette@db/maquette --address auto
  maquette serve --data /shared/maquette --least-workers 0 --workers 8 --idle 300
  maquette serve move sqlite postgresql://maquette@db/maquette --data /shared/maquette

The page and the API are those of `maquette app`; /metrics is for Prometheus. See docs/scale.md.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "serve",
        help="the job API on many processes and machines (Ray Serve)",
        description="The page and the job API of `maquette app` on a Ray cluster: any number of "
        "workers and of processes that answer, with one database and one shared folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, ServeSettings)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of all files; every machine of the cluster must see it",
    )
    parser.set_defaults(run=run)
    _add_move(parser.add_subparsers(metavar="[move]"))


def _add_move(subparsers: argparse._SubParsersAction) -> None:
    move = subparsers.add_parser(
        "move",
        help="move what the database holds to another one, while nobody serves",
        description="Copy everything that the database of a data folder holds to an empty one, and "
        "sign the folder over to that. Pictures, masks and meshes stay where they are.",
    )
    for name in ("source", "target"):
        move.add_argument(
            name,
            metavar=name.upper(),
            help="sqlite (the file in the data folder), or postgresql://USER@HOST/NAME",
        )
    move.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data folder")
    move.set_defaults(run=run_move)


def run_move(args: argparse.Namespace) -> int:
    """Move a database."""
    from maquette.app.settings import require_app

    require_app()
    from maquette.serve.move import LEFT, SQLITE, move

    data = args.data.expanduser().resolve()
    count = move(data, args.source, args.target)
    print(f"{count} rows moved; all other files stay in {data}")
    if args.source == SQLITE:
        print(f"{LEFT} in it is the old database; nobody uses it any more")
    return 0


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from maquette.errors import InputError

    if args.data is None:
        raise InputError("--data is needed: the folder of all files")

    from maquette.serve.settings import require_serve

    require_serve()
    token = token_of(args)
    data = args.data.expanduser().resolve()
    settings = chosen(ServeSettings, args, data=data, token=token)

    from maquette.serve.deployment import deploy

    deploy(settings, partial(print, flush=True), finders())
    return 0
