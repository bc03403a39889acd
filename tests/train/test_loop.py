"""The loop: learns, resumes to the identical curve, never loses a run."""

import csv

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from maquette.checkpoints import store
from maquette.errors import CheckpointError, InputError
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.options.training import LoopConfig
from maquette.train.loop import BLOCKS, Run, compile_blocks
from maquette.train.task import Task, stacked
from tests.shapes import leave_unchecked

TINY = VolumeVAEConfig(
    resolution=8, patch=2, latent_channels=2, encoder_channels=(8, 8), decoder_channels=(8, 8)
)


class Balls(Dataset):
    """Signed distances of random balls."""

    def __len__(self):
        return 2**31

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        axis = (np.arange(8) + 0.5) / 8 - 0.5
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
        distance = np.linalg.norm(
            grid - rng.uniform(-0.2, 0.2, (3, 1, 1, 1)), axis=0
        ) - rng.uniform(0.1, 0.4)
        volume = np.concatenate([distance[None] * 4, np.zeros((3, 8, 8, 8))])
        return {"volume": torch.from_numpy(volume.astype(np.float32))}


class BallTask(Task):
    collate = staticmethod(stacked)

    def __init__(self):
        torch.manual_seed(0)
        self.model = VolumeVAE(TINY)
        self.dataset = Balls()
        self.finished = 0

    def loss(self, model, batch, generator):
        mean, _ = model.moments(batch["volume"])
        noise = 0.01 * torch.randn(mean.shape, generator=generator)
        loss = (model.decode_raw(mean + noise) - batch["volume"]).square().mean()
        return loss, {"square": loss.detach()}

    def examine(self, model):
        volume = self.collate([self.dataset[10_000 + i] for i in range(8)])["volume"]
        with torch.no_grad():
            return {
                "error": float(
                    (model.decode_raw(model.moments(volume)[0]) - volume).square().mean()
                )
            }, np.zeros((4, 4, 3), np.uint8)

    def finish(self, model: nn.Module):
        self.finished += 1


def config(**changes):
    # fp32: on processors with native bf16, oneDNN's bf16 gradients of convolutions over 4^3 cells
    # differ from call to call.
    defaults = {
        "precision": "fp32",
        "steps": 12,
        "batch": 4,
        "learning_rate": 3e-3,
        "warmup": 2,
        "workers": 0,
        "log_every": 1,
    }
    return LoopConfig(**{**defaults, **changes})


def losses(folder):
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def test_learning_beats_the_untrained_model_on_held_out_data(tmp_path):
    task = BallTask()
    before = task.examine(task.model)[0]["error"]
    Run(task, tmp_path, config(steps=60)).train()
    trained = store.load_model(tmp_path / "weights.safetensors", "volume-vae")
    assert task.examine(trained.model)[0]["error"] < 0.5 * before
    assert trained.metadata["step"] == 60 and task.finished
    assert {"loss.png", "log.csv", "checkpoint.pt"} <= {
        p.name for p in tmp_path.iterdir()
    } and list(tmp_path.glob("sample_*.png"))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_resumed_run_has_the_identical_loss_curve(tmp_path, optimizer):
    Run(BallTask(), tmp_path / "whole", config(optimizer=optimizer)).train()
    first = Run(BallTask(), tmp_path / "parts", config(optimizer=optimizer))

    class Stopped(Exception):
        pass

    def stop_at_seven(line):
        if line.startswith("step 7 "):
            raise Stopped

    with pytest.raises(Stopped):
        first.train(stop_at_seven)
    second = Run(BallTask(), tmp_path / "parts", config(optimizer=optimizer))
    second.resume()
    assert second.progress.step == 7
    second.train()
    assert (
        losses(tmp_path / "parts") == losses(tmp_path / "whole")
        and len(losses(tmp_path / "whole")) == 12
    )
    a, b = (
        store.load_model(tmp_path / run / "weights.safetensors").model.state_dict()
        for run in ("whole", "parts")
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_rate_warms_up_stays_and_ends_at_zero(tmp_path):
    run = Run(BallTask(), tmp_path, config(steps=100, warmup=10, decay=0.3))
    rates = []
    for step in range(101):
        run.progress.step = step
        rates.append(run.rate())
    assert rates[0] == pytest.approx(3e-4) and rates[9] == rates[50] == pytest.approx(3e-3)
    assert rates[85] == pytest.approx(1.5e-3) and rates[100] == 0


def test_resuming_nothing_or_something_else_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        Run(BallTask(), tmp_path, config()).resume()
    Run(BallTask(), tmp_path, config(steps=1)).train()
    other = BallTask()
    other.model = VolumeVAE(VolumeVAEConfig(**{**TINY.__dict__, "latent_channels": 3}))
    with pytest.raises(CheckpointError, match="another model"):
        Run(other, tmp_path, config()).resume()
    with pytest.raises(CheckpointError, match="optimizer"):
        Run(BallTask(), tmp_path, config(optimizer="muon")).resume()


def test_length_must_be_given_once():
    with pytest.raises(InputError):
        LoopConfig()
    with pytest.raises(InputError):
        LoopConfig(steps=1, minutes=1.0)
    with pytest.raises(InputError, match="one of muon, adamw"):
        LoopConfig(steps=1, optimizer="sgd")


@pytest.mark.parametrize("wrong", ["steps", "batch", "learning_rate", "minutes"])
@pytest.mark.parametrize("value", [0, -1])
def test_what_must_be_positive_is(wrong, value):
    length = {} if wrong == "minutes" else {"steps": 1}
    with pytest.raises(InputError, match=f"{wrong} must be .*, got {value}"):
        LoopConfig(**{**length, wrong: value})


def test_rows_hold_the_means_of_the_steps_since_the_last_one(tmp_path):
    one = Run(BallTask(), tmp_path / "one", config(steps=6))
    one.train()
    three = Run(BallTask(), tmp_path / "three", config(steps=6, log_every=3))
    three.train()
    names = ("loss", "square", "gradient_norm", "learning_rate")
    each, means = ([row for row in run.rows if "loss" in row] for run in (one, three))
    for part, row in zip((each[:3], each[3:]), means, strict=True):
        for name in names:
            assert row[name] == np.mean([numbers[name] for numbers in part])


def test_an_overflow_does_not_poison_the_weights(tmp_path):
    run = Run(BallTask(), tmp_path, config())
    batch = run.task.collate([run.task.dataset[i] for i in range(4)])
    run.step(batch)
    run.step({"volume": batch["volume"] * float("inf")})
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())
    assert all(parameter.isfinite().all() for parameter in run.average.parameters())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of the compiler's own looking round
def test_compiled_blocks_learn_what_the_others_learn(monkeypatch):
    """With a compiler that changes nothing: every block is traced, without a break, and once.
    Without the check of shapes, which only tests have and no compiler can trace.
    """
    leave_unchecked(monkeypatch)
    task = BallTask()
    batch = task.collate([task.dataset[i] for i in range(2)])
    loss, _ = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    blocks = [module for module in task.model.modules() if isinstance(module, BLOCKS)]
    compile_blocks(task.model, backend=keep, fullgraph=True)
    compiled, _ = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    compiled.backward()
    assert torch.equal(compiled, loss)
    assert 0 < len(graphs) <= len(blocks)
