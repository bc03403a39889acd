"""What ends above the ground comes down to it, where the photo does not say otherwise."""

import dataclasses

import numpy as np
import pytest

from maquette.geometry.transforms import similarity
from maquette.render.silhouette import silhouette_scores
from maquette.simulation.arrange import hanging
from maquette.simulation.ground import (
    DISTANCE_ERROR,
    HEIGHT_ERROR,
    TOO_SHORT,
    agreement,
    brought_down,
    grounded,
    on_common_ground,
    raised,
)
from maquette.stages.support import LIKELY
from maquette.types import GROUND, Support
from tests.simulation.scenes import box, colliding, photographed, standing

pytest.importorskip("mujoco")


def lamp_behind_a_crate(height=0.5):
    """A lamp whose foot a crate hides: nobody sees that it ends above the ground."""
    scene = standing().delete(1).delete(2)
    lamp = box(3, (0.1, height, 0.1), np.eye(4), "lamp")
    place = scene[4].box.mean(0) + (0.0, height / 2, -0.25)
    lamp = dataclasses.replace(lamp, world_from_instance=similarity(1.0, None, place))
    return dataclasses.replace(scene, instances=(lamp, *scene.instances))


def test_a_foot_that_ends_behind_something_nearer_reaches_the_ground_there():
    both = lamp_behind_a_crate()
    assert hanging(both) == {3}
    assert hanging(grounded(colliding(both), 3).scene) == {3}  # no photo says nothing is seen
    shown = photographed(both)
    made = grounded(colliding(shown), 3)
    assert not hanging(made.scene) and made.scene.support(3).on == GROUND
    assert made.scene[3].box[0, 1] == pytest.approx(both.ground_height)
    assert not made.world(()).pair_overlaps()
    agree = silhouette_scores(made.scene.instances, shown.input.masks, both.camera)
    assert agree[3].visible > 0.8
    assert np.array_equal(brought_down(colliding(shown), ()).scene[3].box, made.scene[3].box)


def test_what_is_known_to_stand_comes_along_its_ray_and_is_drawn_down_as_is_likely():
    """What is left when the missing height is made up for is least in squares over both errors."""
    shown = photographed(lamp_behind_a_crate(0.2))
    shown = dataclasses.replace(shown, supports={3: Support(GROUND, LIKELY), 4: Support(GROUND)})
    assert raised(shown) == {3}
    made = brought_down(colliding(shown), ()).scene
    assert made[3].box[0, 1] == pytest.approx(shown.ground_height)
    eye = shown.camera.position
    tops = [one[3].box[1] - eye for one in (shown, made)]
    factor = tops[1][1] / tops[0][1]
    assert tops[1] == pytest.approx(factor * tops[0], rel=1e-6)
    below = eye[1] - shown[3].box[0, 1]
    height = np.ptp(shown[3].box[:, 1])
    drop = shown[3].box[0, 1] - shown.ground_height
    moved = np.linspace(0.0, drop, 10_001)
    assert drop > 1.2 * TOO_SHORT * height
    lacking = np.maximum(drop - moved - TOO_SHORT * height, 0.0)
    unlikely = (moved / (DISTANCE_ERROR * below)) ** 2 + (lacking / (HEIGHT_ERROR * height)) ** 2
    assert (factor - 1) * below == pytest.approx(moved[unlikely.argmin()], abs=1e-3 * drop)
    assert agreement(made)[3] > 0.99
    assert made.support(3) == shown.support(3)


@pytest.mark.parametrize("still", [(), (3,)])
def test_what_belies_the_mask_is_not_drawn_nor_what_is_still(still):
    scene = lamp_behind_a_crate()
    if not still:
        scene = scene.delete(4)  # the photo shows where the lamp ends
    shown = dataclasses.replace(photographed(scene), supports={3: Support(GROUND)})
    given = colliding(shown)
    assert raised(shown) == {3}
    assert brought_down(given, still) is given


def test_nothing_is_drawn_without_a_mask():
    scene = dataclasses.replace(lamp_behind_a_crate(), supports={3: Support(GROUND)})
    given = colliding(scene)
    assert brought_down(given, ()) is given


def test_the_ground_is_where_what_surely_stands_on_it_ends():
    scene = standing().move(4, (0.0, 0.3, 0.0))
    supports = {1: Support(GROUND), 4: Support(GROUND, LIKELY)}
    made = on_common_ground(colliding(dataclasses.replace(scene, supports=supports)))
    assert made.scene.ground_height == pytest.approx(scene[1].box[0, 1])
    unsure = colliding(dataclasses.replace(scene, supports={4: Support(GROUND, LIKELY)}))
    assert on_common_ground(unsure) is unsure


@pytest.mark.parametrize("what", ["moved away", "far above"])
def test_what_is_not_where_its_photo_shows_it_or_farther_above_than_high_is_not_drawn(what):
    shown = photographed(lamp_behind_a_crate(0.2))
    ground = shown.ground_height - (0.3 if what == "far above" else 0.0)
    shown = dataclasses.replace(shown, ground_height=ground, supports={3: Support(GROUND)})
    if what == "moved away":
        shown = shown.move(3, (0.5, 0.05, 0.0))
    given = colliding(shown)
    assert raised(shown) == {3}
    assert brought_down(given, (4,)) is given
