"""The completion of a guess: where it starts, and how far it sees."""

import torch
import torch.nn.functional as F

from maquette.models.completion import Completion
from maquette.models.structure_flow import StructureFlow
from tests.models.test_structure_flow import TINY, tiny_flow, to_latent

CHANNELS, CELLS = 13, 16


def tiny_completion():
    torch.manual_seed(0)
    return Completion(CHANNELS + 4, 4, CELLS, fine=8, middle=16, coarse=32).eval()


def trained(net):
    """With weights everywhere, as if it had learnt something."""
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def inputs(rows=2):
    g = torch.Generator().manual_seed(1)
    size = (CELLS,) * 3
    return torch.randn(rows, CHANNELS, *size, generator=g), torch.randn(rows, 4, *size, generator=g)


@torch.no_grad()
def test_it_starts_as_the_guess_twice_as_fine():
    lifted, guess = inputs()
    finer = F.interpolate(guess, scale_factor=2, mode="trilinear")
    assert torch.equal(tiny_completion()(lifted, guess), finer)


@torch.no_grad()
def test_one_corner_is_told_by_the_opposite_one():
    net = trained(tiny_completion())
    lifted, guess = inputs(1)
    moved = lifted.clone()
    moved[..., -2:, -2:, -2:] += 1.0
    far = (net(moved, guess) - net(lifted, guess))[0, 0, :4, :4, :4]
    assert far.abs().min() > 0


@torch.no_grad()
def test_rows_do_not_see_each_other():
    net = trained(tiny_completion())
    lifted, guess = inputs(3)
    alone = net(lifted[1:2], guess[1:2])
    torch.testing.assert_close(net(lifted, guess)[1:2], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_only_instances_in_their_own_cubes_are_completed():
    plain = tiny_flow()
    flow = StructureFlow(TINY.__class__(**{**TINY.__dict__, "completion_widths": (8, 16, 32)}))
    flow.load_state_dict(plain.state_dict(), strict=False)
    trained(flow.completion)
    lifted = inputs()[0]
    before = plain.encode_lift(lifted, to_latent)
    assert all(map(torch.equal, flow.encode_lift(lifted, to_latent), before))
    completed = flow.encode_lift(lifted, to_latent, zoomed=True)
    assert completed[2].shape == (2, 4, 32, 32, 32)
    assert not torch.equal(completed[1], before[1])
