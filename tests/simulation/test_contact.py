"""Standing on others, exactly, and supports that edits keep consistent."""

import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.transforms import rotation_y, similarity
from maquette.simulation.contact import fall, supported_by
from maquette.types import GROUND, Support
from tests.simulation.scenes import GROUND as FLOOR
from tests.simulation.scenes import box, standing


def bottom(scene, label):
    return scene[label].box[0, 1]


def test_on_the_ground_the_lower_end_is_the_ground():
    scene = standing().move(2, (0.0, 0.3, 0.5)).stand(2, on=GROUND)
    assert bottom(scene, 2) == pytest.approx(FLOOR)
    assert scene.support(2) == Support(GROUND, 1.0)


def test_on_a_table_the_lower_end_is_its_top_and_it_is_carried():
    scene = standing().move(2, (0.02, 0.4, 0.0)).stand(2, on=1)
    assert bottom(scene, 2) == pytest.approx(scene[1].box[1, 1])
    assert scene.carried(1) == (2,) and scene.carried(4) == ()
    moved = scene.move(1, (0.1, 0.2, 0.3), carry=True)
    for label in (1, 2):
        assert np.allclose(moved[label].box - scene[label].box, [0.1, 0.2, 0.3])
    alone = scene.move(1, (0.1, 0.2, 0.3))
    assert np.array_equal(alone[2].box, scene[2].box)


def test_chains_go_together():
    low = box(1, (0.4, 0.1, 0.4), np.eye(4), "low")
    others = [
        box(k, (0.2, 0.1, 0.2), similarity(1.0, None, np.array([0, 0.2 * k, 0])), "block")
        for k in (2, 3)
    ]
    scene = standing()
    scene = type(scene)((low, *others), scene.camera, ground_height=FLOOR)
    scene = scene.stand(2, on=1).stand(3, on=2).stand(1, on=GROUND)
    assert [bottom(scene, k) for k in (1, 2, 3)] == pytest.approx([FLOOR, FLOOR + 0.1, FLOOR + 0.2])
    assert scene.carried(1) == (2, 3)
    for label, on in ((1, 3), (1, 1)):
        with pytest.raises(InputError, match="cannot stand on"):
            scene.stand(label, on=on)


def test_a_bowl_holds_what_is_in_it():
    """What counts is where the two meet, not the boxes."""
    bowl = trimesh.creation.annulus(0.15, 0.2, 0.2, sections=64)
    bowl.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    ring = box(1, (1, 1, 1), np.eye(4), "ring")
    ring = type(ring)(1, bowl, np.eye(4), seed=0)
    small = box(2, (0.1, 0.1, 0.1), similarity(1.0, None, np.array([0.0, 1.0, 0.0])), "small")
    scene = type(standing())((ring, small), standing().camera, ground_height=-0.1)
    assert fall(scene, scene[2], 1) == np.inf
    assert supported_by(scene, scene[2]) == GROUND


def test_what_is_nowhere_above_is_refused():
    with pytest.raises(InputError, match="nowhere above"):
        standing().move(2, (3.0, 0.0, 0.0)).stand(2, on=1)
    with pytest.raises(InputError, match="label 9 is not in the scene"):
        standing().stand(2, on=9)
    with pytest.raises(InputError, match="no-such-thing"):
        standing().stand(2, on="no-such-thing")


def test_without_knowledge_the_next_below_is_the_supporter():
    scene = standing()
    assert [supported_by(scene, i) for i in scene.instances] == [GROUND, 1, GROUND]


def test_edits_keep_supports_consistent():
    scene = standing().stand(2, on=1)
    assert scene.delete(1).supports == {}
    assert scene.delete(2).supports == {}
    doubled = scene.duplicate(2, (0.1, 0.0, 0.0))
    assert doubled.support(3) == Support(1, 1.0)


def test_what_is_carried_turns_and_grows_with_its_supporter():
    scene = standing().move(2, (0.02, 0.4, 0.0)).stand(2, on=1)
    motion = similarity(1.2, rotation_y(0.7), np.array([0.1, 0.0, -0.2]))
    moved = scene.transform(1, motion @ scene[1].world_from_instance, carry=True)
    for label in (1, 2):
        expected = motion @ scene[label].world_from_instance
        assert np.allclose(moved[label].world_from_instance, expected)


def test_what_is_said_to_carry_an_object_but_is_nowhere_below_it_does_not():
    said = dataclasses.replace(standing(), supports={2: Support(1, 0.5)})
    assert supported_by(said, said[2]) == 1
    beside = said.move(2, (0.6, 0.0, 0.0))
    assert supported_by(beside, beside[2]) == GROUND
