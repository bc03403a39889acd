"""Holding a volume to the photo: a true volume stays, lies in view are corrected, what is hidden is
left alone.
"""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.spatial.transform import Rotation

from maquette.geometry.cameras import moved, world_rays
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.models.conditioning import letterbox
from maquette.stages import fuse
from maquette.stages.closeup import closeup
from maquette.stages.fuse import RESOLUTION, Witness, fused_field
from maquette.stages.shapes import PlacedShape
from maquette.stages.thin import thin_parts
from maquette.stages.turned import TurnedBody
from tests.stages.balls import RADIUS, perceived_ball

SIZE = 256
CELLS = cell_centres(RESOLUTION)


@pytest.fixture(scope="module")
def seen():
    return perceived_ball(SIZE)


def ball(radius=RADIUS, centre=(0, 0, 0), cells=64):
    distance = (cell_centres(cells) - torch.tensor(centre)).norm(dim=-1) - radius
    return (distance / TRUNCATION).clamp(-1, 1)


def inside_ball(radius=RADIUS, centre=(0, 0, 0)):
    return (ball(radius, centre, RESOLUTION) < 0).numpy()


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


def fused(volume, seen, cube=None):
    return fused_field(volume, seen, 1, np.eye(4) if cube is None else cube).field < 0


def test_the_truth_is_nearly_left_alone(seen):
    assert iou(fused(ball(), seen), inside_ball()) > 0.95


@pytest.mark.parametrize(("radius", "centre"), [(0.42, (0.0, 0.0, 0.0)), (0.3, (0.15, 0.1, 0.0))])
def test_what_sticks_out_of_the_silhouette_goes_and_the_visible_side_returns(seen, radius, centre):
    found = fused(ball(radius, centre), seen)
    assert iou(found, inside_ball()) > iou(inside_ball(radius, centre), inside_ball()) + 0.1
    side = (CELLS[..., :2].norm(dim=-1) > RADIUS * 1.15).numpy()
    assert not (found & side).any()


def test_an_empty_volume_becomes_the_visible_shell(seen):
    solid = fused(torch.ones(64, 64, 64), seen)
    z = CELLS[..., 2].numpy()
    assert solid.any() and not (solid & (z < -0.06)).any()


def test_the_visible_layer_ends_below_where_what_is_seen_does(seen):
    down = Rotation.from_euler("x", -45, degrees=True).as_matrix()  # the eye comes to look down
    above = dataclasses.replace(seen, camera=moved(seen.camera, similarity(1.0, down)))
    assert above.camera.position[1] > 0.5
    rows, columns = np.nonzero(above.label_map)
    z = above.photo_depth[rows, columns]
    rays = world_rays(above.camera, np.column_stack([columns + 0.5, rows + 0.5]))
    lowest = (above.camera.position + rays * z[:, None])[:, 1].min()
    layer = fused(torch.ones(64, 64, 64), above)
    heights = CELLS[..., 1].numpy()[layer]
    assert heights.min() == pytest.approx(lowest, abs=1.5 / RESOLUTION)


def test_islands_that_nothing_visible_is_connected_with_go(seen):
    pebble = (0.05, (0.0, 0.0, -0.45))
    found = fused(torch.minimum(ball(), ball(*pebble)), seen)
    assert not (found & inside_ball(*pebble)).any()
    assert iou(found, inside_ball()) > 0.95


def test_hidden_cells_are_left_alone(seen):
    labels = seen.label_map.copy()
    depth = seen.depth.copy()
    labels[:, :128] = 2
    depth[:, :128] = 1.0  # a wall in front of the left half
    picture = letterbox(seen.photo, labels, SIZE)
    hidden = dataclasses.replace(seen, picture=picture, depth=depth, label_map=labels)
    found = fused(ball(0.42), hidden)
    left = CELLS[..., 0].numpy() < -0.06
    generated = F.interpolate(ball(0.42)[None, None], (RESOLUTION,) * 3, mode="trilinear")[0, 0]
    np.testing.assert_array_equal(found & left, (generated < 0).numpy() & left)
    assert found[~left].sum() < inside_ball(0.42)[~left].sum()


def test_a_pole_of_one_pixel_is_whole(seen):
    """However thin it is in the mask, the surface that the photo shows is there."""
    labels = np.zeros_like(seen.label_map)
    labels[60:200, 128] = 1
    picture = letterbox(seen.photo, labels, SIZE)
    depth = np.where(picture.labels > 0, 2.0, 1000.0).astype(np.float32)
    pole = dataclasses.replace(seen, picture=picture, depth=depth, label_map=labels)
    found = fused(torch.ones(64, 64, 64), pole, similarity(0.8, None, np.zeros(3)))
    height = np.flatnonzero(found.any((0, 2)))
    assert len(height) == np.ptp(height) + 1 > 0.6 * RESOLUTION


def test_a_pole_that_seems_to_stand_behind_a_wall_all_around_it_is_whole(seen):
    labels = np.full_like(seen.label_map, 2)
    labels[60:200, 128] = 1
    picture = letterbox(seen.photo, labels, SIZE)
    depth = np.where(picture.labels == 1, 2.0, 1.8).astype(np.float32)
    pole = dataclasses.replace(seen, picture=picture, depth=depth, label_map=labels)
    found = fused(torch.ones(64, 64, 64), pole, similarity(0.8, None, np.zeros(3)))
    height = np.flatnonzero(found.any((0, 2)))
    assert len(height) == np.ptp(height) + 1 > 0.6 * RESOLUTION


