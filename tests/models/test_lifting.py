"""The lifted grid: what each channel says, against boxes and views whose answers are known."""

import numpy as np
import torch

from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres
from maquette.models.lifting import (
    BOX,
    CHANNELS,
    COARSE,
    HAS_COARSE,
    IS_SCENE,
    box_field,
    lifted_grid,
)

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
        lifted_grid(view, BOX_OF, label, np.eye(4), None, 16) for label in (1, 2, None)
    )
    assert one.shape == (CHANNELS, 16, 16, 16)
    torch.testing.assert_close(scene[BOX], torch.minimum(one[BOX], two[BOX]))
    assert scene[IS_SCENE].unique().tolist() == [1.0] and one[IS_SCENE].unique().tolist() == [0.0]


def test_a_coarse_volume_is_said_to_be_there():
    from tests.geometry.test_volumes import wall_view

    given, none = (
        lifted_grid(wall_view(), BOX_OF, 1, np.eye(4), coarse, 16)
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
    grid = lifted_grid(None, BOX_OF, 1, np.eye(4), coarse, 16)
    assert (
        grid[:COARSE].abs().max() == 0
        and torch.equal(grid[COARSE], coarse)
        and grid[HAS_COARSE].min() == 1
    )
