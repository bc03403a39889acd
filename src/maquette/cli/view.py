"""``maquette view``: a scene in 3D in the browser, as one file that needs neither server nor
network. The page is written by ``export.page``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maquette.types import StrPath

EPILOG = """examples:
  maquette view room/                       a folder that `maquette generate` made
  maquette view room/scene.glb              a .glb file, of maquette or any other program
  maquette view room/ -o room.html          one file to share: it opens anywhere, without network

drag to turn, wheel to come nearer, click an object to select it; P the photo's view, F everything,
G the grid, Space turns the scene.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "view",
        help="a scene in 3D in the browser, or as one web page to share",
        description="Show a scene in 3D: one web page that is a single file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scene", metavar="SCENE", help="folder, scene.json or .glb")
    parser.add_argument(
        "-o", "--out", metavar="FILE.html", help="write the page here, to keep or to share"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open the browser")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page and open it."""
    print(view_file(args.scene, args.out, opens=not args.no_open, overwrite=args.overwrite))
    return 0


def view_file(
    scene: StrPath,
    out: StrPath | None = None,
    opens: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write the page of a scene, by default into the system's folder for temporary files, and open
    it in the browser. Raises InputError, OutputError.
    """
    import tempfile
    import webbrowser

    from maquette.errors import InputError
    from maquette.export.page import write_page
    from maquette.output import refuse_overwrite
    from maquette.simulation.files import read_scene

    if out is not None and Path(out).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: the page is HTML; give a name that ends with .html")
    shown = read_scene(scene)
    if out is None:
        named = Path(scene).resolve()
        stem = named.parent.name if named.stem == "scene" else named.stem
        path = Path(tempfile.mkdtemp(prefix="maquette-")) / f"{stem or 'scene'}.html"
    else:
        path = refuse_overwrite(out, overwrite)
    write_page(shown, path)
    if opens:
        webbrowser.open(path.resolve().as_uri())
    return path
