"""Volumes: sampling against SciPy, and what lifting must say about a known scene."""

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from maquette.geometry.cameras import intrinsics_from_fov, view_centric_rotation
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import (
    LIFT_CHANNELS,
    DepthView,
    cell_centres,
    lift_view,
    sample_volume,
    turn_volume,
)

SIZE = 64


def test_sampling_agrees_with_scipy_in_xyz_order():
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(2, 8, 8, 8)).astype(np.float32)
    points = rng.uniform(-0.43, 0.43, (50, 3)).astype(np.float32)
    expected = np.stack([map_coordinates(v, ((points + 0.5) * 8 - 0.5).T, order=1) for v in volume])
    np.testing.assert_allclose(
        sample_volume(torch.from_numpy(volume), torch.from_numpy(points)), expected, atol=1e-5
    )


def test_sampling_at_cell_centres_returns_the_cells():
    volume = torch.randn(1, 6, 6, 6)
    torch.testing.assert_close(sample_volume(volume, cell_centres(6)), volume, atol=1e-5, rtol=1e-5)


def wall_view(depth=2.0, labels=None):
    """A camera two units in front of the cube's centre, looking at a wall through the centre that
    fills the picture.
    """
    pose = similarity(1.0, view_centric_rotation(0.0), np.array([0.0, 0.0, 2.0]))
    labels = torch.ones(SIZE, SIZE, dtype=torch.int64) if labels is None else labels
    intrinsics = torch.from_numpy(intrinsics_from_fov(0.8, SIZE, SIZE))
    camera_from_scene = torch.from_numpy(np.linalg.inv(pose))
    return DepthView(
        torch.full((SIZE, SIZE), depth),
        labels,
        torch.zeros(3, SIZE, SIZE),
        intrinsics,
        camera_from_scene,
    )


def test_lifted_distance_is_signed_along_the_ray():
    lifted = lift_view(wall_view(), torch.eye(4), 1, 16)
    assert lifted.shape == (LIFT_CHANNELS, 16, 16, 16)
    z = cell_centres(16)[..., 2]
    inside = lifted[5] == 0
    torch.testing.assert_close(
        lifted[0][inside], (z / 0.1).clamp(-1, 1)[inside], atol=1e-4, rtol=0
    )  # the camera is on the +Z side
    assert bool((lifted[3][inside & (z > 0.1)] == 1).all()) and bool((lifted[3][z < 0] == 0).all())


def test_background_is_seen_to_be_empty_and_others_may_hide():
    labels = torch.ones(SIZE, SIZE, dtype=torch.int64)
    labels[:, : SIZE // 2] = 2
    labels[: SIZE // 2] = 0
    lifted = lift_view(wall_view(labels=labels), torch.eye(4), 1, 16)
    centres = cell_centres(16)
    upper = centres[..., 1] > 0.1
    lower_left = (centres[..., 1] < -0.1) & (centres[..., 0] < -0.1)
    assert bool((lifted[3][upper] == 1).all()) and bool((lifted[2][upper] == 0).all())
    behind = lower_left & (centres[..., 2] < -0.1)
    assert bool((lifted[4][behind] == 1).all()) and bool((lifted[3][behind] == 0).all())
    assert bool((lifted[3][lower_left & (centres[..., 2] > 0.1)] == 1).all())


def test_all_objects_together_are_the_union():
    labels = torch.randint(0, 3, (SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    union = lift_view(wall_view(labels=labels), torch.eye(4), None, 16)
    single = [lift_view(wall_view(labels=labels), torch.eye(4), k, 16) for k in (1, 2)]
    assert torch.equal(union[2], single[0][2] + single[1][2])


def test_a_smaller_cube_measures_in_its_own_sides():
    cube = torch.from_numpy(similarity(0.25, None, np.array([0.1, 0.0, 0.05])))
    lifted = lift_view(wall_view(), cube, 1, 16)
    z = cell_centres(16)[..., 2] * 0.25 + 0.05
    torch.testing.assert_close(lifted[0], (z / 0.25 / 0.1).clamp(-1, 1), atol=1e-3, rtol=0)


def test_turning_a_volume_turns_its_content_and_what_comes_in_is_empty():
    volume = torch.rand(2, 12, 12, 12)
    torch.testing.assert_close(turn_volume(volume, 0.0), volume, atol=1e-5, rtol=0)
    quarter = turn_volume(volume, np.pi / 2)  # x to -z, z to x: rotation_y
    torch.testing.assert_close(quarter, volume.flip(1).transpose(1, 3), atol=1e-5, rtol=0)
    wide = turn_volume(-torch.ones(1, 8, 8, 8), np.pi / 4, growth=2.0)
    assert (
        wide[0, 0, 0, 0] == 1.0 and wide[0, 4, 4, 4] == -0.5
    )  # outside the old cube; a distance in sides twice as long
