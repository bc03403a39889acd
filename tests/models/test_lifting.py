"""The lifted grid: what each channel says, against boxes and views whose answers are known."""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import LIFT_CHANNELS, cell_centres, lift_view
from maquette.models.lifting import (
    BOX,
    CHANNELS,
    COARSE,
    HAS_COARSE,
    IS_SCENE,
    box_field,
    lifted_grid,
)
from tests.tiny import GENERATOR

BOX_OF = {
    1: np.array([[-0.3, -0.2, -0.1], [0.1, 0.2, 0.4]]),
    2: np.array([[0.2, 0.2, 0.2], [0.4, 0.3, 0.5]]),
}


def test_box_field_is_the_distance_to_the_box_in_cube_sides():
    cube = similarity(0.5, None, np.array([0.1, 0.0, 0.2]))
    field = box_field(BOX_OF[1], torch.from_numpy(cube), 8)
    points = cell_centres(8).numpy() * 0.5 + cube[:3, 3]
    low, high = BOX_OF[1]
    outside = np.linalg.norm(points - np.clip(points, low, high), axis=-1)
    to_faces = np.minimum(points - low, high - points).min(-1)
    np.testing.assert_allclose(field, np.where(outside > 0, outside, -to_faces) / 0.5, atol=1e-6)


def test_scene_branch_sees_all_boxes_and_instances_their_own():
    from tests.geometry.test_volumes import wall_view

    view = wall_view()
    one, two, scene = (
        lifted_grid(view, BOX_OF, label, np.eye(4), None, GENERATOR) for label in (1, 2, None)
    )
    assert one.shape == (CHANNELS, 16, 16, 16)
    torch.testing.assert_close(scene[BOX], torch.minimum(one[BOX], two[BOX]))
    assert scene[IS_SCENE].unique().tolist() == [1.0] and one[IS_SCENE].unique().tolist() == [0.0]


def test_a_coarse_volume_is_said_to_be_there():
    from tests.geometry.test_volumes import wall_view

    given, none = (
        lifted_grid(wall_view(), BOX_OF, 1, np.eye(4), coarse, GENERATOR)
        for coarse in (torch.full((16,) * 3, 0.25), None)
    )
    assert [float(channel.unique()) for channel in given[COARSE:]] == [0.25, 1.0, 0.0]
    assert [float(channel.unique()) for channel in none[COARSE:]] == [
        0.0,
        0.0,
        0.0,
    ] and torch.equal(given[:COARSE], none[:COARSE])


def test_without_a_view_only_the_coarse_volume_is_told():
    coarse = torch.rand(16, 16, 16)
    grid = lifted_grid(None, BOX_OF, 1, np.eye(4), coarse, GENERATOR)
    assert (
        grid[:COARSE].abs().max() == 0
        and torch.equal(grid[COARSE], coarse)
        and grid[HAS_COARSE].min() == 1
    )


def halves(other_depth):
    """A wall whose left half is object 1, its right half object 2 at another depth, with background
    above both.
    """
    from tests.geometry.test_volumes import SIZE, wall_view

    labels = torch.ones(SIZE, SIZE, dtype=torch.int64)
    labels[:, SIZE // 2 :] = 2
    labels[: SIZE // 4] = 0
    view = wall_view(labels=labels)
    return dataclasses.replace(view, depth=torch.where(labels == 2, other_depth, view.depth))


def seen_by(sees, label, other_depth):
    config = dataclasses.replace(GENERATOR, instances_see=sees)
    return lifted_grid(halves(other_depth), BOX_OF, label, np.eye(4), None, config)


@pytest.mark.parametrize("label", [1, 2, None])
def test_who_sees_all_is_told_all_that_the_picture_says(label):
    view = halves(1.8)
    said = lift_view(view, torch.eye(4), label, 16)
    assert torch.equal(seen_by("all", label, 1.8)[:LIFT_CHANNELS], said)
    if label is None:  # so is the scene branch, whatever its instances see
        assert torch.equal(seen_by("own", None, 1.8), seen_by("all", None, 1.8))


def test_who_sees_its_own_surface_knows_of_others_only_that_they_may_hide_it():
    own, far = (seen_by("own", 1, depth) for depth in (1.8, 2.2))
    assert torch.equal(own, far)  # where another's surface is does not matter
    everything = seen_by("all", 1, 1.8)
    assert not torch.equal(everything, seen_by("all", 1, 2.2))
    label_two = lift_view(halves(1.8), torch.eye(4), 2, 16)[2] == 1
    of_mine, empty, hidden = (own[channel, label_two] for channel in (2, 3, 4))
    assert hidden.all() and not of_mine.any() and not empty.any()
    assert everything[3, label_two].any()  # which sees free space before the other
    assert torch.equal(own[:, ~label_two], everything[:, ~label_two])
