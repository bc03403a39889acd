"""Before physics: what hangs, what is brought into contact, and room between what overlaps."""

import dataclasses

import numpy as np
import pytest

from maquette.geometry.transforms import similarity
from maquette.render.silhouette import instance_silhouettes
from maquette.simulation.arrange import (
    arranged,
    carved,
    hanging,
    levelled_bodies,
    untangled,
    with_mesh,
)
from maquette.simulation.contact import fall
from maquette.types import GROUND, InstanceMask, SceneInput, Support
from tests.simulation.scenes import box, colliding, photographed, standing

pytest.importorskip("mujoco")


def test_what_nothing_is_near_below_hangs_unless_it_is_known_to_stand():
    scene = standing().move(4, (0.0, 0.6, 0.0))
    assert hanging(scene) == {4}
    known = dataclasses.replace(scene, supports={4: Support(GROUND)})
    assert not hanging(known)


def test_what_is_brought_into_contact_keeps_its_picture():
    supports = {1: Support(GROUND), 2: Support(1), 4: Support(GROUND)}
    lifted = standing().move(2, (0.0, 0.02, 0.0))
    given = colliding(dataclasses.replace(lifted, supports=supports))
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    assert fall(made.scene, made.scene[2], 1) == pytest.approx(0, abs=1e-3)
    eye = given.scene.camera.position
    before = given.scene[2].box.mean(0) - eye
    after = made.scene[2].box.mean(0) - eye
    across = np.linalg.norm(np.cross(before, after))
    assert across < 1e-6 * np.linalg.norm(before) ** 2
    assert np.allclose(made.scene[1].box, given.scene[1].box, atol=1e-6)


def test_the_ground_is_where_most_lower_ends_are_and_what_is_below_is_raised():
    supports = {label: Support(GROUND) for label in (1, 4)}
    sunk = dataclasses.replace(standing().delete(2), supports=supports).move(4, (0.0, -0.02, 0.0))
    given = colliding(sunk)
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    assert made.scene.ground_height == pytest.approx(-0.4)
    assert made.scene[4].box[0, 1] == pytest.approx(-0.4, abs=1e-6)
    assert made.scene[4].box[1, 1] == pytest.approx(sunk[4].box[1, 1], abs=1e-6)


def volume(given, label):
    return sum(part.volume for part in given.standing(label).parts)


@pytest.mark.parametrize("depth", [0.01, 0.05, 0.15])
def test_of_what_overlaps_the_part_that_loses_less_is_cut_and_what_is_seen_stays(depth):
    """A small block in the side of the table."""
    scene = standing().delete(4)
    side = scene[1].box[1, 0]
    at = np.array([side - depth + 0.025, -0.3, 0.0])
    inside = box(5, (0.05, 0.05, 0.05), similarity(1.0, None, at), "cube")
    both = dataclasses.replace(scene, instances=(*scene.instances, inside))
    given = colliding(dataclasses.replace(both, supports={2: Support(1)}))
    assert given.world(()).pair_overlaps()
    made = carved(given)
    assert not made.world(()).part_overlaps()
    for label in (1, 2, 5):
        assert np.allclose(made.scene[label].box, both[label].box, atol=1e-6)
    lost = [volume(given, label) - volume(made, label) for label in (1, 5)]
    if depth < 0.05:
        assert lost == pytest.approx([0, 0.05**2 * depth], abs=1e-6)
    else:  # it would be gone, and the table has room for it
        assert lost[0] > 0 and volume(made, 5) > 0


def test_what_stands_on_another_goes_along_with_it_and_what_is_static_does_not():
    supports = {1: Support(GROUND), 2: Support(1), 4: Support(GROUND)}
    scene = dataclasses.replace(standing(), supports=supports)
    lifted = scene.move(1, (0.0, 0.05, 0.0)).move(2, (0.0, 0.05, 0.0))
    given = colliding(lifted)
    made = arranged(given, levelled_bodies(given), {}, frozenset([2]))
    shown = [instance_silhouettes([one[2]], lifted.camera) for one in (lifted, made.scene)]
    assert np.array_equal(*shown) and made.scene[2].box[0, 1] < lifted[2].box[0, 1] - 0.03
    options = dataclasses.replace(given.options, static="2")
    given = dataclasses.replace(given, options=options)
    still = arranged(given, levelled_bodies(given), {}, frozenset([2]))
    assert np.array_equal(still.scene[2].box, lifted[2].box)


def test_contacts_reach_to_what_is_near_below_instead_of_moving_the_object():
    supports = {1: Support(GROUND), 2: Support(1), 4: Support(GROUND)}
    scene = dataclasses.replace(standing(), supports=supports).move(4, (0.0, 0.01, 0.0))
    fine = scene[1].mesh.subdivide().subdivide().subdivide()
    given = colliding(with_mesh(scene.move(2, (0.0, 0.01, 0.0)), 1, fine))
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    for label in (2, 4):
        assert np.allclose(made.scene[label].box, given.scene[label].box, atol=1e-6)
    assert made.standing(4).corners[:, 1].min() == pytest.approx(scene.ground_height, abs=1e-6)
    top = made.standing(1).corners[:, 1].max()
    assert top == pytest.approx(made.scene[2].box[0, 1], abs=1e-6)
    assert not made.world(()).pair_overlaps()


