from dataclasses import replace

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.further import (
    FIELDS,
    MISSED,
    add_s_hits,
    aligned_emd,
    missed_extras,
    object_extras,
    scene_average_precision,
)
from maquette.evaluate.protocols import GEN3DSR, RAW
from maquette.evaluate.score import score_scene
from maquette.evaluate.surfaces import sample_mesh
from maquette.geometry.oriented_boxes import smallest_yaw_box
from maquette.geometry.transforms import rotation_y, similarity
from maquette.options.benchmark import EXTRAS
from maquette.types import Camera
from tests.evaluate.scenes import all_moved, chair, moved, room

QUICK = replace(RAW, points=400)


def sampled(mesh, seed=0):
    return sample_mesh(mesh, 1500, np.random.default_rng(seed))


def test_every_extra_of_an_object_is_measured_and_has_a_value_for_misses():
    wanted = tuple(EXTRAS)
    found = object_extras(wanted, sampled(chair()), sampled(chair(), 1), chair(), chair())
    assert (
        found.keys()
        == MISSED.keys()
        == missed_extras(wanted).keys()
        == {name for names in FIELDS.values() for name in names}
    )
    assert found["iou_v"] == 1.0 and found["iou_obb"] == pytest.approx(1.0, abs=1e-6)
    assert all(
        abs(found[name] - best) < abs(found[name] - MISSED[name])
        for name, best in {
            "add_s": 0,
            "icp_rotation": 0,
            "emd": 0,
            "iou_obb": 1,
            "iou_v": 1,
        }.items()
    )
    assert object_extras((), sampled(chair()), sampled(chair()), chair(), chair()) == {}


def test_extras_see_the_objects_where_they_stand():
    away = moved(chair(), similarity(1.0, rotation_y(0.3), [0.4, 0.0, 0.0]))
    found = object_extras(
        ("poses", "boxes", "volume"), sampled(away), sampled(chair(), 1), away, chair()
    )
    assert found["add_s"] > 0.1 and found["iou_obb"] < 0.5 and found["iou_v"] < 0.4
    assert found["icp_rotation"] == pytest.approx(np.degrees(0.3), abs=3.0)


def test_emd_does_not_see_place_or_size():
    far = moved(chair(), similarity(4.0, None, [9, 9, 9]))
    same = aligned_emd(sampled(chair()), sampled(chair(), 1))
    assert aligned_emd(sampled(far), sampled(chair(), 1)) == pytest.approx(same, rel=0.02)
    assert aligned_emd(sampled(trimesh.creation.box((1, 1, 1))), sampled(chair(), 1)) > 3 * same


def test_average_precision_of_a_scene_counts_extra_boxes_and_gives_matched_ones_their_class():
    boxes = {
        "chair_1": smallest_yaw_box(chair().vertices),
        "bed_1": smallest_yaw_box(chair().vertices + [5.0, 0, 0]),
    }
    other = {"p": boxes["bed_1"], "q": boxes["chair_1"]}
    assert scene_average_precision(other, boxes, {"chair_1": "q", "bed_1": "p"}) == 100.0
    assert scene_average_precision(other, boxes, {}) == 0.0  # no class is known
    assert (
        scene_average_precision({"chair_1": boxes["chair_1"]}, boxes, {"chair_1": "chair_1"})
        == 50.0
    )


def test_share_of_small_add_s():
    assert (
        add_s_hits([0.05, 0.2, 1.0, 0.0]) == 50.0
        and add_s_hits([None, None]) is None
        and add_s_hits([]) is None
    )


def test_physics_of_the_prediction_stands_in_the_score():
    truth = {
        "floor": trimesh.creation.box((2, 0.2, 2)),
        "cube": trimesh.creation.box((0.4, 0.4, 0.4)).apply_translation([0, 0.3, 0]),
    }
    lifted = {**truth, "cube": truth["cube"].copy().apply_translation([0, 0.5, 0])}
    good, bad = (score_scene(pred, truth, QUICK, extra=("physics",)) for pred in (truth, lifted))
    assert (good.stable, good.floating, good.gap) == (
        100.0,
        0.0,
        0.0,
    ) and good.penetration == pytest.approx(0.0, abs=1e-6)
    assert (bad.stable, bad.floating) == (50.0, 50.0) and bad.gap == pytest.approx(
        0.25, rel=1e-6
    )  # truth box: 2 -> 2; mean of two
    assert score_scene({}, truth, QUICK, extra=("physics",)).stable is None
    with pytest.raises(InputError, match="'magic' is unknown; choose from poses"):
        score_scene(truth, truth, QUICK, extra=("magic",))


def test_only_what_the_camera_sees_counts_where_the_protocol_is_about_a_view():
    camera = Camera(
        np.array([[60.0, 0, 32], [0, 60.0, 32], [0, 0, 1]]),
        similarity(1.0, np.diag([1.0, -1, -1]), [0.0, 0.3, 3.0]),
        64,
        64,
    )
    truth = room()
    behind = trimesh.creation.box((0.5, 0.5, 0.5)).apply_translation([0, 0, 9.0])
    protocol = replace(GEN3DSR, points=400, scene_points=1200)
    seen = score_scene(truth, {**truth, "behind": behind}, protocol, camera=camera)
    blind = score_scene(truth, {**truth, "behind": behind}, protocol)
    assert (
        seen.missing == () and seen.f_s == 100.0 and blind.missing == ("behind",) and not seen.hints
    )
    out = score_scene(
        all_moved(truth, similarity(1.0, None, [0, 0, 9.0])), truth, protocol, camera=camera
    )
    assert len(out.missing) == 3 and out.objects[0].miss == "out of the picture"
    with pytest.raises(InputError, match="sees none of the 1 true objects"):
        score_scene({"behind": behind}, {"behind": behind}, protocol, camera=camera)
