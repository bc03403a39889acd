import pytest
import torch

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.full_size import RELEASE_NETWORKS, release_size
from maquette.checkpoints.memory import (
    MemoryPlan,
    _by_speed,
    choose_plan,
    estimated,
    free_memory,
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
def releases():
    return {name: release_size(name) for name in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_a_plan_stays_within_its_budget_and_uses_it(releases, model):
    """More memory never makes the plan more careful, and never are the estimates above
    the budget.
    """
    roomy = choose_plan(releases[model], CUDA, 5, 80 * 2**30)
    assert not roomy.staged and roomy.batch == 0 and roomy.savings.one_batch
    before = None
    for gigabytes in (16, 8, 6, 5):
        plan = choose_plan(releases[model], CUDA, 5, gigabytes * 2**30)
        assert plan.peak * 2**20 <= gigabytes * 2**30
        care = (plan.staged, -(plan.batch or 5), not plan.savings.one_batch)
        assert before is None or care >= before or plan.staged
        before = care


@pytest.mark.parametrize("model", MODELS)
def test_too_little_memory_names_the_least(releases, model):
    with pytest.raises(InputError, match=r"needs about \d\.\d GB .* allows 1\.0 GB"):
        choose_plan(releases[model], CUDA, 5, 2**30)


def test_staging_halving_and_chunks_each_save(releases):

    def peak(dtype=torch.bfloat16, **changes):
        return estimated(MemoryPlan(dtype, **changes), releases["trellis-iscene"], CUDA, 8).peak

    assert peak(staged=True) < peak(staged=False) and peak(batch=2) < peak(batch=4) < peak(batch=0)
    assert peak(dtype=torch.bfloat16) < 0.6 * peak(dtype=torch.float32)


def test_published_weights_fit_the_memory_of_their_files(releases):
    """Without activations the estimate is two bytes per parameter: 3.3 GB for TRELLIS, 5.1 GB for
    MIDI.
    """
    for model, gigabytes in (("trellis-large", 3.26), ("midi-3d", 5.07)):
        assert 2 * sum(releases[model].sizes.values()) / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_precision_is_what_the_hardware_multiplies(monkeypatch):
    monkeypatch.setattr("maquette.checkpoints.memory.native_bf16", lambda device: False)
    assert precisions(CUDA) == precisions(torch.device("mps")) == (torch.float16,)
    assert precisions(CPU) == (torch.float32, torch.bfloat16)
    monkeypatch.setattr("maquette.checkpoints.memory.native_bf16", lambda device: True)
    assert precisions(CUDA) == precisions(CPU) == (torch.bfloat16,)
    assert precisions(CUDA, "fp32") == precisions(CUDA, "tf32") == (torch.float32,)


def card(monkeypatch, free, cached=0.0):
    """A graphics card with so many GB free, and so many more in torch's own cache."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * 2**30), 2**40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: int((3 + cached) * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3 * 2**30)


def test_what_torch_keeps_for_itself_and_what_is_loaded_already_is_free(releases, monkeypatch):
    """A second photo is planned as the first one was."""
    card(monkeypatch, 9.0)
    first = choose_plan(releases["midi-3d"], CUDA, 5)
    assert not first.staged and first.lacking == 0.0
    card(monkeypatch, 1.0, cached=3.0)
    assert choose_plan(releases["midi-3d"], CUDA, 5).staged
    assert choose_plan(releases["midi-3d"], CUDA, 5, loaded=5 * 2**30) == first


def test_a_plan_that_does_not_fit_what_is_free_says_so(releases, monkeypatch):
    card(monkeypatch, 1.0)
    plan = choose_plan(releases["midi-3d"], CUDA, 5)
    assert plan.lacking > 2**30 and "GB more than are free" in plan.describe()


def test_every_plan_can_be_said_in_a_line():
    plans = (MemoryPlan(), MemoryPlan(staged=False, batch=2), MemoryPlan(keep="memory"))
    for plan in plans:
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
def test_the_catalogue_says_what_the_plans_say(releases, model):
    by_speed = _by_speed((torch.bfloat16,), CUDA, 5)
    plans = [estimated(plan, releases[model], CUDA, 5) for plan in by_speed]
    assert release(model).memory == pytest.approx(
        (plans[0].peak / 1024, min(plan.peak for plan in plans) / 1024), rel=0.05
    )
