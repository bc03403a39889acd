"""Muon: laws of the orthogonalisation, AdamW's own arithmetic for what is no matrix, and that it
learns what AdamW does not.
"""

import copy

import pytest
import torch
from torch import nn

from maquette.models.backbone import Backbone
from maquette.train.muon import UPDATE_RMS, Muon, orthogonalised, weight_matrices


@pytest.mark.parametrize("shape", [(24, 24), (16, 100), (100, 16), (3, 2, 40, 20)])
def test_it_keeps_the_directions_and_levels_their_lengths(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    levelled = u.mT @ orthogonalised(matrices) @ v.mT
    lengths = levelled.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(levelled, torch.diag_embed(lengths), atol=1e-10)  # same singular vectors
    clear = s / s.norm(dim=-1, keepdim=True) > 0.01
    assert (
        clear.float().mean() > 0.9 and lengths[clear].min() > 0.65 and lengths[clear].max() < 1.25
    )


def test_turning_scaling_and_batching_change_nothing():
    a, b = torch.randn(2, 18, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(orthogonalised(a.mT), orthogonalised(a).mT, atol=1e-12)
    assert torch.allclose(
        orthogonalised(1e-3 * a), orthogonalised(a), atol=1e-3
    )  # but for the guard against division by zero
    assert torch.allclose(orthogonalised(torch.stack([a, b]))[1], orthogonalised(b), atol=1e-12)
    q = torch.linalg.qr(
        torch.randn(18, 18, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )[0]
    assert torch.allclose(orthogonalised(q @ a), q @ orthogonalised(a), atol=1e-10)
    assert orthogonalised(torch.zeros(16, 16)).abs().max() == 0


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(40, 32)
        self.place = nn.Parameter(torch.randn(20, 32))
        self.one = nn.Linear(32, 48)
        self.norm = nn.LayerNorm(48)
        self.window = nn.Conv2d(48, 16, 3)
        self.thin = nn.Linear(16, 3)
        self.frozen = nn.Linear(32, 32).requires_grad_(False)
        self.tied = self.one


def test_matrices_are_the_weights_of_layers():
    model = Mixed()
    assert [id(p) for p in weight_matrices(model)] == [
        id(model.one.weight),
        id(model.window.weight),
    ]
    stepped = [id(p) for group in Muon(model, 0.1).param_groups for p in group["params"]]
    assert sorted(stepped) == sorted(
        id(p) for p in model.parameters() if p.requires_grad
    )  # each once


def test_a_backbone_moves_as_with_adamw():
    model = nn.Sequential(nn.Linear(32, 48), Backbone((8, 16, 32, 32)))
    assert [id(p) for p in weight_matrices(model)] == [id(model[0].weight)]


def test_what_is_no_matrix_moves_as_with_adamw():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 3))
    other = copy.deepcopy(model)
    groups = [
        {"params": [p for p in other.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in other.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    ours = Muon(model, 0.01, 0.1)
    theirs = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99))
    for step in range(20):
        x = torch.randn(8, 7, generator=torch.Generator().manual_seed(step))
        for network, optimizer in ((model, ours), (other, theirs)):
            optimizer.zero_grad()
            network(x).pow(2).sum().backward()
            optimizer.step()
    for mine, yours in zip(model.parameters(), other.parameters()):
        assert torch.allclose(mine, yours, atol=1e-6)


@pytest.mark.parametrize(
    "layer, window", [(nn.Linear(64, 32), (64,)), (nn.Conv3d(16, 24, 2), (16, 2, 2, 2))]
)
def test_an_update_is_as_long_as_one_of_adamw(layer, window):
    torch.manual_seed(0)
    before = layer.weight.detach().clone()
    optimizer = Muon(layer, 0.5, weight_decay=0.0)
    layer(torch.randn(200, *window)).pow(2).sum().backward()
    optimizer.step()
    rows, columns = before.flatten(1).shape
    full = (
        UPDATE_RMS * max(rows, columns) ** 0.5 * (min(rows, columns) / (rows * columns)) ** 0.5
    )  # of an orthogonal matrix
    change = (layer.weight.detach() - before).pow(2).mean().sqrt() / 0.5
    assert full == pytest.approx(UPDATE_RMS) and change == pytest.approx(full, rel=0.25)


def test_weights_decay_and_vectors_do_not():
    layer = nn.Linear(16, 16)
    before = copy.deepcopy(layer.state_dict())
    optimizer = Muon(layer, 0.1, weight_decay=0.5)
    layer.weight.grad = torch.zeros(16, 16)
    layer.bias.grad = torch.zeros(16)
    optimizer.step()
    assert torch.allclose(layer.weight, 0.95 * before["weight"]) and torch.equal(
        layer.bias, before["bias"]
    )
    layer.weight.grad = layer.bias.grad = None
    optimizer.step()  # nothing to learn from: nothing moves
    assert torch.allclose(layer.weight, 0.95 * before["weight"])


def test_it_learns_the_directions_that_gradients_hardly_show():
    """A linear map from inputs whose directions are a thousand times apart in strength: AdamW
    learns the strong ones only.
    """

    def left(optimizer_of):
        generator = torch.Generator().manual_seed(0)
        strengths = torch.logspace(0, -1.5, 32)
        turn = torch.linalg.qr(torch.randn(32, 32, generator=generator))[0]
        truth = torch.randn(32, 32, generator=generator)
        layer = nn.Linear(32, 32, bias=False)
        nn.init.zeros_(layer.weight)
        optimizer = optimizer_of(layer)
        for step in range(300):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * (1 - step / 300)
            x = torch.randn(256, 32, generator=generator) * strengths @ turn
            optimizer.zero_grad()
            (layer(x) - x @ truth.T).pow(2).mean().backward()
            optimizer.step()
        return float((layer.weight.detach() - truth).pow(2).mean())

    muon = left(lambda layer: Muon(layer, 0.1, 0.0))
    adamw = left(lambda layer: torch.optim.AdamW(layer.parameters(), 0.1, weight_decay=0.0))
    assert muon < 0.5 * adamw, (muon, adamw)


def test_the_state_survives_saving():
    def step(layer, optimizer, seed):
        optimizer.zero_grad()
        layer(torch.randn(9, 20, generator=torch.Generator().manual_seed(seed))).pow(
            2
        ).sum().backward()
        optimizer.step()

    torch.manual_seed(0)
    layer = nn.Linear(20, 20)
    optimizer = Muon(layer, 0.1)
    step(layer, optimizer, 0)
    twin = copy.deepcopy(layer)
    again = Muon(twin, 0.1)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for network, own in ((layer, optimizer), (twin, again)):
        step(network, own, 1)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), twin.parameters()))
