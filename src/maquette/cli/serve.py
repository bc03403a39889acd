"""``maquette serve``: the job API on a Ray cluster. The work is in ``maquette.serve``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from maquette.cli.app import finders
from maquette.declare import add_options, chosen
from maquette.serve.settings import ServeSettings

EPILOG = """examples:
  maquette serve --data /shared/maquette
  maquette serve --data /shared/maquette --database postgresql://maquette@db/maquette --address auto
  maquette serve --least-workers 0 --workers 8 --idle 300

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
        required=True,
        metavar="DIR",
        help="the folder of all files; every machine of the cluster must see it",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import secrets

    from maquette.app.settings import is_loopback
    from maquette.serve.settings import require_serve

    require_serve()
    token = args.token or (None if is_loopback(args.host) else secrets.token_urlsafe(24))
    data = args.data.expanduser().resolve()
    settings = chosen(ServeSettings, args, data=data, token=token)

    from maquette.serve.deployment import serve

    serve(settings, partial(print, flush=True), finders())
    return 0
