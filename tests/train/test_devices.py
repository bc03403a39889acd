"""Every task trains and is examined on an accelerator, and hardly ever waits for it."""

import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.embedded import FILES
from maquette.options.training import LoopConfig, RunOptions
from maquette.train import text_to_image, volumes
from maquette.train.finetune import FinetuneTask
from maquette.train.loop import Run
from maquette.train.runs import base_of, build_task
from maquette.train.task import HeldOut
from tests.checkpoints.tiny_trellis import write_trellis
from tests.devices import install
from tests.train.test_finetune import with_encoder

# How often a step waits for the accelerator; numbers that only shrink.
WAITS = {
    "volume-vae": 0,
    "image-encoder": 1,  # how many labels there are
    "lift": 0,
    "completion": 0,
    "instance": 1,
    "iscene": 1,
    "midi": 0,
    "shapes": 0,
    "coherent": 0,
    "text-to-image": 0,
    "finetune": 0,
    "segmenter": 3,  # where next to click is found on the processor, answer by answer
}
FLOAT64 = {"cuda": True, "mps": False}
EARLIER = {"lift", "instance"}  # as completion trains and as iscene does: the same task, and slow
PLACES = [
    pytest.param(
        name,
        place,
        marks=()
        if place == "mps" and name not in EARLIER  # of the two the Mac is the stricter
        else pytest.mark.slow,
    )
    for name in WAITS
    for place in FLOAT64
]
# Bytes of what is sent to each process that prepares data: paths and settings, no network.
SENT = 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def trellis(folder):
    return with_encoder(write_trellis(folder / "trellis"))


@pytest.fixture
def options(request, library, trellis, tiny_weights):
    name = request.param
    if name == "finetune":
        return RunOptions("iscene", library, preset="tiny", base=str(trellis))
    files = {kind: str(tiny_weights / FILES[kind]) for kind in ("generator", "shapes")}
    started = {"init": files["generator"]}
    needs = {"coherent": files, "midi": started, "completion": started}
    vae = str(tiny_weights / FILES["volume-vae"])
    return RunOptions(name, library, preset="tiny", vae=vae, **needs.get(name, {}))


def started(
    options,
    folder,
    device,
    precision="fp32",
):
    """A run whose network and samples are as in every other one."""
    torch.manual_seed(0)
    task = build_task(options)
    config = LoopConfig(steps=2, batch=2, warmup=1, workers=0, precision=precision)
    return Run(task, folder, config, device, base=base_of(options))


def learnt(run, batch, mode=None):
    """Numbers of two steps, and how often the second one waited for the device of ``mode``."""
    run.model.train()
    run.step(batch)  # the first one may look things up
    before = mode.waits if mode else 0
    run.step(batch)
    waits = mode.waits - before if mode else 0
    return run.read(), waits


def examined(run):
    """Scores of a few samples, and the picture."""
    return run.task.examine(run.average.eval())


def share_held_out(one, other):
    """What one task is examined on, for the other too: it is made on the processor."""
    if isinstance(getattr(one, "examined", None), HeldOut):
        other.examined = one.examined


@pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")  # Tensor.norm on Macs
@pytest.mark.parametrize(("options", "place"), PLACES, indirect=["options"])
def test_tasks_learn_on_accelerators_what_they_learn_on_the_processor(
    options, place, request, tmp_path, monkeypatch
):
    monkeypatch.setattr(FinetuneTask, "examined", 1)
    monkeypatch.setattr(text_to_image, "PROMPTS", ("a red box",))
    monkeypatch.setattr(volumes, "EXAMINED", 2)
    name = request.node.callspec.params["options"]
    here = started(options, tmp_path / "cpu", "cpu")
    batch = here.task.collate([here.task.dataset[i] for i in range(2)])
    numbers, _ = learnt(here, batch)
    scores, picture = examined(here)
    with install(place, float64=FLOAT64[place]) as device:
        there = started(options, tmp_path / place, place)
        found, waits = learnt(there, batch, device)
        assert waits == WAITS[name], device.synchronisations
        assert found == pytest.approx(numbers, rel=1e-3, abs=1e-4)
        share_held_out(here.task, there.task)
        judged, sheet = examined(there)
        assert judged == pytest.approx(scores, rel=1e-2, abs=1e-3)
        assert picture is None or np.abs(sheet.astype(int) - picture).mean() < 1


@pytest.mark.parametrize("options", ["shapes"], indirect=True)
def test_a_recent_card_learns_in_bfloat16_what_the_processor_learns(options, tmp_path):
    here = started(options, tmp_path / "cpu", "cpu")
    batch = here.task.collate([here.task.dataset[i] for i in range(2)])
    numbers, _ = learnt(here, batch)
    with install("cuda") as device:
        there = started(options, tmp_path / "cuda", "cuda", precision="auto")
        assert there.bf16
        found, _ = learnt(there, batch, device)
    assert found["loss"] == pytest.approx(numbers["loss"], rel=0.05)
    assert found["loss"] != numbers["loss"]  # half the digits were really used


@pytest.mark.parametrize("options", list(WAITS), indirect=True)
def test_no_network_is_sent_to_those_who_prepare_data(options):
    task = build_task(options)
    assert len(pickle.dumps(task.collate)) < 200
    assert len(pickle.dumps(task.dataset)) < SENT
