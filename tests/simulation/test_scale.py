import dataclasses

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.options import ScaleOptions
from maquette.simulation.scale import scaled_scene
from tests.document.scenes import make_scene


def height(scene, label):
    low, high = scene[label].box
    return high[1] - low[1]


@pytest.mark.parametrize("said", ["ball=0.9m", "1=90cm", "instance_1=900mm", "ball = 0.9"])
def test_the_height_of_an_object_sets_the_scale(said):
    scene = make_scene()
    found = scaled_scene(scene, ScaleOptions(size=[said]))
    assert found.is_known and found.remarks == ()
    assert height(scene, 1) * found.scene.metres_per_unit == pytest.approx(0.9)


def test_several_heights_are_reconciled():
    scene = make_scene()
    sizes = {1: 2 * height(scene, 1), "crate \u00e9": 8 * height(scene, 3)}
    found = scaled_scene(scene, ScaleOptions(size=sizes))
    assert found.scene.metres_per_unit == pytest.approx(4)
    assert "disagree by 4.00x" in found.remarks[0]


def test_metres_per_unit_wins_over_what_the_scene_knew():
    scene = dataclasses.replace(make_scene(), metres_per_unit=3.0)
    assert scaled_scene(scene, ScaleOptions()).scene.metres_per_unit == 3.0
    found = scaled_scene(scene, ScaleOptions(metres_per_unit=2.5))
    assert found.scene.metres_per_unit == 2.5 and found.is_known


def test_an_unknown_scale_is_said():
    found = scaled_scene(make_scene(), ScaleOptions())
    assert not found.is_known and "scale unknown, assuming" in found.remarks[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": ["ball"]}, "NAME=VALUE"),
        ({"size": ["ball=tall"]}, "a length such as 0.9m"),
        ({"size": ["ball=2 miles"]}, "a length such as 0.9m"),
        ({"size": ["ball=0"]}, "above 0"),
        ({"size": {1: float("inf")}}, "above 0"),
        ({"size": ["cow=1m"]}, r"no object is called 'cow'; the scene has 1 \(ball\)"),
        ({"size": ["ball=1"], "metres_per_unit": 2.0}, "leave one of them out"),
        ({"metres_per_unit": 0}, "metres_per_unit must be"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        scaled_scene(make_scene(), ScaleOptions(**given))


def test_a_flat_object_has_no_height():
    scene = make_scene()
    flat = scene.transform(12, np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]))
    with pytest.raises(InputError, match="flat"):
        scaled_scene(flat, ScaleOptions(size={12: 1.0}))
