"""Training with several processes, as torchrun starts them: they learn as one, and end together."""

import multiprocessing
import os
import socket
import sys
import textwrap

import pytest
import torch

from maquette.data.shards import ShardConfig, build_shards
from maquette.data.views import ViewConfig
from tests.copies import Copies, offered
from tests.data.toys import Toys

pytestmark = [
    pytest.mark.skipif(not offered(), reason="processes cannot be copied here"),
    pytest.mark.skipif(
        not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
        reason="this torch was built without gloo",
    ),
]
PROGRAM = textwrap.dedent("""
    import os, sys, time
    import torch
    from torch import nn
    from maquette.train.loop import LoopConfig, Run

    from maquette.train.task import Task, stacked

    RANK = int(os.environ.get("RANK", 0))

    if os.environ["STREAM"]:
        import numpy as np
        from maquette.train.stored import StoredViews
        VIEWS = StoredViews.open(os.environ["STREAM"])

    class Lines(torch.utils.data.Dataset):
        def __getitem__(self, index):
            if os.environ["STREAM"]:
                view = VIEWS(np.random.default_rng(index))
                return {"x": torch.from_numpy(view.image[:20, 0, 0] / 255).float()}
            return {"x": torch.randn(20, generator=torch.Generator().manual_seed(index))}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(20, 24), nn.Tanh(), nn.Linear(24, 1))
            self.sometimes = nn.Linear(20, 1)
            self.never = nn.Linear(20, 1)

        def forward(self, x):
            guess = self.body(x)
            used = os.environ["HEAD"] == "all" or os.environ["HEAD"] == str(RANK)
            return guess + self.sometimes(x) if used else guess

    class LineTask(Task):
        collate = staticmethod(stacked)

        def __init__(self):
            torch.manual_seed(RANK)  # others begin with other weights
            self.model, self.dataset = Net(), Lines()

        def loss(self, model, batch, generator):
            time.sleep(0.02 * RANK * int(os.environ["SLOW"]))
            value = (model(batch["x"]) - batch["x"].sum(1, keepdim=True)).pow(2).mean()
            return value, {}

        def examine(self, model):
            time.sleep(0.2)
            return {}, None

    import maquette.train.loop as loop
    loop.save_model = lambda *args, **keywords: None  # a Linear has no configuration to save
    settings = dict(learning_rate=1e-2, warmup=2, workers=0, log_every=1, precision="fp32")
    run = Run(LineTask(), sys.argv[1], LoopConfig(**(settings | eval(sys.argv[2]))))
    run.train()
    assert not torch.distributed.is_initialized()
    torch.save({"step": run.progress.step, **run.model.state_dict()}, sys.argv[3] + str(RANK))
""")


def run(environment, arguments):
    """The program in a process of its own."""
    os.environ.update(environment)
    sys.argv[1:] = arguments
    multiprocessing.set_start_method(None, force=True)  # of processes that this one starts
    torch.set_num_threads(1)
    exec(PROGRAM, {"__name__": "program"})


def train(folder, processes, slow=False, head="all", stream="", **config):
    """The end of each process: its step and weights."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = []
    for rank in range(processes):
        among = {**address, "RANK": f"{rank}", "WORLD_SIZE": f"{processes}"}
        told = {"SLOW": str(int(slow)), "HEAD": str(head), "STREAM": stream}
        arguments = [str(folder / "run"), repr(config), str(folder / "end")]
        environment = told | (among if processes > 1 else {})
        started.append(Copies().Process(target=run, args=(environment, arguments)))
        started[-1].start()
    for process in started:
        process.join(timeout=120)
    assert [process.exitcode for process in started] == [0] * processes
    return [torch.load(folder / f"end{rank}") for rank in range(processes)]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_learn_what_one_learns_from_twice_the_batch(tmp_path, optimizer):
    one = train(tmp_path / "one", 1, steps=8, batch=6, optimizer=optimizer)[0]
    two = train(tmp_path / "two", 2, steps=8, batch=3, optimizer=optimizer)
    for end in two:
        assert end.keys() == one.keys() and end["step"] == 8
        assert all(
            torch.allclose(end[name], one[name], atol=1e-5) for name in one if name != "step"
        )


def test_two_processes_learn_the_same_from_a_stream(tmp_path):
    """Each reads its half of the global batch from shards, in processes of its own."""
    shards = tmp_path / "shards"
    views = ViewConfig(size=32)
    build_shards(Toys.many(), shards, ShardConfig(scenes=3, views=2, per_shard=2, view=views))
    url = shards.as_uri()
    one = train(tmp_path / "one", 1, stream=url, steps=4, batch=4, workers=1)[0]
    for end in train(tmp_path / "two", 2, stream=url, steps=4, batch=2, workers=1):
        assert end["step"] == 4
        weights = [name for name in one if name != "step"]
        assert all(torch.allclose(end[name], one[name], atol=1e-5) for name in weights)


def test_a_gradient_that_one_process_lacks_counts_as_zero(tmp_path):
    """Only the second process uses a part of the network; both learn its half of the mean, so both
    end with equal weights, and what neither uses stays as it was.
    """
    first, second = train(tmp_path / "run", 2, head=1, batch=3, steps=4)
    assert all(torch.equal(first[name], second[name]) for name in first if name != "step")
    start = train(tmp_path / "start", 1, head=1, batch=3, steps=1, warmup=10**9)[0]
    moved = {
        name.split(".")[0]
        for name in start
        if name != "step" and not torch.allclose(first[name], start[name], atol=1e-4)
    }
    assert moved == {"body", "sometimes"}


@pytest.mark.parametrize("length", [{"minutes": 0.05}, {"steps": 10**6, "slice_minutes": 0.03}])
def test_processes_of_unequal_speed_keep_the_same_rate_and_end_together(tmp_path, length):
    first, second = train(tmp_path / "run", 2, slow=True, batch=3, **length)
    assert first["step"] == second["step"] > 0
    assert all(torch.equal(first[name], second[name]) for name in first if name != "step")
