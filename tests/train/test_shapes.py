"""Training of shapes: the two poses of a sample are one object, losses fall, and the normalisation
is measured when it is saved.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.store import load_model
from maquette.data.library import AssetLibrary
from maquette.geometry.volumes import sample_volume
from maquette.models.part_shapes import CANONICAL_SIZE, PartShapes
from maquette.options.training import LoopConfig
from maquette.train.loop import Run
from maquette.train.shapes import ShapeSamples, ShapeTask, canonical_volume, points_inside
from tests.tiny import SHAPES, ball_vae
from tests.train.worlds import Few


@pytest.fixture(scope="module")
def opened(library):
    return AssetLibrary.open(library)


def test_the_second_pose_is_the_first_one_moved(opened):
    for index in range(4):
        sample = ShapeSamples(opened, 48)[index]
        first, second = sample["volumes"].float()
        there = sample["scale"] * sample["inside"] @ sample["rotation"].T + sample["translation"]
        kept = (there.abs() < 0.45).all(-1) & (sample_volume(first[:1], sample["inside"])[0] < -0.3)
        assert (
            kept.sum() > 20
            and (sample_volume(second[:1], there[kept])[0] < 0).float().mean() > 0.97
        )


def test_points_inside_are_inside_and_thin_things_have_some():
    rng = np.random.default_rng(0)
    grid = np.ones((16, 16, 16), np.float32)
    grid[4:8, 5:9, 6:10] = -1
    points = points_inside(grid, 500, rng)
    assert (points >= np.array([4, 5, 6]) / 16 - 0.5).all() and (
        points <= np.array([8, 9, 10]) / 16 - 0.5
    ).all()
    assert np.isfinite(points_inside(np.full((16, 16, 16), 0.5, np.float32), 10, rng)).all()


def test_the_canonical_volume_is_centred_and_of_the_canonical_size(opened):
    inside = torch.nonzero(canonical_volume(opened, 0, 64)[0] < 0)
    low = inside.amin(0) / 64 - 0.5
    high = (inside.amax(0) + 1) / 64 - 0.5
    torch.testing.assert_close(low + high, torch.zeros(3), atol=0.05, rtol=0)
    assert float((high - low).max()) == pytest.approx(CANONICAL_SIZE, abs=0.06)


def test_losses_fall_and_statistics_are_saved(opened, tmp_path):
    torch.manual_seed(0)
    vae = ball_vae()
    vae.latent_std.fill_(1.0)
    task = ShapeTask(PartShapes(SHAPES), vae, opened, opened)
    task.dataset = Few(task.dataset, 10)
    run = Run(
        task,
        tmp_path,
        LoopConfig(steps=25, batch=2, learning_rate=4e-3, warmup=3, workers=0, log_every=1),
    )
    run.train()
    for name in ("here", "moved", "inside"):
        values = [row[name] for row in run.rows if name in row]
        assert np.mean(values[-5:]) < np.mean(values[:3]), name
    saved = load_model(tmp_path / "weights.safetensors", "shapes").model
    with torch.no_grad():
        latent = vae.encode(torch.stack([canonical_volume(opened, k, 32) for k in range(3)]))
        normalised = saved.normalised(*saved.encode(latent))
    assert 0.2 < float(normalised[..., 16:].std()) < 3 and {
        "held_out_iou",
        "held_out_iou_moved",
        "held_out_iou_vae",
    } <= set(run.rows[-1])
