"""Samples for the generator: what is shown and what is asked for lie in the same place."""

import pickle

import numpy as np
import pytest
import torch

from maquette.checkpoints.embedded import FILES, embedded_folder
from maquette.data.resample import placed_volume
from maquette.geometry.transforms import rotation_y, similarity
from maquette.train.generator import row_times
from maquette.train.sequences import (
    BACKGROUND_DEPTH,
    DepthEstimator,
    coarse_volume,
    collate_rows,
    disturb_depth,
    zoom_cube,
)


def test_zoom_cube_contains_its_box():
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.uniform(-0.4, 0.2, 3)
        box = np.stack([low, low + rng.uniform(0.02, 0.3, 3)])
        cube = zoom_cube(box, rng)
        corners = (box - cube[:3, 3]) / cube[0, 0]
        assert (np.abs(corners) <= 0.5 + 1e-9).all()


def test_depth_errors_are_small_and_leave_the_rest_alone_when_off():
    depth = np.full((64, 64), 2.0, np.float32)
    labels = np.zeros((64, 64), np.int32)
    labels[10:40, 10:40] = 1
    assert disturb_depth(depth, labels, np.random.default_rng(0), 0.0, True) is depth
    errors = [
        np.abs(
            np.log(disturb_depth(depth, labels, np.random.default_rng(i), 1.0, True) / depth)
        ).mean()
        for i in range(20)
    ]
    assert 0.002 < np.mean(errors) < 0.05


def test_an_image_encoder_moves_reliefs_and_no_object():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (96, 96, 3)).astype(np.uint8)
    drawn = np.zeros((96, 96), np.int32)
    drawn[20:50, 10:40] = 1
    drawn[40:80, 50:90] = 2
    depth = np.full((96, 96), BACKGROUND_DEPTH, np.float32)
    depth[drawn == 1] = 2.0
    depth[drawn == 2] = 3.0
    eye = DepthEstimator(embedded_folder() / FILES["image-encoder"])
    seen = eye.reliefs(image, drawn, depth)
    for label, away in ((1, 2.0), (2, 3.0)):
        own = seen[drawn == label]
        assert np.log(own).mean() == pytest.approx(np.log(away), abs=1e-4)
        assert np.ptp(own) > 0.01
    assert (seen[drawn == 0] == BACKGROUND_DEPTH).all()
    assert len(pickle.dumps(eye)) < 300


def test_collating_keeps_every_instance_with_its_scene():
    def sample(scene_of):
        empty = torch.zeros(len(scene_of), 1)
        return {
            "crops": empty,
            "lifted": empty,
            "target": empty,
            "scene_of": torch.tensor(scene_of),
        }

    batch = collate_rows([sample([-1, 0, 0, -1]), sample([-1, -1]), sample([-1, 0])])
    assert batch["scene_of"].tolist() == [-1, 0, 0, -1, -1, -1, -1, 6]


def test_instances_share_the_time_of_their_scene():
    t = row_times(torch.tensor([-1, 0, 0, -1, 3]), torch.Generator().manual_seed(0))
    assert t[1] == t[0] == t[2] and t[4] == t[3] and t[3] != t[0]


class Ball:
    """A field source with one asset: a red ball of radius 0.4 at the origin, longest side 0.8 of an
    asset unit.
    """

    def sdf(self, index):
        from maquette.data.fields import grid_points

        return (np.linalg.norm(grid_points(), axis=1) - 0.4).reshape(64, 64, 64).astype(np.float16)

    def rgb(self, index):
        return np.broadcast_to(np.array([255, 0, 0], np.uint8), (64, 64, 64, 3))


def test_placed_volume_is_the_analytic_distance():
    cube_from_asset = similarity(0.5, rotation_y(0.3), np.array([0.1, -0.05, 0.2]))
    volume = placed_volume(Ball(), [(0, cube_from_asset)], 32)
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = np.linalg.norm(grid - [0.1, -0.05, 0.2], axis=-1) - 0.2
    near = np.abs(distance) < 0.05
    assert np.abs(volume[0] - np.clip(distance * 16, -1, 1))[near].max() < 0.06
    assert np.abs(volume[1:, np.abs(distance) < 0.03].T - [1, -1, -1]).max() < 1e-5
    assert (volume[1:, np.abs(distance) > 0.08] == 0).all()


def test_union_of_two_is_the_minimum():
    a, b = (similarity(0.3, None, np.array([x, 0, 0])) for x in (-0.2, 0.2))
    both = placed_volume(Ball(), [(0, a), (0, b)], 24)[0]
    each = [placed_volume(Ball(), [(0, m)], 24)[0] for m in (a, b)]
    np.testing.assert_allclose(both, np.minimum(*each), atol=0.05)


@pytest.mark.parametrize("side", [1.0, 0.3, 0.1])
def test_coarse_volume_blurs_more_for_smaller_cubes_but_keeps_the_place(side):
    target = torch.from_numpy(placed_volume(Ball(), [(0, similarity(0.8))], 64))
    coarse = coarse_volume(target, 32, side, np.random.default_rng(0))
    assert coarse.shape == (32, 32, 32) and coarse.abs().max() <= 1
    assert coarse[16, 16, 16] < coarse[0, 0, 0]
