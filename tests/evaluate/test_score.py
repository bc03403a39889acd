"""Scoring itself; what every protocol must obey is in test_laws.py."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.measure import miss_distance
from maquette.evaluate.protocols import ISCENE, MIDI, PROTOCOLS, RAW, TETRIS3D
from maquette.evaluate.score import score_scene
from maquette.geometry.transforms import rotation_y, similarity
from tests.evaluate.scenes import all_moved, room

COUNT = 1000
SOUND = [replace(p, points=COUNT) for p in PROTOCOLS if p not in (MIDI, TETRIS3D)]
QUICK = replace(ISCENE, points=COUNT)
QUICK_RAW = replace(RAW, points=COUNT)


def ids(protocol):
    return protocol.name


def test_scale_and_shift_of_the_scene_are_taken_out_by_iscene():
    truth = room()
    score = score_scene(all_moved(truth, similarity(2.5, None, [3.0, -2.0, 1.0])), truth, QUICK)
    assert score.f_s > 99.9 and score.iou_b > 0.95 and score.f_o > 96.0
    assert np.cbrt(np.linalg.det(np.array(score.truth_from_predicted)[:3, :3])) == pytest.approx(
        0.4, rel=0.02
    )
    assert score.iou_b_raw < 0.1


def test_unit_of_the_files_does_not_matter():
    truth = room()
    worse = all_moved(truth, similarity(1.0, rotation_y(0.1), [0.1, 0.0, 0.0]))
    score = score_scene(worse, truth, QUICK_RAW)
    bigger = similarity(100.0, None, [7.0, 8.0, 9.0])
    other = score_scene(all_moved(worse, bigger), all_moved(truth, bigger), QUICK_RAW)
    assert other.cd_s == pytest.approx(score.cd_s, rel=1e-6)
    assert other.f_s == pytest.approx(score.f_s) and other.iou_b == pytest.approx(score.iou_b)


def test_nothing_predicted_is_a_scene_of_misses():
    score = score_scene({}, room(), QUICK)
    assert (score.f_s, score.f_o, score.iou_b) == (0.0, 0.0, 0.0)
    assert score.cd_s == pytest.approx(miss_distance(1.0, QUICK))
    assert len(score.missing) == 3


@pytest.mark.parametrize(
    "broken",
    [
        trimesh.Trimesh(),
        trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False),
    ],
)
def test_a_mesh_without_surface_is_a_miss_with_a_reason(broken):
    truth = room()
    score = score_scene({**truth, "ball": broken}, truth, QUICK_RAW)
    assert score.missing == ("ball",) and score.extra == ()
    assert "no " in next(o.miss for o in score.objects if o.name == "ball")


def test_extra_objects_are_listed_and_cost_scene_precision():
    truth = room()
    extra = {"ghost": trimesh.creation.box((0.3, 0.3, 0.3)).apply_translation([0, 1.5, 0])}
    score = score_scene({**truth, **extra}, truth, QUICK_RAW)
    clean = score_scene(truth, truth, QUICK_RAW)
    assert score.extra == ("ghost",)
    assert score.f_s < clean.f_s - 5
    assert score.objects == clean.objects  # an object's samples do not depend on its company


def test_permuted_names_are_detected_and_box_matching_repairs_them():
    truth = room()
    permuted = {"chair": truth["ball"], "ball": truth["box"], "box": truth["chair"]}
    score = score_scene(permuted, truth, QUICK_RAW)
    repaired = score_scene(permuted, truth, QUICK_RAW, match="hungarian")
    assert score.f_s == 100.0  # the scene as a whole is right
    assert score.iou_b < 0.1 and score.f_o < 70.0
    assert repaired.iou_b == pytest.approx(1.0, abs=1e-9) and repaired.f_o > 96.0
    assert {o.name: o.predicted for o in repaired.objects} == {
        "chair": "box",
        "ball": "chair",
        "box": "ball",
    }


def test_worse_predictions_score_worse():
    truth = room()
    rng = np.random.default_rng(1)
    scores = []
    for noise in (0.0, 0.05, 0.15):
        predicted = all_moved(truth, np.eye(4))
        for mesh in predicted.values():
            mesh.vertices = mesh.vertices + noise * rng.normal(size=mesh.vertices.shape)
        scores.append(score_scene(predicted, truth, QUICK))
    assert scores[0].f_o > scores[1].f_o > scores[2].f_o
    assert scores[0].cd_s < scores[1].cd_s < scores[2].cd_s
    assert scores[0].normals > scores[1].normals > scores[2].normals


def test_flat_objects_have_a_box_iou():
    carpet = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], [[0, 2, 1], [0, 3, 2]], process=False
    )
    truth = {**room(), "carpet": carpet}
    assert next(
        o.iou_b for o in score_scene(truth, truth, QUICK_RAW).objects if o.name == "carpet"
    ) == pytest.approx(1.0)


def test_unusable_input_is_refused_in_one_line():
    truth = room()
    nan = truth["ball"].copy()
    nan.vertices[0] = np.nan
    for pred, gt, message in (
        ({**truth, "ball": nan}, truth, "'ball': 1 of"),
        (truth, {**truth, "ball": nan}, "'ball': 1 of"),
        (truth, {}, "no objects"),
        (truth, {**truth, "hole": trimesh.Trimesh()}, "'hole' cannot be scored"),
        ({"other": truth["ball"]}, truth, "no name occurs in both"),
    ):
        with pytest.raises(InputError, match=message):
            score_scene(pred, gt, QUICK_RAW)
    with pytest.raises(InputError, match="choose one of iscene/1"):
        score_scene(truth, truth, "unheard-of")
