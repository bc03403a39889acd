"""Before physics: what hangs, what is brought into contact, and room between what overlaps."""

import dataclasses

import numpy as np
import pytest

from maquette.geometry.transforms import similarity
from maquette.options import SimulationOptions
from maquette.render.silhouette import instance_silhouettes, silhouette_scores
from maquette.simulation.arrange import (
    CollidingScene,
    arranged,
    grounded,
    hanging,
    levelled_bodies,
    untangled,
    with_room,
)
from maquette.simulation.bodies import solids_of
from maquette.types import GROUND, InstanceMask, SceneInput, Support
from tests.simulation.scenes import box, standing

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
    assert np.allclose(made.scene[1].box[:, 1], scene[1].box[:, 1])  # for the cup stands on it
    assert made.scene[4].box[0, 1] == pytest.approx(scene[4].box[0, 1], abs=1e-6)
    still = with_room(given, frozenset([1]))
    assert np.allclose(still.scene[1].box, scene[1].box)


def test_what_is_behind_another_leaves_it_along_rays_so_that_the_picture_stays():
    """A block whose front is in the rear of the one before it, both on the ground."""
    scene = standing().delete(1).delete(2)
    twin = dataclasses.replace(scene[4], label=5)
    behind = twin.world_from_instance @ similarity(1.0, None, np.array([0.0, 0.0, -0.17]))
    twin = dataclasses.replace(twin, world_from_instance=behind)
    both = dataclasses.replace(scene, instances=(*scene.instances, twin))
    given = of(both)
    assert len(given.world(()).pair_overlaps()) == 1
    made = with_room(given, frozenset())
    assert not made.world(()).pair_overlaps()
    depths = [[np.ptp(one[label].box[:, 2]) for label in (4, 5)] for one in (both, made.scene)]
    nearer, farther = np.subtract(*depths)
    assert nearer > 0.02 and farther < 0.2 * nearer  # its hidden rear gives
    shown = [instance_silhouettes(one.instances, one.camera) for one in (both, made.scene)]
    assert (shown[0] != shown[1]).mean() < 2e-3
    alone = with_room(given, frozenset([4]))
    assert not alone.world([4]).pair_overlaps()
    assert np.allclose(alone.scene[4].box, both[4].box)


def test_a_foot_that_ends_behind_something_nearer_reaches_the_ground_there():
    """A lamp whose foot a crate hides: nobody sees that it ends above the ground."""
    scene = standing().delete(1).delete(2)
    lamp = box(3, (0.1, 0.5, 0.1), np.eye(4), "lamp")
    place = scene[4].box.mean(0) + (0.0, 0.25, -0.25)
    lamp = dataclasses.replace(lamp, world_from_instance=similarity(1.0, None, place))
    both = dataclasses.replace(scene, instances=(lamp, *scene.instances))
    assert hanging(both) == {3}
    assert hanging(grounded(of(both), 3).scene) == {3}  # no photo tells that nothing is seen
    seen = instance_silhouettes(both)
    masks = tuple(InstanceMask(label, seen == label) for label in (3, 4))
    photo = SceneInput(np.zeros((*seen.shape, 3), np.uint8), masks)
    made = grounded(of(dataclasses.replace(both, input=photo)), 3)
    assert not hanging(made.scene) and made.scene.support(3).on == GROUND
    assert made.scene[3].box[0, 1] == pytest.approx(scene.ground_height)
    assert not made.world(()).pair_overlaps()
    agree = silhouette_scores(made.scene.instances, masks, scene.camera)
    assert agree[3].visible > 0.8


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
    assert hanging(scene) == {4} and of(scene).world(()).pair_overlaps()
    moved = untangled(of(scene), ()).scene
    assert not of(moved).world(()).pair_overlaps()
    both = [instance_silhouettes([one[4]], scene.camera) for one in (scene, moved)]
    assert np.array_equal(*both)
    eye = scene.camera.position
    far = [np.linalg.norm(one[4].box.mean(0) - eye) for one in (scene, moved)]
    assert way * (far[1] - far[0]) > 0.01
    assert untangled(of(scene), (4,)).scene is scene


def test_masks_tell_what_is_in_front_and_to_that_side_it_would_go_through():
    scene = hung_in_the_table(0.2)
    covered = instance_silhouettes([scene[4]], scene.camera) == 4
    masks = (InstanceMask(4, covered), InstanceMask(1, ~covered))
    photo = SceneInput(np.zeros((*covered.shape, 3), np.uint8), masks)
    shown = dataclasses.replace(scene, input=photo)
    assert untangled(of(shown), ()).scene is shown


def test_what_goes_through_something_stays():
    scene = hung_in_the_table(0.0)
    assert untangled(of(scene), ()).scene is scene
