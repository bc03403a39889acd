"""``maquette app``: the page and the job API on this machine. The work is in ``maquette.app``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from maquette.app.settings import ServerSettings
from maquette.declare import add_options, chosen

if TYPE_CHECKING:
    import numpy as np

    from maquette.app.finders import Finders
    from maquette.masks.propose import MaskProposer, PhotoMasks
    from maquette.types import InstanceMask

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
    add_options(parser, ServerSettings)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where everything is kept (default: ~/.local/share/maquette or the like)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from maquette.app.settings import default_data, require_app

    require_app()
    token = token_of(args)
    data = (args.data or default_data()).expanduser().resolve()
    settings = chosen(ServerSettings, args, data=data, token=token)

    from maquette.app.server import serve

    serve(settings, partial(print, flush=True), not args.no_browser, finders())
    return 0


def token_of(args: argparse.Namespace) -> str | None:
    """The token that was given, or one that is drawn when other machines can come."""
    import secrets

    from maquette.app.settings import is_loopback

    return args.token or (None if is_loopback(args.host) else secrets.token_urlsafe(24))


def finders() -> Finders:
    """Who finds outlines in the app; weights are loaded when somebody first points at something."""
    from maquette.app.finders import Finders

    return Finders(_looked_at, _opened, _named)


def _looked_at(image: np.ndarray) -> PhotoMasks:
    """A photo for the segmenter."""
    from maquette.stages.point import embedded_proposer

    return embedded_proposer()(image)


@cache
def _opened(name: str) -> MaskProposer:
    """A network of others, loaded once."""
    from maquette.checkpoints.mask_networks import open_proposer
    from maquette.hardware import choose_device

    return open_proposer(name, choose_device("auto"))


def _named(
    image: np.ndarray,
    words: Sequence[str],
    proposer: MaskProposer,
) -> Sequence[InstanceMask]:
    """What words name in a photo."""
    from maquette.app.finders import DETECTOR
    from maquette.checkpoints.mask_networks import find

    return find(image, words, DETECTOR, proposer)