def test_asking_near_borders_only_is_as_good_as_asking_everywhere(seen):
    cube = similarity(0.9, None, np.array([0.05, -0.03, 0.1]))
    volume = ball(0.35, (0.1, 0.0, 0.1))
    window = closeup(seen, 1, fuse.PIXELS, np.array([[0.0, 0.0], [SIZE, SIZE]]))
    inwards = window.inwards()
    thin = thin_parts(window, inwards, 0.9)
    witness = Witness(window, cube, inwards, thin, np.zeros(inwards.shape, bool))
    cells = witness.see(CELLS.reshape(-1, 3).double().numpy())
    generated = F.interpolate(volume[None, None], (RESOLUTION,) * 3, mode="trilinear")
    carved = np.maximum.reduce([generated.numpy().reshape(-1), cells.hull, cells.front])
    everywhere = np.minimum(carved, np.maximum(cells.shell, cells.hull)) < 0
    near_borders = fuse._held_to_photo(generated[0, 0], witness)[0] < 0
    assert iou(everywhere.reshape((RESOLUTION,) * 3), near_borders) > 0.99


def test_the_steps_of_a_slanted_poles_mask_are_not_its_own(seen):
    """The width of each row of its outline."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    left = 120 + rows / 16
    labels = ((columns >= left) & (columns < left + 6) & (rows > 50) & (rows < 200)).astype(int)
    picture = letterbox(seen.photo, labels, SIZE)
    depth = np.where(picture.labels > 0, 2.0, 1000.0).astype(np.float32)
    pole = dataclasses.replace(seen, picture=picture, depth=depth, label_map=labels)
    witness = fuse._witness(pole, 1, similarity(0.8, None, np.zeros(3)))
    middle = slice(len(witness.inwards) // 4, -len(witness.inwards) // 4)
    inwards = witness.inwards[middle]
    centre = (inwards.clip(0) * np.arange(inwards.shape[1])).sum(1) / inwards.clip(0).sum(1)
    line = np.polyval(np.polyfit(np.arange(len(centre)), centre, 1), np.arange(len(centre)))
    stepped = witness.window.inwards()[middle].clip(0)
    before = (stepped * np.arange(inwards.shape[1])).sum(1) / stepped.sum(1)
    assert np.abs(centre - line).max() < 0.5 * np.abs(before - line).max()


def test_between_two_surfaces_of_an_object_there_is_nothing(seen):
    """The picture's depth jumps by half a unit at the middle column."""
    columns = np.mgrid[:SIZE, :SIZE][1]
    measured = np.where(columns < SIZE // 2, 1.8, 2.3).astype(np.float32)
    both = dataclasses.replace(seen, given_depth=measured, label_map=np.ones_like(columns))
    witness = fuse._witness(both, 1, np.eye(4))
    across = np.linspace(-0.005, 0.005, 201)
    gap = witness.see(np.stack([across, 0 * across, 0 * across], axis=1)).gap * TRUNCATION
    assert np.abs(np.abs(gap - 0.05) - 0.25).max() < fuse.JUMP


@pytest.fixture(scope="module")
def known(seen):
    """A perceived ball that is known to be one."""
    heights = np.linspace(-RADIUS, RADIUS, 65) / 2  # of a ball two units away
    radii = np.sqrt((RADIUS / 2) ** 2 - heights**2)
    ball_of_revolution = TurnedBody(np.array([0.0, -1.0]), heights, radii, np.eye(3))
    placed = PlacedShape.at(ball_of_revolution, seen.camera.position, 2.0)
    return dataclasses.replace(seen, shapes={1: placed})


def drawn(seen, labels, depth):
    """The same with another mask, and a depth where that has pixels of its own."""
    picture = letterbox(seen.photo, labels.astype(np.int32), SIZE)
    own = (picture.labels > 0) & (seen.picture.labels == 0)
    return dataclasses.replace(
        seen,
        picture=picture,
        depth=np.where(own, np.float32(depth), seen.depth),
        label_map=labels.astype(np.int32),
    )


def test_slivers_beside_a_known_shape_are_errors_of_its_outline(known):
    """However deep a depth map says that they are."""
    ragged = ndimage.binary_dilation(known.label_map > 0)
    ragged[:, SIZE // 2 :] = known.label_map[:, SIZE // 2 :] > 0
    found = fused(torch.ones(64, 64, 64), drawn(known, ragged, 2.2))
    assert iou(found, inside_ball()) > 0.97
    assert not (found & ~inside_ball(1.06 * RADIUS)).any()


def test_what_stands_out_of_a_known_shape_stays(known):
    top = np.flatnonzero(known.label_map.any(1)).min()
    with_pole = known.label_map > 0
    with_pole[top - 40 : top, SIZE // 2 - 2 : SIZE // 2 + 2] = True
    found = fused(torch.ones(64, 64, 64), drawn(known, with_pole, 2.0))
    above = found & (CELLS[..., 1] > 1.05 * RADIUS).numpy()
    assert np.flatnonzero(above.any((0, 2))).size > 0.1 * RESOLUTION
    assert ndimage.label(found)[1] == 1


def test_a_body_of_revolution_takes_the_place_of_what_was_generated(known):
    found = fused_field(torch.ones(64, 64, 64), known, 1, np.eye(4))
    assert iou(found.field < 0, inside_ball()) > 0.95
    (mirror,) = found.mirrors
    behind = mirror.reflect(np.array([[0.0, 0.1, 0.25]]))
    assert behind[0] == pytest.approx([0.0, 0.1, -0.25], abs=0.01)
