from dataclasses import replace

from maquette.evaluate.protocols import GEN3DSR, RAW
from maquette.evaluate.scene_table import scene_table
from maquette.evaluate.score import score_scene
from tests.evaluate.scenes import room


def test_table_names_the_protocol_every_object_and_every_miss():
    truth = room()
    predicted = {"chair": truth["chair"], "box": truth["box"], "ghost": truth["ball"]}
    text = scene_table(score_scene(predicted, truth, replace(RAW, points=300), seed=5))
    assert text.startswith("protocol raw/1, seed 5: 3 objects, 1 missed, 1 extra")
    assert "MISS: no predicted object stands for it" in next(
        line for line in text.splitlines() if line.startswith("ball")
    )
    assert "extra: ghost" in text.splitlines()
    assert text.splitlines()[-1].startswith(
        "note: 1 of 3 objects stand where another name is expected (ball <- ghost)"
    )


def test_table_shows_what_else_was_measured_and_alignment_free_numbers_stand_beside():
    truth = room()
    text = scene_table(
        score_scene(
            truth, truth, replace(GEN3DSR, points=300, scene_points=900), extra=("physics", "boxes")
        )
    )
    assert (
        "scene F-score % at 0.001 (f_s_3)" in text
        and "as given" in text
        and "note: gen3dsr/1 counts only" in text
    )
    for field in ("iou_obb", "ap15", "penetration", "gap", "floating", "stable"):
        assert f"({field})" in text
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("note")) < 100
    assert lines[
        lines.index(next(line for line in lines if line.startswith("object  ") and "cd_o" in line))
        + 1
    ].startswith("chair")


def test_table_says_whom_a_box_match_chose():
    truth = room()
    predicted = {f"object_{k}": mesh for k, mesh in enumerate(truth.values())}
    assert "matched with object_0" in scene_table(
        score_scene(predicted, truth, replace(RAW, points=300), match="hungarian")
    )
