import dataclasses
import json

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
    assert (icp.yaw_candidates, icp.yaw_keep, icp.trim, icp.voxel, icp.unfit_cost) == (8, 3, 0.2, 0.03, 0.03)
    assert (icp.seed_iterations, icp.coarse_iterations, icp.fine_iterations) == (20, 40, 40)
    assert (icp.coarse_reach, icp.fine_reach, icp.tukey, icp.sweep_points) == (2.5, 1.0, 1.5, 2000)
    assert (ISCENE.points, ISCENE.threshold, ISCENE.chamfer) == (20_480, 0.1, "squared-sum")


def test_the_fix_of_midi_changes_the_aligners_only():
    changed = {f.name for f in dataclasses.fields(MIDI) if getattr(MIDI, f.name) != getattr(MIDI_FIXED, f.name)}
    assert changed == {"name", "source", "scene_aligner", "object_aligner", "recovers"}
