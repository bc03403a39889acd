"""``maquette settle``: a scene -> the same scene with its objects at rest."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from maquette.cli.text import (
    add_result_flags,
    add_scene_and_out,
    aligned,
    counted,
    refuse_file_name,
    stage_bar,
)
from maquette.declare import add_options, chosen
from maquette.options import SimulationOptions

if TYPE_CHECKING:
    from maquette.simulation.settle import RestingObject

LENGTHS = "lengths in units of the scene, tilts in degrees, masks as IoU"
EPILOG = """OUT is a folder and gets scene.glb, scene.json and preview.png. SCENE is a folder that
`maquette generate` made, its scene.json, or a .glb file. Needs: pip install 'maquette[sim]'

examples:
  maquette settle room/ -o room-settled/
  maquette settle room/ -o room-settled/ --static lamp,4
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "settle",
        help="a scene -> the same scene at rest",
        description="Let the objects of a scene come to rest, moving them as little as possible.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_scene_and_out(parser, "OUT", "folder for the result")
    add_options(parser, SimulationOptions, ["collision", "static"])
    add_result_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Settle."""
    from pathlib import Path

    from maquette.batch.finished import DOCUMENT, Products
    from maquette.batch.results import write_result
    from maquette.output import refuse_overwrite
    from maquette.simulation.files import read_scene
    from maquette.simulation.settle import settle

    options = chosen(SimulationOptions, args)
    refuse_file_name(args.out)
    folder, products = Path(args.out), Products()
    files = [folder / name for name in (*products.names(), DOCUMENT)]
    for path in files:
        refuse_overwrite(path, args.overwrite)
    with stage_bar(args) as show:
        settled = settle(read_scene(args.scene), options, show)
    write_result(settled.scene, folder, products)
    if args.json:
        rows = [dataclasses.asdict(row) for row in settled.objects]
        print(json.dumps({"files": [str(path) for path in files], "objects": rows}))
    elif not args.quiet:
        print("\n".join(f"  {path}" for path in files))
        print("\n".join(aligned([_row(row) for row in settled.objects])))
        resting = sum(row.rests for row in settled.objects)
        print(f"{resting} of {counted(len(settled.objects), 'object')} at rest; {LENGTHS}")
    return 0


def _row(row: RestingObject) -> tuple[str, ...]:
    overlap = f"overlap {row.penetration_before:.4f} -> {row.penetration_after:.4f}"
    state = "rests" if row.rests else "DOES NOT REST"
    moved = f"moved {row.displacement:.3f}"
    mask = ""
    if row.agreement_before is not None and row.agreement_after is not None:
        mask = f"mask {row.agreement_before:.2f} -> {row.agreement_after:.2f}"
    return f"  {row.node}", state, moved, f"tilt {row.tilt:.1f}", overlap, mask, row.remark
