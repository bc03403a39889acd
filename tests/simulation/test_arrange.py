"""Before physics: what hangs, what is brought into contact, and room between what overlaps."""

import dataclasses

import numpy as np
import pytest

from maquette.options import SimulationOptions
from maquette.simulation.arrange import (
    CollidingScene,
    arranged,
    hanging,
    levelled_bodies,
    with_room,
)
from maquette.simulation.bodies import solids_of
from maquette.types import GROUND, Support
from tests.simulation.scenes import standing

pytest.importorskip("mujoco")


def of(scene):
    visible = scene.visible().instances
    solids = solids_of([instance.mesh for instance in visible], "hull")
    by_label = {instance.label: solid for instance, solid in zip(visible, solids)}
    return CollidingScene(scene, by_label, SimulationOptions(collision="hull", up="y"))


def test_what_nothing_is_near_below_hangs_unless_it_is_known_to_stand():
    scene = standing().move(4, (0.0, 0.6, 0.0))
    assert hanging(scene) == {4}
    known = dataclasses.replace(scene, supports={4: Support(GROUND)})
    assert not hanging(known)


def test_what_is_brought_into_contact_keeps_its_picture():
    supports = {1: Support(GROUND), 2: Support(1), 4: Support(GROUND)}
    lifted = standing().move(2, (0.0, 0.02, 0.0))
    given = of(dataclasses.replace(lifted, supports=supports))
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    assert made.drop(2, 1) == pytest.approx(0, abs=1e-3)
    eye = given.scene.camera.position
    before = given.scene[2].box.mean(0) - eye
    after = made.scene[2].box.mean(0) - eye
    across = np.linalg.norm(np.cross(before, after))
    assert across < 1e-6 * np.linalg.norm(before) ** 2
    assert np.allclose(made.scene[1].box, given.scene[1].box, atol=1e-6)


def test_the_ground_is_where_most_lower_ends_are_and_what_is_below_is_raised():
    supports = {label: Support(GROUND) for label in (1, 4)}
    sunk = dataclasses.replace(standing().delete(2), supports=supports).move(4, (0.0, -0.02, 0.0))
    given = of(sunk)
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    assert made.scene.ground_height == pytest.approx(-0.4)
    assert made.scene[4].box[0, 1] == pytest.approx(-0.4, abs=1e-6)
    assert made.scene[4].box[1, 1] == pytest.approx(sunk[4].box[1, 1], abs=1e-6)


def test_neighbours_that_overlap_get_room_and_what_stands_on_another_does_not():
    scene = standing().move(4, (0.1, 0.0, 0.2))
    given = of(dataclasses.replace(scene, supports={2: Support(1)}))
    assert len(given.world(()).pair_overlaps()) == 1
    made = with_room(given, frozenset())
    assert not made.world(()).pair_overlaps()
    assert np.allclose(made.scene[2].box, scene[2].box)
    for label in (1, 4):
        assert np.allclose(made.scene[label].box[:, 1], scene[label].box[:, 1], atol=1e-6)
    still = with_room(given, frozenset([1]))
    assert np.allclose(still.scene[1].box, scene[1].box)