@pytest.mark.parametrize("depth", [0.01, 0.04])
def test_what_is_in_what_carries_it_stays_and_a_place_is_cut_for_it(depth):
    scene = dataclasses.replace(standing(), supports={1: Support(GROUND), 2: Support(1)})
    given = colliding(scene.move(2, (0.0, -depth, 0.0)))
    made = arranged(given, levelled_bodies(given), {}, frozenset([4]))
    for label in (1, 2):
        assert np.allclose(made.scene[label].box, given.scene[label].box, atol=1e-6)
    assert not made.world(()).part_overlaps()
    sides = np.ptp(given.scene[2].box, axis=0)
    gone = volume(given, 1) - volume(made, 1)
    assert gone == pytest.approx(depth * sides[0] * sides[2], rel=0.02)


def hung_in_the_table(way):
    """A block without a place to stand, in a table on the ground, so far along its ray."""
    scene = standing().delete(2)
    scene = dataclasses.replace(scene, supports={1: Support(GROUND)}, ground_height=-1.0)
    eye = scene.camera.position
    place = scene[1].box.mean(0)
    away = (place - eye) / np.linalg.norm(place - eye)
    return scene.move(4, place + way * away - scene[4].box.mean(0))


@pytest.mark.parametrize("way", [-1, 1])
def test_what_hangs_in_something_leaves_it_along_its_ray_to_the_side_that_is_seen(way):
    scene = hung_in_the_table(0.2 * way)
    assert hanging(scene) == {4} and colliding(scene).world(()).pair_overlaps()
    moved = untangled(colliding(scene), ()).scene
    assert not colliding(moved).world(()).pair_overlaps()
    both = [instance_silhouettes([one[4]], scene.camera) for one in (scene, moved)]
    assert np.array_equal(*both)
    eye = scene.camera.position
    far = [np.linalg.norm(one[4].box.mean(0) - eye) for one in (scene, moved)]
    assert way * (far[1] - far[0]) > 0.01
    assert untangled(colliding(scene), (4,)).scene is scene


def test_masks_tell_what_is_in_front_and_to_that_side_it_would_go_through():
    scene = hung_in_the_table(0.2)
    covered = instance_silhouettes([scene[4]], scene.camera) == 4
    masks = (InstanceMask(4, covered), InstanceMask(1, ~covered))
    photo = SceneInput(np.zeros((*covered.shape, 3), np.uint8), masks)
    shown = dataclasses.replace(scene, input=photo)
    assert untangled(colliding(shown), ()).scene is shown


def test_what_goes_through_something_stays():
    scene = hung_in_the_table(0.0)
    assert untangled(colliding(scene), ()).scene is scene


@pytest.mark.parametrize("is_shown", [True, False])
def test_contacts_reach_the_ground_where_the_ray_to_it_would_lead_far_away(is_shown):
    scene = dataclasses.replace(standing(), supports={4: Support(GROUND)})
    low = scene.camera.position[1] - 0.1  # all of it near the height of the eye
    raised = scene.delete(1).delete(2).move(4, (0.0, low - scene[4].box[0, 1], 0.0))
    raised = dataclasses.replace(raised, ground_height=low - 0.1)
    given = colliding(photographed(raised) if is_shown else raised)
    made = arranged(given, levelled_bodies(given), {}, frozenset())
    ground = made.scene.ground_height
    assert ground < low - 0.02
    assert made.standing(4).corners[:, 1].min() == pytest.approx(ground, abs=1e-5)
    stayed = np.allclose(made.scene[4].box, raised[4].box, atol=1e-6)
    assert stayed is is_shown  # what is not where a photo shows it comes down


@pytest.mark.parametrize("depth", [0.01, 0.1])
def test_what_is_hardly_in_its_carrier_has_its_place_there_and_what_is_deep_leaves_it(depth):
    """A board whose lower end is in the front edge of a table."""
    scene = standing().delete(2).delete(4)
    board = box(2, (0.1, 0.5, 0.02), np.eye(4), "board")
    top = scene[1].box[1]
    at = (0.0, top[1] + 0.25 - depth, top[2] - 0.005)
    board = dataclasses.replace(board, world_from_instance=similarity(1.0, None, np.array(at)))
    supports = {1: Support(GROUND), 2: Support(1)}
    both = dataclasses.replace(scene, instances=(*scene.instances, board), supports=supports)
    given = colliding(both)
    assert given.world(()).pair_overlaps()
    moved = untangled(given, ()).scene
    assert (moved is given.scene) == (depth < 0.02)
