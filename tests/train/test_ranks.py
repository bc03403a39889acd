"""Who a process is among those that train together, and which device it takes."""

import pytest
import torch

from maquette.errors import InputError
from maquette.train.ranks import MOST_WORKERS, Ranks
from tests.devices import install


def test_torchrun_says_who_one_is(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.of_environment() == Ranks(rank=0, world=1, local=0, local_world=1)
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Ranks.of_environment() == Ranks(rank=5, world=8, local=1, local_world=4)


def test_every_process_takes_its_own_card_and_makes_it_the_current_one(monkeypatch):
    with install("cuda"):
        current = []
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        assert Ranks(rank=5, world=8, local=1).device("cuda") == torch.device("cuda:1")
        assert Ranks().device("cuda:1") == torch.device("cuda:1")
        assert current == [torch.device("cuda:1")] * 2
        assert Ranks().device("cuda") == torch.device("cuda")
        with pytest.raises(InputError, match="each takes its own card"):
            Ranks(world=2).device("cuda:1")
    assert Ranks(rank=1, world=2).device("cpu") == torch.device("cpu")


def test_accelerators_are_fed_by_the_cores_that_are_left(monkeypatch):
    found = {}
    for cores in (1, 2, 16, 96):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        ranks = (Ranks(), Ranks(world=4, local_world=4))
        found[cores] = [r.data_workers(torch.device("cuda")) for r in ranks]
        assert [r.data_workers(torch.device("cpu")) for r in ranks] == [1, 1]
    assert found == {1: [1, 1], 2: [1, 1], 16: [15, 3], 96: [MOST_WORKERS, MOST_WORKERS]}


def test_one_process_needs_no_group():
    with Ranks().together(torch.device("cpu")):
        assert not torch.distributed.is_initialized()
