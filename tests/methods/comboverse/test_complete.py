"""Amodal completion: what is visible stays, what is painted is where others may hide the object,
and nothing is painted for nothing.
"""

import dataclasses

import numpy as np
import torch

from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import intrinsics_from_focal, lift, resized
from maquette.geometry.transforms import similarity
from maquette.methods.comboverse.complete import (
    BLANK,
    GROWTH,
    PROMPT,
    amodal_box,
    complete,
    noise_filled,
    second_cut,
)
from maquette.models.conditioning import letterbox, letterboxed_camera
from maquette.stages.frame import BACKGROUND_DEPTH
from maquette.stages.perceive import LIFT_SIZE, Perception
from maquette.types import Camera, SceneInput
from tests.priors import FormulaPrior

RED = (200, 30, 30)
BLUE = (30, 30, 200)
GREY = (128, 128, 128)
SIZE = 128


def hidden_world(front=2.0):
    """A red square (1) at depth 3, whose right half is hidden by a blue one (2), in front
    of grey.
    """
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[40:88, 30:78] = 1
    whole = labels == 1
    labels[36:92, 56:100] = 2
    image = np.full((SIZE, SIZE, 3), GREY, np.uint8)
    image[labels == 1] = RED
    image[labels == 2] = BLUE
    pose = similarity(1.0, np.diag([1.0, -1.0, -1.0]), np.array([0, 0, 3.0]))
    camera = Camera(intrinsics_from_focal(150.0, SIZE, SIZE), pose, SIZE, SIZE)
    picture = letterbox(image, labels, LIFT_SIZE)
    depth = np.choose(picture.labels, [BACKGROUND_DEPTH, 3.0, front]).astype(np.float32)
    points = lift(letterboxed_camera(camera, picture), depth).astype(np.float32)
    box = np.array([[(30 - 64) / 50, (64 - 88) / 50, -0.02], [(78 - 64) / 50, (64 - 40) / 50, 0.0]])
    given = SceneInput(image, ())
    boxes = {1: box, 2: box + 0.5}
    return whole, Perception(given, camera, picture, depth, points, labels, boxes)


def test_what_is_hidden_is_painted_and_what_is_visible_stays_to_the_bit():
    whole, perception = hidden_world()
    prior = FormulaPrior(np.array(RED) / 255)
    done = complete(prior, perception, 1, seed=0)
    np.testing.assert_array_equal(
        done.image[done.visible], perception.photo[perception.label_map == 1]
    )
    assert (done.image[~done.mask] == BLANK).all() and done.warning == ""
    found = done.mask.sum() / whole.sum()
    assert 0.85 < found < 1.15 and done.visible.sum() < 0.6 * whole.sum()
    np.testing.assert_allclose(done.box, pixel_box(whole), atol=4)
    ((filled, hole, prompts),) = prior.asked
    assert prompts == (PROMPT,) and 0 < hole.mean() < 0.5 and filled.shape == (1, 3, 16, 16)


def test_paint_of_the_colour_of_the_background_is_no_part_of_the_object():
    _, perception = hidden_world()
    done = complete(FormulaPrior(np.array(GREY) / 255), perception, 1, seed=0)
    assert done.mask.sum() < 1.3 * done.visible.sum()


def test_what_is_farther_away_hides_nothing_and_is_not_painted():
    _, perception = hidden_world(front=4.0)
    prior = FormulaPrior()
    done = complete(prior, perception, 1, seed=0)
    assert prior.asked == [] and (done.mask == done.visible).all()
    np.testing.assert_array_equal(done.box, pixel_box(perception.label_map == 1))


def test_without_a_prior_the_visible_part_is_all_and_it_says_so():
    _, perception = hidden_world()
    done = complete(None, perception, 1, seed=0)
    assert "not painted" in done.warning and (done.mask == done.visible).all()
    assert complete(None, perception, 2, seed=0).warning == ""  # nothing stands before it


def test_the_same_seed_paints_the_same():
    _, perception = hidden_world()
    prior = FormulaPrior()
    a, b, c = (complete(prior, perception, 1, seed=s) for s in (0, 0, 1))
    assert (a.image == b.image).all() and (a.mask == b.mask).all() and len(c.mask)
    pictures = [asked[0] for asked in prior.asked]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


def test_the_amodal_box_holds_the_mask_and_grows_within_limits():
    whole, perception = hidden_world()
    own = np.array(pixel_box(perception.label_map == 1))
    np.testing.assert_allclose(amodal_box(perception, 1), pixel_box(whole), atol=1)
    huge = dataclasses.replace(perception, boxes={1: np.array([[-9.0, -9, -1], [9, 9, 0]])})
    grow = GROWTH * np.tile(own[2:] - own[:2], 2)
    np.testing.assert_allclose(amodal_box(huge, 1), own + grow * np.array([-1, -1, 1, 1]))
    tiny = dataclasses.replace(perception, boxes={1: np.zeros((2, 3))})
    assert (amodal_box(tiny, 1)[:2] <= own[:2]).all() and (amodal_box(tiny, 1)[2:] >= own[2:]).all()


def test_noise_is_where_the_object_is_not():
    picture = torch.full((3, 8, 8), 0.25)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 2:6] = True
    filled = noise_filled(picture, mask, torch.Generator().manual_seed(0))
    assert (filled[:, mask] == 0.25).all() and filled[:, ~mask].std() > 0.2
    assert filled.min() >= 0 and filled.max() <= 1


def test_a_second_cut_only_adds_hidden_pixels_that_hang_together_with_the_object():
    painted = np.full((32, 32, 3), 60, np.uint8)
    visible, hidden = np.zeros((2, 32, 32), bool)
    visible[10:20, 4:12] = hidden[6:26, 12:29] = True
    painted[visible] = painted[10:20, 12:20] = painted[10:20, 26:28] = RED
    found = second_cut(painted, visible, hidden, ground=~(visible | hidden))
    painted[~visible] = GREY  # the embedded model's ground is known also when none of it is seen
    assert not second_cut(painted, visible, hidden, ground=np.zeros_like(visible)).any()
    assert found[12:18, 13:19].all() and not found[:, 24:].any() and not (found & visible).any()


def test_large_pictures_are_reduced():
    _, perception = hidden_world()
    labels = np.kron(perception.label_map, np.ones((10, 10), np.int32))
    big = np.kron(perception.photo, np.ones((10, 10, 1), np.uint8))
    larger = dataclasses.replace(
        perception,
        given=SceneInput(big, ()),
        label_map=labels,
        camera=resized(perception.camera, 10 * SIZE, 10 * SIZE),
        picture=letterbox(big, labels, LIFT_SIZE),
    )
    done = complete(None, larger, 1, seed=0)
    assert done.image.shape == (512, 512, 3) and (done.mask | ~done.visible).all()
    np.testing.assert_array_equal(done.box, 10 * complete(None, perception, 1, seed=0).box)
