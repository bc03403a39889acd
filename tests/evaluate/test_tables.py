from dataclasses import replace

from maquette.evaluate.protocols import RAW
from maquette.evaluate.score import score_scene
from maquette.evaluate.tables import scene_table
from tests.evaluate.scenes import room


def test_table_names_the_protocol_every_object_and_every_miss():
    truth = room()
    predicted = {"chair": truth["chair"], "box": truth["box"], "ghost": truth["ball"]}
    text = scene_table(score_scene(predicted, truth, replace(RAW, points=300), seed=5))
    assert text.startswith("protocol raw/1, seed 5: 3 objects, 1 missed, 1 extra")
    assert "MISS: no predicted object stands for it" in next(line for line in text.splitlines() if line.startswith("ball"))
    assert text.endswith("extra: ghost")


def test_table_says_whom_a_box_match_chose():
    truth = room()
    predicted = {f"object_{k}": mesh for k, mesh in enumerate(truth.values())}
    assert "matched with object_0" in scene_table(score_scene(predicted, truth, replace(RAW, points=300), match="box"))
