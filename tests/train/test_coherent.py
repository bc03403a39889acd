"""Training of coherent scenes: what a sample says is consistent, losses fall, each ablation is a
switch.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.store import load_model, save_model
from maquette.geometry.part_gaussians import yaw_rotations
from maquette.models.generator import Generator
from maquette.models.part_shapes import CANONICAL_SIZE, PartShapes
from maquette.models.pose_diffusion import Pose
from maquette.options.training import CoherentOptions, LoopConfig, RunOptions
from maquette.train.coherent import sight_of
from maquette.train.loop import Run
from maquette.train.runs import build_task, data_record, network_configs
from tests.tiny import SHAPES, ball_vae
from tests.train.worlds import Few


@pytest.fixture(scope="module")
def options(tmp_path_factory, library):
    folder = tmp_path_factory.mktemp("coherent")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = ball_vae()
        vae.latent_std.fill_(1.0)
        models = {
            "generator": Generator(network_configs("tiny")[2]),
            "vae": vae,
            "shapes": PartShapes(SHAPES),
        }
        files = {
            name: str(save_model(folder / f"{name}.safetensors", model))
            for name, model in models.items()
        }
    return {"library": library, "preset": "tiny", **files}


@pytest.fixture(scope="module")
def task(options):
    return build_task(RunOptions("coherent", **options))


@pytest.fixture(scope="module")
def batch(task):
    return task.collate([task.dataset[i] for i in range(4)])


def test_the_seen_surface_lies_in_the_box_of_the_pose(batch):
    """Depth points, moved into the object's own axes, stay within its sides: depth, camera, centre,
    size and turn agree.
    """
    local = torch.einsum(
        "bij,bni->bnj", yaw_rotations(batch["turn"]), batch["seen"] - batch["centre"][:, None]
    )
    beyond = local.abs().amax(1) / (batch["size"] / 2)
    assert (beyond < 1.05).all() and (beyond.amax(-1) > 0.5).float().mean() > 0.8


def test_poses_of_samples_round_trip(task, batch):
    sight = sight_of(batch)
    truth = task.truth(task.model, batch, task.codes, sight)
    again = Pose.of(truth.numbers.pose[:, 0], sight)
    torch.testing.assert_close(again.centre, truth.pose.centre, atol=1e-4, rtol=1e-4)
    placed = truth.pose.placed(truth.gaussians)
    scale = batch["size"].amax(-1) / CANONICAL_SIZE
    torch.testing.assert_close(placed.scales, truth.gaussians.scales * scale[:, None, None])


def test_without_yaw_the_shapes_are_turned_instead(task, batch, options):
    straight = build_task(RunOptions("coherent", **options, coherent=CoherentOptions(yaw=False)))
    sight = sight_of(batch)
    turned, still = (t.truth(t.model, batch, t.codes, sight) for t in (task, straight))
    assert turned.pose.yaw.any()
    assert not still.pose.yaw.any()
    one, other = (t.pose.placed(t.gaussians).mean for t in (turned, still))
    torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


def test_a_run_learns_saves_and_examines(options, tmp_path):
    torch.manual_seed(0)
    chosen = RunOptions("coherent", **options)
    task = build_task(chosen)
    task.dataset = Few(task.dataset)
    run = Run(
        task,
        tmp_path,
        LoopConfig(steps=12, batch=2, learning_rate=6e-3, warmup=2, workers=0, log_every=1),
    )
    run.train()
    for name in ("pose", "gaussians", "intrinsic"):
        values = [row[name] for row in run.rows if name in row]
        assert np.mean(values[-5:]) < np.mean(values[:2]), name
    assert load_model(tmp_path / "weights.safetensors", "coherent").metadata["step"] == 12
    scores = {
        name.removeprefix("held_out_"): value
        for name, value in run.rows[-1].items()
        if name.startswith("held_out_")
    }
    assert set(scores) == {"iou3d", "ap3d_15", "centre", "align"} and 0 <= scores["iou3d"] <= 1
    record = data_record(chosen)
    assert (
        record["coherent"]["joint"] is True
        and record["needs"]["shapes"] == load_model(options["shapes"]).sha256
    )


@pytest.mark.parametrize(
    "switch", [{"diffusion": False}, {"intra_scene": False}, {"joint": False}, {"yaw": False}]
)
def test_ablations_are_switches(options, batch, switch):
    made = build_task(RunOptions("coherent", **options, coherent=CoherentOptions(**switch)))
    total, parts = made.loss(made.model, batch, torch.Generator().manual_seed(0))
    total.backward()
    assert torch.isfinite(total.detach()) and ("align" in parts) == switch.get("joint", True)
    for name, value in switch.items():
        assert name == "joint" or getattr(made.model.config, name) == value


def test_the_alignment_loss_teaches_poses_and_gaussians(task, batch):
    task.model.zero_grad()
    made = task.model.split(torch.zeros(len(batch["crops"]), task.model.count))
    pose = made.pose.requires_grad_()
    gaussians = made.gaussians.requires_grad_()
    loss = task._alignment(
        {"pose": pose, "gaussians": gaussians},
        sight_of(batch),
        batch["seen"],
        torch.ones(len(pose)),
        torch.Generator().manual_seed(0),
    )
    loss.backward()
    assert loss.item() > 0 and pose.grad.abs().sum() > 0 and gaussians.grad[..., :3].abs().sum() > 0


def test_codes_are_those_of_the_asset_and_are_kept(task):
    codes = task.codes
    first = codes([2, 0, 2], torch.device("cpu"))
    again = codes([0, 2], torch.device("cpu"))
    torch.testing.assert_close(first[0].mean[0], first[0].mean[2])
    torch.testing.assert_close(first[1][1], again[1][0])
    assert set(codes._known) >= {0, 2}
