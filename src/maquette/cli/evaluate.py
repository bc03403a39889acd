"""``maquette evaluate``: score a predicted scene against the true one. Logic lives in
``maquette.evaluate``.
"""

from __future__ import annotations

import argparse
import json

from maquette.options.benchmark import EXTRAS

_DESCRIPTION = """\
Compare two scenes object by object: GLB files, scene documents (.json), or anything else with named
objects. Objects are paired by node name, or by where they stand (--match hungarian). One that is
absent counts as a miss. F-scores are in percent; Chamfer distances are in the protocol's units.
Numbers are comparable only under the same protocol id. The column "as given" is without any
alignment.

protocols (docs/evaluation.md has every definition):
  iscene        I-Scene: robust ICP of the scene, then of each object (the default)
  midi          MIDI's public code as it is, including the wrong rotation in its ICP: only for
                re-reading its numbers
  midi-fixed    the same with the rotation corrected
  scenegen      SceneGen: FilterReg, boxes after the alignment
  mira          Mira-Scene: robust ICP of each object only, boxes where they were put, poses, EMD
  depr          DepR, PixARMesh: 7-DoF Chamfer fit of the scene, in metres
  gen3dsr       Gen3DSR: camera frame, no alignment, in metres
  sam3d-layout  SAM 3D Objects: box IoU, ADD-S, ICP-Rot, no alignment
  sunrgbd-ap15  SUN RGB-D: turned boxes, AP at IoU 0.15, in metres
  pix3d         Pix3D: every object by itself
  raw           no alignment at all
  tetris3d      Tetris3D: penetration, displacement and energy in MuJoCo, no alignment"""

_EXAMPLES = """\
examples:
  maquette evaluate --pred out/scene.glb --gt truth.glb
  maquette evaluate --pred out/scene.glb --gt truth.glb --protocol midi-fixed --json
  maquette evaluate --pred out/scene.glb --gt truth.glb --match hungarian
  maquette evaluate --pred out/scene.glb --gt truth.glb --extra physics --extra volume
  maquette evaluate --pred out/scene.glb --gt t.glb --protocol gen3dsr --camera out/scene.json
  maquette evaluate --pred s3://bucket/scenes/room --gt s3://bucket/truth/room.glb"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a predicted scene against the true one",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pred",
        required=True,
        metavar="FILE",
        help="the predicted scene: folder, .json or .glb",
    )
    parser.add_argument(
        "--gt",
        required=True,
        metavar="FILE",
        help="the true scene, one named node per object",
    )
    parser.add_argument(
        "--protocol",
        default="iscene",
        metavar="NAME",
        help="name or id of the protocol (default: iscene)",
    )
    parser.add_argument(
        "--match",
        choices=("names", "hungarian"),
        default="names",
        help="pair objects by label or node name, or by place",
    )
    parser.add_argument(
        "--extra",
        action="append",
        choices=tuple(EXTRAS),
        default=[],
        help="measure more than the protocol does; repeat for several. physics: penetration, "
        "floating, stability of the prediction; dynamics: what time does to it in MuJoCo; "
        "volume: volumetric IoU; boxes: turned boxes and AP@15; poses: ADD-S and ICP-Rot; emd; "
        "one-way Chamfer distance",
    )
    parser.add_argument(
        "--camera",
        metavar="FILE",
        help="a scene document (.json) whose camera limits what counts (gen3dsr)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the surface samples (default: 0)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the score; a low one is not a failure of the command."""
    import contextlib

    from maquette.evaluate import load_pair, protocol_named, score_scene
    from maquette.evaluate.scene_table import scene_table
    from maquette.execute.store import scene_here
    from maquette.simulation.files import read_scene

    protocol = protocol_named(args.protocol)
    with contextlib.ExitStack() as stack:
        given = {"pred": args.pred, "gt": args.gt, "camera": args.camera}
        here = {word: stack.enter_context(scene_here(name)) for word, name in given.items() if name}
        camera = read_scene(here["camera"]).camera if args.camera else None
        predicted, truth = load_pair(here["pred"], here["gt"])
    score = score_scene(
        predicted,
        truth,
        protocol,
        args.seed,
        match=args.match,
        extra=args.extra,
        camera=camera,
    )
    print(json.dumps(score.to_dict()) if args.json else scene_table(score))
    return 0
