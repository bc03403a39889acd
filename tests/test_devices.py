"""The imitated device computes what the processor computes and refuses what accelerators refuse."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.devices import install

PLACES = pytest.mark.parametrize("name", ["cuda", "mps"])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(4, 8), nn.SiLU(), nn.Flatten(), nn.Linear(128, 5)
    )


def learnt(net: nn.Module, picture: torch.Tensor, optimizer=torch.optim.AdamW) -> list[np.ndarray]:
    """Weights after two steps."""
    stepper = optimizer(net.parameters(), lr=1e-2)
    for _ in range(2):
        stepper.zero_grad()
        net(picture).square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        stepper.step()
    return [p.detach().cpu().numpy() for p in net.parameters()]


@PLACES
def test_training_gives_what_it_gives_on_the_processor(name):
    picture = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    here = learnt(network(), picture)
    with install(name) as device:
        there = learnt(network().to(name), picture.to(name))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)
    assert device.waits >= len(here)


@PLACES
def test_tensors_say_where_they_are_and_keep_it(name):
    with install(name):
        x = torch.arange(6, device=name).reshape(2, 3)
        parts = [x, x + 1, x[0], x.float(), torch.zeros_like(x), x.new_tensor([1, 2])]
        parts += [torch.tensor([1.0], device=name), torch.full((2,), 3, device=x.device)]
        parts += [torch.zeros(3).to(x), nn.Parameter(x.float()), x.float().view(3, 2)]
        assert {part.device.type for part in parts} == {name}
        assert x.cpu().device.type == "cpu" and torch.zeros(2).device.type == "cpu"


@PLACES
@pytest.mark.parametrize(
    "mixture",
    [
        lambda x, y: x + y,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch.where(y > 0, x, x),
        lambda x, y: F.linear(x, y),
        lambda x, y: F.scaled_dot_product_attention(x[None], y[None], y[None]),
        lambda x, y: y[x.long()],
        lambda x, y: nn.Linear(3, 2)(x),
    ],
)
def test_tensors_of_two_places_do_not_mix(name, mixture):
    with install(name), pytest.raises(RuntimeError, match="same device"):
        mixture(torch.ones(2, 3, device=name), torch.ones(2, 3))


@PLACES
def test_single_numbers_and_indices_may_be_elsewhere(name):
    with install(name):
        x = torch.ones(3, 2, device=name)
        assert (x * torch.tensor(2.0)).sum().item() == 12
        assert x[torch.tensor([0, 2])].shape == (2, 2)


@PLACES
def test_arrays_cannot_be_made_of_what_is_elsewhere(name):
    with install(name):
        x = torch.ones(2, device=name)
        for convert in (lambda: x.numpy(), lambda: np.asarray(x)):
            with pytest.raises(TypeError, match="numpy"):
                convert()


@PLACES
def test_random_numbers_need_a_generator_of_the_device(name):
    with install(name), pytest.raises(RuntimeError, match="generator"):
        torch.randn(2, device=name, generator=torch.Generator())


def test_float64_is_refused_on_demand():
    with install("mps", float64=False):
        x = torch.ones(2, device="mps")
        assert x.cpu().double().dtype == torch.float64
        for convert in (
            lambda: x.double(),
            lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
            lambda: torch.zeros(2, dtype=torch.float64).to("mps"),
            lambda: torch.from_numpy(np.zeros(2)).to(x.device),
        ):
            with pytest.raises(TypeError, match="float64"):
                convert()
    with install("cuda"):
        assert torch.ones(2, device="cuda").double().dtype == torch.float64


def test_named_operations_are_refused_and_told():
    with install("mps", refuse=("upsample_trilinear3d",)) as device:
        volume = torch.ones(1, 1, 2, 2, 2, device="mps")
        assert F.interpolate(volume, scale_factor=2.0).shape[-1] == 4
        with pytest.raises(NotImplementedError, match="upsample_trilinear3d"):
            F.interpolate(volume, scale_factor=2.0, mode="trilinear")
    assert sum(device.refused.values()) == 1


@pytest.mark.parametrize(
    ("waits", "read"),
    [
        (0, lambda x: x.sum() + x.mean()),
        (1, lambda x: float(x.sum())),
        (1, lambda x: x.sum().item()),
        (1, lambda x: bool((x > 0).all())),
        (1, lambda x: x.tolist()),
        (1, lambda x: x.cpu()),
        (1, lambda x: x.to("cpu")),
        (1, lambda x: x[x > 0]),
        (1, lambda x: torch.nonzero(x)),
        (1, lambda x: torch.unique(x)),
        (2, lambda x: [float(v) for v in x]),
    ],
)
def test_waiting_for_the_device_is_counted(waits, read):
    with install("cuda") as device:
        read(torch.ones(2, device="cuda"))
    assert device.waits == waits


def test_nothing_is_left_behind():
    before = (torch.tensor, torch.autocast, torch.inference_mode, torch.cuda.is_available)
    with pytest.raises(KeyError), install("cuda"):
        assert torch.cuda.is_available()
        raise KeyError
    assert (torch.tensor, torch.autocast, torch.inference_mode, torch.cuda.is_available) == before
    assert not torch.__future__.get_overwrite_module_params_on_conversion()


def test_a_list_is_an_index_as_on_every_device():
    values = torch.arange(6).reshape(2, 3)
    with install("cuda"):
        there = values.to("cuda")
        assert there[:, [2, 0]].tolist() == [[2, 0], [5, 3]]
        there[[1]] = 7
        assert there.tolist() == [[0, 1, 2], [7, 7, 7]]
