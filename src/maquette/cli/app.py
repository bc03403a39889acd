"""``maquette app``: the page and the job API on this machine. The work is in ``maquette.app``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from maquette.masks.propose import PhotoMasks

EPILOG = """examples:
  maquette app
  maquette app --port 9000 --data ~/scenes --workers 2
  maquette app --host 0.0.0.0       other machines of the network may come, with the token it prints

Photos, masks, jobs and scenes are kept in the data folder and are there again after a restart.
The API for programs: http://127.0.0.1:8765/api/docs
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "app",
        help="the page in the browser, and the job API",
        description="A page on which a photo becomes a scene, and an API for programs; "
        "only for this machine unless --host says otherwise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, default=8765, metavar="N", help="default: 8765; 0 takes a free one"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="default: 127.0.0.1, only this machine",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where everything is kept (default: ~/.local/share/maquette or the like)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="jobs that are made at the same time (default: 1)",
    )
    parser.add_argument(
        "--queue", type=int, default=16, metavar="N", help="jobs that may wait (default: 16)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="weights to offer; may be repeated",
    )
    parser.add_argument(
        "--token",
        metavar="TEXT",
        help="ask everybody for this token (drawn by itself when other machines can come)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which this server is called",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import secrets

    from maquette.app.settings import ServerSettings, default_data, is_loopback, require_extra

    require_extra()
    token = args.token or (None if is_loopback(args.host) else secrets.token_urlsafe(24))
    data = (args.data or default_data()).expanduser().resolve()
    settings = ServerSettings(
        data,
        args.host,
        args.port,
        args.workers,
        args.queue,
        token,
        tuple(args.allow_host),
        tuple(args.weights),
        proposer=_proposer,
    )

    from maquette.app.server import serve

    serve(settings, lambda line: print(line, flush=True), open_browser=not args.no_browser)
    return 0


def _proposer(image: np.ndarray) -> PhotoMasks:
    """The segmenter, loaded when somebody first points at something."""
    from maquette.stages.point import embedded_proposer

    return embedded_proposer()(image)
