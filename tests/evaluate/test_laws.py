"""Laws that every protocol must obey, and where one does not hold, by how much. Few points: the
laws do not depend on them.
"""

import dataclasses
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import trimesh

from maquette.evaluate.measure import miss_distance
from maquette.evaluate.protocols import (
    DEPR,
    GEN3DSR,
    ISCENE,
    MIDI,
    MIDI_FIXED,
    PIX3D,
    PROTOCOLS,
    SCENEGEN,
)
from maquette.evaluate.score import score_scene
from maquette.geometry.registration import RobustIcp
from maquette.geometry.soft_registration import ChamferFit, FilterReg
from maquette.geometry.transforms import rotation_y, similarity
from tests.evaluate.scenes import all_moved, chair, moved, room

COUNT = 600


def quick(protocol, count=COUNT):
    """With few points and steps."""
    icp = RobustIcp(yaw_keep=2, seed_iterations=8, coarse_iterations=15, fine_iterations=10)
    fit = ChamferFit(restarts=4, steps=80, points=count // 4)
    blur = FilterReg(iterations=60, cells=4)
    return replace(
        protocol,
        points=count,
        scene_points=min(protocol.scene_points, 3 * count),
        icp=icp,
        fit=fit,
        filter=blur,
    )


def cheap(protocol):
    """Without the measures of single objects that no alignment touches."""
    return replace(
        quick(protocol), also=tuple(name for name in protocol.also if name in ("boxes", "one-way"))
    )


@pytest.fixture(autouse=True, scope="module")
def quick_boxes():
    """Fewer descents of each to the smallest box, which DepR's protocol takes its scale from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.geometry.oriented_boxes.DESCENTS", 2)
        yield


ALL = [p for p in PROTOCOLS if "dynamics" not in p.also]  # that are about geometry
SOUND = [p for p in ALL if p is not MIDI]


def with_twins_slow(protocols, *twins):
    """As parameters; ``twins`` align and measure as another protocol does."""
    return [pytest.param(p, marks=pytest.mark.slow if p in twins else ()) for p in protocols]


def names(protocol):
    return protocol.name


@pytest.fixture(scope="module")
def identity():
    """The truth as prediction, with more points, so that samples are denser than the thresholds."""
    truth = room()
    return {p.name: score_scene(truth, truth, quick(p, 4000)) for p in ALL}


@pytest.mark.parametrize("protocol", SOUND, ids=names)
def test_identity_scores_the_sampling_floor(protocol, identity):
    score = identity[protocol.name]
    floor = score.cd_s_raw  # the same samples without any alignment
    assert score.f_s == score.f_s_raw == 100.0 and score.f_o > 99.0 and score.f_o_raw > 99.0
    assert (
        score.cd_s
        <= (2.0 if protocol is SCENEGEN else 1.1) * floor
        < (0.02 if protocol.chamfer == "mean-distance" else 0.001)
    )
    assert score.iou_b_raw > (0.98 if protocol.box_of == "points" else 1 - 1e-9)
    assert score.missing == score.extra == () and score.normals > 0.9
    if protocol.scene_aligner == "none":
        assert score.iou_b == score.iou_b_raw and score.cd_s == floor
    elif protocol is not SCENEGEN:
        assert (
            np.abs(np.array(score.truth_from_predicted) - np.eye(4)).max() < 0.03
            and score.iou_b > 0.93
        )


def test_identity_has_perfect_poses_boxes_and_average_precision(identity):
    poses = identity["sam3d-layout"]
    boxes = identity["sunrgbd-ap15"]
    assert poses.add_s < 0.03 and poses.add_s_01 == 100.0 and poses.icp_rotation < 2.0
    assert boxes.iou_obb == pytest.approx(1.0, abs=1e-6) and boxes.ap15 == 100.0
    assert identity["mira"].emd < 0.15 and identity["depr"].f_s_2 == 100.0
    assert identity["gen3dsr"].f_s > identity["gen3dsr"].f_s_2 > identity["gen3dsr"].f_s_3


def test_midi_damages_the_identity_and_the_fix_repairs_it(identity):
    """By how much, on this scene: scene F 100 -> 96, object F 100 -> 57, 20 and 50 times the
    Chamfer distances. The fix: not at all.
    """
    wrong = identity["midi"]
    fixed = identity["midi-fixed"]
    assert (
        wrong.f_s < 98.0
        and wrong.f_o < 70.0
        and wrong.cd_s > 5 * fixed.cd_s
        and wrong.cd_o > 5 * fixed.cd_o
    )
    assert wrong.f_s_raw == fixed.f_s_raw == 100.0
    turned = np.array(wrong.truth_from_predicted)[:3, :3]
    assert np.degrees(np.arccos((np.trace(turned) - 1) / 2)) > 5.0


def test_scenegen_turns_the_identity_by_a_few_degrees(identity):
    turned = np.array(identity["scenegen"].truth_from_predicted)[:3, :3]
    assert 0.1 < np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 6.0
    assert 0.85 < identity["scenegen"].iou_b < 0.985


@cache
def cheap_identity(protocol):
    """With as few points as what is compared with it."""
    return score_scene(room(), room(), cheap(protocol))


MOTIONS = {
    "shift": similarity(1.0, None, [0.25, -0.1, 0.15]),
    "yaw": similarity(1.0, rotation_y(2.0)),
    "scale": similarity(1.25),
}


@pytest.mark.parametrize(
    "protocol, motion",
    [(p, m) for p in ALL for m in p.recovers],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_motion_of_the_scene_costs_nothing_where_the_protocol_says_so(protocol, motion):
    truth = room()
    score = score_scene(all_moved(truth, MOTIONS[motion]), truth, cheap(protocol))
    best = cheap_identity(protocol)
    loss = (
        1.0 if protocol in (ISCENE, SCENEGEN) else 8.0
    )  # the others converge slowly, or were given few steps here
    assert score.f_s > best.f_s - loss and score.cd_s < 2.0 * best.cd_s + 0.002
    scale = 0.8 if motion == "scale" else 1.0
    assert np.cbrt(np.linalg.det(np.array(score.truth_from_predicted)[:3, :3])) == pytest.approx(
        scale, rel=0.04
    )
    assert score.iou_b_raw < 0.75  # the alignment-free numbers always tell


@pytest.mark.parametrize("protocol", [ISCENE, DEPR], ids=names)
def test_shift_yaw_and_scale_together_are_found_up_to_a_few_percent_of_scale(protocol):
    """I-Scene's scale is the ratio of the boxes, which is off by a few percent when the scene is
    turned as well.
    """
    truth = room()
    score = score_scene(
        all_moved(truth, similarity(1.25, rotation_y(2.0), [0.3, -0.2, 0.1])),
        truth,
        replace(cheap(protocol), icp=protocol.icp),
    )
    assert np.cbrt(np.linalg.det(np.array(score.truth_from_predicted)[:3, :3])) == pytest.approx(
        0.8, rel=0.05
    )
    assert score.f_s > 88.0 and score.f_o > 80.0 and score.iou_b > 0.8 > 0.3 > score.iou_b_raw


@pytest.mark.parametrize(
    "protocol", with_twins_slow([p for p in SOUND if not p.recovers], PIX3D), ids=names
)
def test_a_motion_of_the_scene_costs_where_nothing_is_aligned(protocol, identity):
    truth = room()
    score = score_scene(all_moved(truth, MOTIONS["yaw"]), truth, cheap(protocol))
    assert (
        score.cd_s > 2.0 * identity[protocol.name].cd_s
        and score.cd_s == score.cd_s_raw
        and score.iou_b < 0.75
    )


@pytest.mark.parametrize("protocol", with_twins_slow(SOUND, PIX3D), ids=names)
def test_permuted_names_are_detected_and_matching_by_place_repairs_them(protocol, identity):
    truth, protocol, best = room(), cheap(protocol), identity[protocol.name]
    permuted = {"chair": truth["ball"], "ball": truth["box"], "box": truth["chair"]}
    score = score_scene(permuted, truth, protocol)
    repaired = score_scene(permuted, truth, protocol, match="hungarian")
    assert score.iou_b < 0.3 and any("permuted names" in hint for hint in score.hints)
    assert {o.name: o.predicted for o in repaired.objects} == {
        "chair": "box",
        "ball": "chair",
        "box": "ball",
    }
    assert (
        repaired.iou_b_raw == pytest.approx(best.iou_b_raw, abs=0.05)
        and repaired.hints == best.hints
    )
    assert score.ap15 == repaired.ap15 or repaired.ap15 == 100.0


@pytest.mark.parametrize("protocol", ALL, ids=names)
def test_an_absent_object_is_a_miss_and_costs_everywhere(protocol, identity):
    truth = room()
    best = identity[protocol.name]
    score = score_scene(
        {name: mesh for name, mesh in truth.items() if name != "ball"}, truth, quick(protocol)
    )
    row = next(o for o in score.objects if o.name == "ball")
    assert score.missing == ("ball",) and len(score.objects) == 3
    assert (row.f_o, row.iou_b, row.iou_b_raw, row.predicted) == (0.0, 0.0, 0.0, "")
    half = (
        protocol.object_half
        if protocol.object_unit != "scene"
        else (0.35 if protocol.scene_unit == "given" else None)
    )
    assert half is None or row.cd_o == pytest.approx(miss_distance(half, protocol), rel=0.03)
    assert (
        score.f_o <= best.f_o * 2 / 3 + 1.0
        and score.iou_b < 0.67
        and score.f_s_raw < 97.0
        and score.cd_s_raw > best.cd_s_raw
    )
    for name in ("add_s", "icp_rotation", "emd"):
        assert getattr(best, name) is None or getattr(score, name) > getattr(best, name) + 0.2
    for name in ("add_s_01", "ap15", "iou_obb"):
        assert getattr(best, name) is None or getattr(score, name) < 0.7 * getattr(best, name)


@pytest.mark.parametrize("protocol", with_twins_slow(SOUND, PIX3D), ids=names)
def test_a_mirrored_prediction_is_never_perfect(protocol):
    """Three chairs without any symmetry, in a row without any symmetry."""
    chairs = {
        name: moved(chair(), similarity(1.0, rotation_y(k), [1.2 * k, 0, 0.7 * k * k]))
        for k, name in enumerate("abc")
    }
    mirrored = all_moved(chairs, np.diag([-1.0, 1.0, 1.0, 1.0]))
    bare = replace(quick(protocol), also=())
    score = score_scene(mirrored, chairs, bare)
    best = score_scene(chairs, chairs, bare)
    assert np.linalg.det(np.array(score.truth_from_predicted)[:3, :3]) > 0
    assert (
        score.cd_s > 1.5 * best.cd_s
        and score.cd_o > 1.2 * best.cd_o
        and score.f_o < best.f_o
        and score.iou_b < 0.95
    )


@pytest.mark.parametrize("protocol", with_twins_slow(SOUND, PIX3D), ids=names)
def test_vertex_order_and_subdivision_matter_no_more_than_sampling(protocol):
    truth = room()
    protocol = cheap(protocol)
    rng = np.random.default_rng(0)

    def shuffled(mesh):
        order = rng.permutation(len(mesh.vertices))
        return trimesh.Trimesh(
            mesh.vertices[order], rng.permutation(np.argsort(order)[mesh.faces]), process=False
        )

    predicted = all_moved(truth, similarity(1.0, rotation_y(0.15), [0.05, 0.0, 0.0]))
    plain = score_scene(predicted, truth, protocol)
    other = score_scene(
        {n: shuffled(m.subdivide()) for n, m in predicted.items()},
        {n: shuffled(m) for n, m in truth.items()},
        protocol,
    )
    slack = 0.5 if protocol.name == DEPR.name else 0.2  # its fit sees a hundred points here
    assert other.cd_s == pytest.approx(plain.cd_s, rel=slack) and other.cd_o == pytest.approx(
        plain.cd_o, rel=0.35
    )
    assert other.f_s == pytest.approx(plain.f_s, abs=30 * slack) and other.iou_b == pytest.approx(
        plain.iou_b, abs=0.3 * slack
    )
    assert other.ap15 == plain.ap15


@pytest.mark.parametrize("protocol", with_twins_slow(ALL, PIX3D), ids=names)
def test_scores_repeat_bit_for_bit_whatever_the_threads_and_the_order(protocol):
    truth = room()
    protocol = quick(protocol, 300)
    predicted = all_moved(truth, similarity(1.1, rotation_y(0.4)))
    one = score_scene(predicted, truth, protocol, workers=1)
    two = score_scene(dict(predicted.items()), truth, protocol, workers=3)
    assert one == two and dataclasses.asdict(one).keys() == two.to_dict().keys()
    bare = replace(protocol, scene_aligner="none", object_aligner="none", also=())
    assert score_scene(predicted, truth, bare, seed=1).cd_s_raw != one.cd_s_raw


def test_sources_say_what_is_ours():
    """Where a definition leaves something open, the protocol says so in its source."""
    for protocol in (SCENEGEN, DEPR, GEN3DSR):
        assert "Ours:" in protocol.source
    assert MIDI_FIXED.scene_aligner != MIDI.scene_aligner
