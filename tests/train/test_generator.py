"""Losses of the generator: who knows the answer has none, the guess is compared on its own grid,
and the overlap of insides is what it says.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.embedded import FILES
from maquette.flow.path import logit_normal_times
from maquette.options.training import RunOptions
from maquette.train.generator import (
    encode_targets,
    guess_loss,
    inside_iou,
    occupancy_iou,
    row_times,
)
from maquette.train.runs import build_task
from tests.tiny import ball_vae


@pytest.fixture(scope="module")
def task(library, tiny_weights):
    vae = str(tiny_weights / FILES["volume-vae"])
    torch.manual_seed(0)
    options = RunOptions("iscene", library, preset="tiny", vae=vae)
    return build_task(options)


@pytest.fixture(scope="module")
def batch(task):
    return task.collate([task.dataset[i] for i in range(2)])


def test_zoom_rows_have_times_of_their_own_and_scenes_share_one():
    scene_of = torch.tensor([-1, 0, 0, -1, -1, 4])
    drawn = logit_normal_times(6, torch.Generator().manual_seed(3))
    t = row_times(scene_of, torch.Generator().manual_seed(3))
    assert t.tolist() == drawn[[0, 0, 0, 3, 4, 4]].tolist()


def test_a_guess_is_compared_with_the_mean_of_the_cells_it_covers():
    rng = torch.Generator().manual_seed(0)
    guess = torch.rand(2, 4, 2, 2, 2, generator=rng) * 2 - 1
    target = torch.rand(2, 4, 4, 4, 4, generator=rng) * 2 - 1
    target[:, 0, :2] = 1.0  # half of it is far from any surface
    means = target.reshape(2, 4, 2, 2, 2, 2, 2, 2).mean((3, 5, 7)).numpy()
    losses = []
    for row, truth in zip(guess.numpy(), means, strict=True):
        error = np.abs(row - truth)
        near = np.abs(truth[0]) < 0.95
        count = near.sum() + 1
        shape = error[0].mean() + error[0][near].sum() / count
        losses.append(shape + 0.3 * error[1:, near].sum() / (3 * count))
    assert float(guess_loss(guess, target)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_insides_overlap_by_their_common_share():
    one = torch.zeros(3, 4, 4, 4, dtype=torch.bool)
    other = one.clone()
    one[0, :2] = True
    other[0, 1:3] = True  # one of three layers is common
    one[1] = other[1] = True
    assert inside_iou(one, other).tolist() == pytest.approx([1 / 3, 1, 0])


def test_decoded_latents_overlap_with_themselves_and_not_with_the_rest():
    vae = ball_vae()
    side = vae.config.latent_resolution
    latents = torch.zeros(5, vae.config.latent_channels, side, side, side)
    with torch.no_grad():
        inside = vae.decode(latents)[:, 0] < 0
        assert inside.any()
        assert (occupancy_iou(vae, latents, inside) == 1).all()
        assert not occupancy_iou(vae, latents, ~inside).any()


def test_latents_do_not_depend_on_what_is_encoded_beside_them():
    vae = ball_vae()
    volumes = torch.randn(9, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0)).half()
    together = encode_targets(vae, volumes)
    assert not together.requires_grad
    torch.testing.assert_close(together[8:], encode_targets(vae, volumes[8:]), atol=1e-5, rtol=1e-4)


def test_who_knows_the_latents_has_no_velocity_error(task, batch, monkeypatch):
    """x_t and t give the noise when the data are known: path, times and targets agree."""
    x0 = encode_targets(task.vae, batch["target"])

    def velocity(x_t, t, condition, scene_of):
        return (x_t - x0) / t.reshape(-1, 1, 1, 1, 1)

    monkeypatch.setattr(task.model, "forward", velocity)
    _, parts = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    assert float(parts["flow"]) < 1e-6
    assert parts["guess"] > 0
    assert not any(part.requires_grad for part in parts.values())


def test_the_loss_is_the_sum_of_both(task, batch):
    total, parts = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    expected = parts["flow"] + task.guess_weight * parts["guess"]
    assert total.item() == pytest.approx(expected.item())
    alone = parts["guess"]
    task.lift_only = True
    try:
        total, parts = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    finally:
        task.lift_only = False
    assert set(parts) == {"guess"}
    assert total.item() == pytest.approx(alone.item(), rel=1e-5)


def test_pictures_are_dropped_for_guidance(task, batch, monkeypatch):
    seen = []
    forward = task.model.forward

    def spy(x_t, t, condition, scene_of):
        seen.append(condition.context)
        return forward(x_t, t, condition, scene_of)

    monkeypatch.setattr(task.model, "forward", spy)
    for share in (1.0, 0.0):
        monkeypatch.setattr(task, "drop_context", share)
        task.loss(task.model, batch, torch.Generator().manual_seed(0))
    assert not seen[0].any()
    assert seen[1].flatten(1).any(1).all()
