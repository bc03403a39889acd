"""Which device is taken, and how exactly it multiplies, with cards that are only said to
be there.
"""

import pytest
import torch

from maquette.errors import InputError
from maquette.hardware import choose_device, multiplying, native_bf16, resolved_precision


@pytest.fixture
def cards(monkeypatch):
    """Two graphics cards, and the list of those that were made current."""
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def test_auto_is_a_card_or_the_processor_and_never_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device("mps") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")


def test_a_numbered_card_becomes_the_current_one(cards):
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert cards == [torch.device("cuda", 1)]
    assert choose_device("cuda") == torch.device("cuda") and len(cards) == 1


@pytest.mark.parametrize("name", ["cuda:2", "cuda:", "cuda:-1", "cpu:0", "mps:1", "gpu", ""])
def test_a_device_that_is_not_there_is_refused(name, cards):
    with pytest.raises(InputError):
        choose_device(name)
    assert cards == []


def test_without_a_card_none_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no cuda device"):
        choose_device("cuda:1")


def test_bf16_is_native_where_the_hardware_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert native_bf16(torch.device("cuda"))  # of some other machine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for told in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda told=told, **_: told)
        assert native_bf16(torch.device("cuda")) is told
    assert not native_bf16(torch.device("mps"))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not native_bf16(torch.device("cpu"))


def test_every_device_has_a_precision_of_its_own():
    cpu = torch.device("cpu")
    cuda = torch.device("cuda")
    assert resolved_precision("auto", cpu) == resolved_precision("auto", torch.device("mps"))
    assert resolved_precision("auto", cuda) == "tf32"
    for asked in ("fp32", "bf16"):
        assert resolved_precision(asked, cpu) == resolved_precision(asked, cuda) == asked
    for asked, where in (("tf32", cpu), ("fp8", cuda)):
        with pytest.raises(InputError):
            resolved_precision(asked, where)


def test_precision_holds_inside_only():
    matrix = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    cpu = torch.device("cpu")
    with multiplying("fp32", cpu):
        assert torch.equal(matrix @ matrix, matrix.mm(matrix))
    with multiplying("bf16", cpu):
        assert (matrix @ matrix).dtype is torch.bfloat16
    assert (matrix @ matrix).dtype is torch.float32
    before = torch.backends.cuda.matmul.allow_tf32
    with multiplying("tf32", torch.device("cuda")):
        assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    with multiplying("fp32", torch.device("cuda")):
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
