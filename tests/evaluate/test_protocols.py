import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest

from maquette.errors import InputError
from maquette.evaluate.protocols import ISCENE, MIDI, MIDI_FIXED, PROTOCOLS, protocol_named


def test_names_and_ids_find_their_protocol():
    for protocol in PROTOCOLS:
        assert protocol_named(protocol.name) is protocol
        assert protocol_named(protocol.id) is protocol
    assert len({p.id for p in PROTOCOLS}) == len(PROTOCOLS)
    with pytest.raises(InputError, match="'iscene/0' is unknown; choose one of iscene/1"):
        protocol_named("iscene/0")


def test_protocols_are_plain_data():
    for protocol in PROTOCOLS:
        assert json.loads(json.dumps(dataclasses.asdict(protocol)))["source"] == protocol.source


def test_iscene_has_the_papers_settings():
    icp = ISCENE.icp
    assert (icp.yaw_candidates, icp.yaw_keep, icp.trim, icp.voxel, icp.unfit_cost) == (
        8,
        3,
        0.2,
        0.03,
        0.03,
    )
    assert (icp.seed_iterations, icp.coarse_iterations, icp.fine_iterations) == (20, 40, 40)
    assert (icp.coarse_reach, icp.fine_reach, icp.tukey, icp.sweep_points) == (2.5, 1.0, 1.5, 2000)
    assert (ISCENE.points, ISCENE.threshold, ISCENE.chamfer) == (20_480, 0.1, "squared-sum")


def test_the_fix_of_midi_changes_the_aligners_only():
    changed = {
        f.name
        for f in dataclasses.fields(MIDI)
        if getattr(MIDI, f.name) != getattr(MIDI_FIXED, f.name)
    }
    assert changed == {"name", "source", "scene_aligner", "object_aligner", "recovers"}


PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_the_page_says_what_the_protocol_does(protocol):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{protocol.id}` |"))
    _, _, scene, objects, points, chamfer, at, boxes, _, motions, _ = (
        cell.strip() for cell in row.split("|")
    )
    assert f"{protocol.scene_points or protocol.points:,}" in points and (
        "of the scene" in points
    ) == bool(protocol.scene_points)
    assert ("truth box" in scene) == (protocol.scene_unit == "truth-box") and (
        "metres" in scene
    ) == protocol.metres
    aligned = [protocol.scene_aligner != "none", protocol.object_aligner != "none"]
    assert aligned == [not cell.startswith("nothing") for cell in (scene, objects)]
    assert ("per axis" in objects) == (protocol.object_unit == "per-axis") and (
        "longest" in objects
    ) == (protocol.object_unit == "longest")
    assert (
        chamfer.startswith("sq.") == (protocol.chamfer == "squared-sum")
        and f"{protocol.threshold:.4g}"[:5] in at
    )
    assert boxes.startswith("after") == (protocol.boxes == "aligned") and (
        "of points" in boxes
    ) == (protocol.box_of == "points")
    assert all(motion in motions for motion in protocol.recovers) and bool(motions) == bool(
        protocol.recovers
    )


def test_the_page_names_functions_that_exist():
    named = re.findall(r"^\| [^|]+ \| `(\w+)\.(\w+)`", PAGE, re.MULTILINE)
    assert len(named) > 12
    for module, function in named:
        room = "geometry" if module in ("boxes", "oriented_boxes") else "evaluate"
        if module != "render":
            assert hasattr(importlib.import_module(f"maquette.{room}.{module}"), function), (
                module,
                function,
            )
