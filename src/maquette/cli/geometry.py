"""``maquette geometry inspect``: what a depth map and a camera say, before a scene is made of them.

Arguments in, words out; the work is in ``given``.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from maquette.declare import add_options, chosen
from maquette.options import GeometryOptions

if TYPE_CHECKING:
    from maquette.given.inspect import Inspection

EPILOG = """example:
  maquette geometry inspect depth.png --image rgb.png --masks seg.png --intrinsics K.txt
"""
MORE = ("depth_unit", "depth_kind", "intrinsics", "gravity")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "geometry",
        help="look at depth maps and cameras",
        description="Look at depth maps and cameras before scenes are made of them.",
    )
    actions = parser.add_subparsers(
        dest="action",
        metavar="ACTION",
        required=True,
    )
    inspect = actions.add_parser(
        "inspect",
        help="unit, range, ground and sizes of a depth map",
        description="Say how a depth map is understood: its unit and why, how much of it is known, "
        "its range, the ground in it, and how large the object of each mask is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspect.add_argument("depth", metavar="DEPTH", help="the depth map")
    inspect.add_argument(
        "--image",
        required=True,
        metavar="PHOTO",
        help="its photo",
    )
    inspect.add_argument("--masks", metavar="MASKS", help="masks of the photo's objects")
    add_options(inspect, GeometryOptions, MORE)
    inspect.add_argument("--json", action="store_true", help="print JSON instead of text")
    inspect.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Inspect."""
    from maquette.given.inspect import inspect_geometry

    found = inspect_geometry(args.image, args.masks, chosen(GeometryOptions, args))
    print(json.dumps(as_record(found), indent=2) if args.json else "\n".join(lines(found)))
    return 0


def as_record(found: Inspection) -> dict[str, Any]:
    """For other programs."""
    import dataclasses

    return dataclasses.asdict(found)


def lines(found: Inspection) -> list[str]:
    """For people."""
    unit = "m" if found.metric else "of an unknown unit"
    span = f"{found.nearest:.3g} to {found.farthest:.3g} {unit}"
    text = [f"{found.source}: {found.width} x {found.height} pixels of the photo"]
    text.append(f"  unit      {found.unit}")
    text.append(f"  known     {found.known:.1%} of the pixels")
    text.append(f"  range     {span}, median {found.median:.3g}")
    if found.focal_pixels is None:
        text.append("  camera    not given; its focal length is estimated")
    else:
        text.append(f"  camera    focal length {found.focal_pixels:.0f} pixels ({found.focal})")
    if found.pitch_degrees is None:
        text.append("  ground    no level plane was found below the objects")
    else:
        text.append(f"  ground    a plane; the camera looks down by {found.pitch_degrees:.1f} deg")
    for size in found.sizes:
        name = f"{size.label} {size.name}".strip()
        span = f"{size.width:.3g} x {size.height:.3g} {unit}"
        text.append(f"  object {name}: {span} as seen, {size.known:.0%} known")
    return text + [f"note: {warning}" for warning in found.warnings]
