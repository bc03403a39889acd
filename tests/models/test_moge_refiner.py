"""Laws of MoGe-3's volume; its sums are compared in
``tests/checkpoints/published/test_moge.py``.
"""

import pytest
import torch

from maquette.models.moge import view_plane
from maquette.models.moge_refiner import BINS, Refiner, RefinerConfig, voxels_of


@pytest.fixture
def refiner():
    torch.manual_seed(0)
    return Refiner(RefinerConfig(5, (4, 6, 8), (1, 1, 0), 1, (2, 1)))


def _scene(seed, height=12, width=16):
    generator = torch.Generator().manual_seed(seed)
    log_depth = 1 + 0.1 * torch.rand(1, height, width, generator=generator)
    features = torch.rand(1, 5, height // 4, width // 4, generator=generator)
    return log_depth, view_plane((height, width), width / height), features


def test_every_pixel_has_a_voxel_and_the_nearest_is_in_the_first_bin():
    log_depth = torch.tensor([[[0.0, 1.0], [2.0, 0.5]], [[3.0, 3.0], [3.5, 4.0]]])
    voxels = voxels_of(log_depth)
    assert voxels.coords[:, 3].tolist() == [BINS * k // 2 for k in (0, 2, 4, 1, 0, 0, 1, 2)]
    assert voxels.coords[5].tolist() == [1, 0, 1, 0] and voxels.resolution == 2 * BINS + 1


def test_pictures_of_a_batch_do_not_see_each_other(refiner):
    (one, plane, told), (other, _, told_too) = _scene(0), _scene(1)
    together = refiner(torch.cat([one, other]), plane, torch.cat([told, told_too]))
    alone = torch.cat([refiner(one, plane, told), refiner(other, plane, told_too)])
    torch.testing.assert_close(together, alone)


def test_whole_bins_farther_away_is_the_same_volume(refiner):
    log_depth, plane, told = _scene(0)
    with torch.no_grad():
        refiner.input_proj.weight[:, 2] = 0  # which is told the depth itself
    near = refiner(log_depth, plane, told)
    torch.testing.assert_close(refiner(log_depth + 64 / BINS, plane, told), near)
    assert not torch.allclose(refiner(2 * log_depth, plane, told), near, atol=1e-4)
