"""``maquette export``: a scene -> a file for another program, meshes and simulators alike."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from maquette.cli.text import add_result_flags, add_scene_and_out, aligned, counted, sizes_in
from maquette.declare import add_options, chosen
from maquette.options import FileSpace, ScaleOptions, SimulationOptions, Surroundings

if TYPE_CHECKING:
    from maquette.simulation.files import SimulationFile
    from maquette.types import Scene

EPILOG = """formats, by the suffix of FILE:
  .glb .obj .ply .stl   meshes
  .html                 one web page that shows the scene in 3D, without network
  .xml                  MJCF, for MuJoCo
  .urdf .sdf            for ROS, PyBullet, Gazebo and others
  .usda .usdz           USD, for Isaac Sim, Newton, Blender and others
  .json                 the scene document

SCENE is a folder that `maquette generate` made, its scene.json, or a .glb file. One photo does not
tell the scale: without --size or --metres-per-unit one unit counts as one metre, and the file says
so. Meshes of a simulator's file stand in a folder beside it.

examples:
  maquette export room/ -o room.html
  maquette export room/ -o room.xml --size chair=0.9m
  maquette export room/ -o room.usda --static table,3 --mass chair=4.5
  maquette export room/ -o room.urdf --collision hull --density 300
  maquette export room/ -o room.stl --unit mm --up z --size chair=90cm
  maquette export room/ -o room.glb --ground disc
"""

# options of bodies that this command has; the upward axis is one of meshes, too
SIMULATED = ("collision", "density", "mass", "static", "mjcf_style")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "export",
        help="a scene -> a file for other programs and simulators",
        description="Write a scene as a file for other programs: meshes, MJCF, URDF, SDF, USD.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_scene_and_out(parser, "FILE", "what to write")
    add_options(parser, ScaleOptions)
    add_options(parser.add_argument_group("files for simulators"), SimulationOptions, SIMULATED)
    parser.add_argument(
        "--up",
        choices=("y", "z"),
        default=None,
        help="upward axis (default: z for simulators, y for OBJ, PLY and STL)",
    )
    add_options(parser, FileSpace, ["unit"])
    add_options(parser, Surroundings)
    add_result_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export."""
    from pathlib import Path

    from maquette.errors import InputError
    from maquette.simulation.files import SIMULATION_SUFFIXES, known_suffixes, read_scene

    suffix = Path(args.out).suffix.lower()
    if suffix not in known_suffixes():
        expected = ", ".join(known_suffixes())
        raise InputError(f"{args.out}: no format has the suffix {suffix!r}; expected {expected}")
    scale = chosen(ScaleOptions, args)
    scene = read_scene(args.scene)
    if suffix in SIMULATION_SUFFIXES:
        return _export_simulation(args, scene, scale)
    return _export_meshes(args, scene, scale)


def _export_meshes(args: argparse.Namespace, scene: Scene, scale: ScaleOptions) -> int:
    from maquette.errors import InputError
    from maquette.export import export_scene
    from maquette.simulation.scale import scaled_scene

    defaults = chosen(SimulationOptions, argparse.Namespace())
    alien = [name for name in SIMULATED if _differs(getattr(args, name), defaults, name)]
    if alien:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in alien)
        raise InputError(f"{flags}: only files for simulators take it; leave it out")
    named, length = sizes_in(args.size)
    scaled = scaled_scene(scene, dataclasses.replace(scale, size=named))
    asked = {"size": length} | {name: getattr(args, name) for name in ("unit", "up", "ground")}
    space: dict[str, Any] = {name: said for name, said in asked.items() if said is not None}
    space |= {"room": True} if args.room else {}
    chosen_scene = scaled.scene if scaled.is_known else scene
    path = export_scene(chosen_scene, args.out, overwrite=args.overwrite, **space)
    remarks = scaled.remarks if scaled.is_known else ()
    if args.json:
        print(json.dumps({"path": str(path), "remarks": list(remarks)}))
    elif not args.quiet:
        print("\n".join([str(path), *(f"note: {remark}" for remark in remarks)]))
    return 0


def _differs(value: object, defaults: SimulationOptions, name: str) -> bool:
    default = getattr(defaults, name)
    return bool(value) if default == () else value != default


def _export_simulation(args: argparse.Namespace, scene: Scene, scale: ScaleOptions) -> int:
    from maquette.errors import InputError
    from maquette.simulation.files import write_simulation

    if args.unit is not None:
        raise InputError("--unit: files for simulators are in metres; leave it out")
    if args.ground is not None:
        raise InputError("--ground: files for simulators have one anyway; leave it out")
    if args.room:
        raise InputError("--room: files for simulators have a ground and objects; leave it out")
    more = {} if args.up is None else {"up": args.up}
    given = vars(args).copy()
    del given["up"]
    options = chosen(SimulationOptions, argparse.Namespace(**given), **more)
    written = write_simulation(scene, args.out, options, scale, overwrite=args.overwrite)
    if args.json:
        print(json.dumps(_summary(written)))
        return 0
    for remark in written.remarks:
        print(f"maquette export: note: {remark}", file=sys.stderr)
    if not args.quiet:
        rows = [_row(written, node) for node in written.masses]
        print(f"{written.path} and {len(written.files) - 1} more files")
        print("\n".join(aligned(rows)))
    return 0


def _row(written: SimulationFile, node: str) -> tuple[str, str, str]:
    shapes = counted(written.parts[node], "convex shape")
    return f"  {node}", f"{written.masses[node]:.4g} kg", f"collides as {shapes}"


def _summary(written: SimulationFile) -> dict[str, Any]:
    """What ``--json`` prints."""
    told = dataclasses.asdict(written)
    told["path"] = str(written.path)
    told["files"] = [str(path) for path in written.files]
    return told
