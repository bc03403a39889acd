"""Samples and losses of the volume VAE: arrangements stay in the cube, crops are parts of it,
losses are those of their definition, and latents come out normalised.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.data.library import AssetLibrary
from maquette.geometry.transforms import scale_of
from maquette.models.volume_vae import VolumeVAE
from maquette.train.runs import network_configs
from maquette.train.volumes import SMALLER, VolumeSamples, VolumeTask, reconstruction_loss


@pytest.fixture(scope="module")
def opened(library):
    return AssetLibrary.open(library)


def test_one_large_object_or_several_smaller_ones(opened):
    samples = VolumeSamples(opened)
    arrangements = [samples.objects(np.random.default_rng(k)) for k in range(300)]
    alone = [objects for objects in arrangements if len(objects) == 1]
    assert 0.6 < len(alone) / len(arrangements) < 0.8
    assert max(map(len, arrangements)) == 5
    for objects in arrangements:
        for asset, cube_from_asset in objects:
            low, high = (0.55, 0.95) if len(objects) == 1 else SMALLER
            assert 0 <= asset < len(opened)
            assert low - 1e-6 <= scale_of(cube_from_asset) <= high + 1e-6
            assert np.abs(cube_from_asset[:3, 3]).max() <= 0.5


def test_samples_depend_on_seed_and_index_only(opened):
    one, again, other = (VolumeSamples(opened, 32, 16, seed) for seed in (0, 0, 1))
    assert torch.equal(one[3]["volume"], again[3]["volume"])
    assert not torch.equal(one[3]["volume"], one[4]["volume"])
    assert not torch.equal(one[3]["volume"], other[3]["volume"])


def test_a_crop_is_a_part_of_the_whole(opened):
    """Cell for cell: the crop is found at one of the places that it may have been cut from."""
    for index in range(4):
        crop = VolumeSamples(opened, 32, 16)[index]["volume"]
        whole = VolumeSamples(opened, 32, 32)[index]["volume"]
        corners = [(x, y, z) for x in (0, 8, 16) for y in (0, 8, 16) for z in (0, 8, 16)]
        apart = []
        for x, y, z in corners:
            part = whole[:, x : x + 16, y : y + 16, z : z + 16]
            apart.append(float((part[0] - crop[0]).abs().max()))
        assert min(apart) < 1e-4
        assert float((crop[0].abs() < 1).float().mean()) > 0.01


def test_the_loss_is_that_of_its_definition():
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 4, 4, 4, 4, generator=rng) * 2 - 1
    truth[:, 0] *= 1.5
    truth[:, 0] = truth[:, 0].clamp(-1, 1)
    decoded = torch.rand(2, 4, 4, 4, 4, generator=rng) * 2 - 1
    shape, colour = reconstruction_loss(decoded, truth)
    expected_shape = []
    expected_colour = []
    surface = 0.0
    for b, x, y, z in np.ndindex(2, 4, 4, 4):
        distance = float(truth[b, 0, x, y, z])
        weight = 5 if abs(distance) < 1 else 1
        expected_shape.append(weight * abs(float(decoded[b, 0, x, y, z]) - distance))
        near = 1 - abs(distance) if abs(distance) < 1 else 0.0
        surface += near
        off = (decoded[b, 1:, x, y, z] - truth[b, 1:, x, y, z]).abs().sum()
        expected_colour.append(near * float(off))
    assert float(shape) == pytest.approx(np.mean(expected_shape), rel=1e-5)
    assert float(colour) == pytest.approx(sum(expected_colour) / (3 * surface + 1), rel=1e-5)
    assert float(sum(reconstruction_loss(truth, truth))) == 0


def test_latents_are_normalised_and_examined(opened):
    torch.manual_seed(0)
    vae = VolumeVAE(network_configs("tiny")[0])
    task = VolumeTask(vae, opened, opened, crop=16)
    task.finish(vae)
    volumes = torch.stack(
        [task.dataset.volume(np.random.default_rng((0, i, 9))) for i in range(24)]
    )
    with torch.no_grad():
        latents = vae.encode(volumes).transpose(0, 1).flatten(1)
    torch.testing.assert_close(latents.mean(1), torch.zeros(len(latents)), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(1), torch.ones(len(latents)), atol=1e-2, rtol=0)
    scores, picture = task.examine(vae.eval())
    assert set(scores) == {"iou", "shape", "colour"}
    assert picture.shape == (4 * 32, 8 * 32, 3)
