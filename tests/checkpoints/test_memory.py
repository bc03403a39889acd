import dataclasses

import pytest
import torch

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.full_size import RELEASE_NETWORKS, release_networks
from maquette.checkpoints.memory import (
    Plan,
    _by_speed,
    choose_plan,
    estimated,
    free_memory,
    parse_memory,
    peak_memory,
    precisions,
    reset_peak,
    resident_memory,
)
from maquette.errors import InputError

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
MODELS = sorted(RELEASE_NETWORKS)


@pytest.fixture(scope="module")
def networks():
    return {name: release_networks(name) for name in MODELS}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 2**33),
        ("8g", 2**33),
        ("7.5 GiB", 7.5 * 2**30),
        ("600MB", 600 * 2**20),
        ("64", 2**26),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "0GB", "8GBs", "1e3"])
def test_other_sizes_are_refused(text):
    with pytest.raises(InputError, match="8GB"):
        parse_memory(text)


@pytest.mark.parametrize("model", MODELS)
def test_a_plan_stays_within_its_budget_and_uses_it(networks, model):
    """More memory never makes the plan more careful, and never are the estimates above the budget."""
    roomy = choose_plan(model, *networks[model], CUDA, 5, 80 * 2**30)
    assert not roomy.staged and roomy.batch == 0 and roomy.savings.one_batch
    before = None
    for gigabytes in (16, 8, 6, 5):
        plan = choose_plan(model, *networks[model], CUDA, 5, gigabytes * 2**30)
        assert plan.peak * 2**20 <= gigabytes * 2**30
        care = (plan.staged, -(plan.batch or 5), not plan.savings.one_batch)
        assert before is None or care >= before or plan.staged
        before = care


@pytest.mark.parametrize("model", MODELS)
def test_too_little_memory_names_the_least(networks, model):
    with pytest.raises(InputError, match=r"needs about \d\.\d GB .* allows 1\.0 GB"):
        choose_plan(model, *networks[model], CUDA, 5, 2**30)


def test_staging_halving_and_chunks_each_save(networks):
    model = "trellis-iscene"
    peak = lambda **changes: (
        estimated(
            dataclasses.replace(Plan(torch.bfloat16), **changes), model, *networks[model], CUDA, 8
        ).peak
    )
    assert peak(staged=True) < peak(staged=False) and peak(batch=2) < peak(batch=4) < peak(batch=0)
    assert peak(dtype=torch.bfloat16) < 0.6 * peak(dtype=torch.float32)


def test_published_weights_fit_the_memory_of_their_files(networks):
    """Without activations the estimate is two bytes per parameter: 3.3 GB for TRELLIS, 5.1 GB for
    MIDI.
    """
    for model, gigabytes in (("trellis-large", 3.26), ("midi-3d", 5.07)):
        assert 2 * sum(networks[model][1].values()) / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_precision_is_what_the_hardware_multiplies(monkeypatch):
    monkeypatch.setattr("maquette.checkpoints.memory.native_bf16", lambda device: False)
    assert precisions(CUDA) == precisions(torch.device("mps")) == (torch.float16,)
    assert precisions(CPU) == (torch.float32, torch.bfloat16)
    monkeypatch.setattr("maquette.checkpoints.memory.native_bf16", lambda device: True)
    assert precisions(CUDA) == precisions(CPU) == (torch.bfloat16,)


def test_every_plan_can_be_said_in_a_line():
    for plan in (Plan(), Plan(staged=False, batch=2), Plan(torch.bfloat16, keep="memory")):
        assert plan.describe() and "\n" not in plan.describe()


@pytest.mark.skipif(resident_memory() == 0, reason="this system does not tell")
def test_the_measured_peak_is_that_since_the_last_reset():
    reset_peak(CPU)
    before = peak_memory(CPU)
    block = torch.ones(2**25)  # 128 MB
    assert peak_memory(CPU) > before + 100 and free_memory(CPU) > 2**20
    del block
    reset_peak(CPU)
    assert peak_memory(CPU) < before + 100


@pytest.mark.parametrize("model", MODELS)
def test_the_catalogue_says_what_the_plans_say(networks, model):
    plans = [estimated(plan, model, *networks[model], CUDA, 5) for plan in _by_speed(CUDA, 5)]
    assert release(model).memory == pytest.approx(
        (plans[0].peak / 1024, min(plan.peak for plan in plans) / 1024), rel=0.05
    )
