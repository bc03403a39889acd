"""``maquette evaluate``: score a predicted scene against the true one. Logic lives in ``maquette.evaluate``."""

from __future__ import annotations

import argparse
import json

_DESCRIPTION = """\
Compare two GLB scenes object by object. Objects are matched by node name; one that is absent counts as a miss. F-scores are in
percent; Chamfer distances are in the protocol's units. Numbers are comparable only under the same protocol id.

protocols:
  iscene      the paper's metric: robust ICP of the scene, then of each object (the default)
  midi        MIDI's public code as it is, including the wrong rotation in its ICP
  midi-fixed  the same with the rotation corrected
  mira        robust ICP of each object only, boxes where they were put
  raw         no alignment"""

_EXAMPLES = """\
examples:
  maquette evaluate --pred out/scene.glb --gt truth.glb
  maquette evaluate --pred out/scene.glb --gt truth.glb --protocol midi-fixed --json"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a predicted scene against the true one",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pred", required=True, metavar="GLB", help="the predicted scene")
    parser.add_argument("--gt", required=True, metavar="GLB", help="the true scene, one named node per object")
    parser.add_argument("--protocol", default="iscene", help="name or id of the protocol (default: iscene)")
    parser.add_argument("--match", choices=("name", "box"), default="name", help="match objects by node name or by where they stand")
    parser.add_argument("--seed", type=int, default=0, help="of the surface samples (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the score; a low one is not a failure of the command."""
    from maquette.evaluate import protocol_named, score_scene
    from maquette.evaluate.tables import scene_table
    from maquette.export.read import load_named_meshes

    protocol = protocol_named(args.protocol)
    score = score_scene(load_named_meshes(args.pred), load_named_meshes(args.gt), protocol, args.seed, match=args.match)
    print(json.dumps(score.to_dict()) if args.json else scene_table(score))
    return 0
