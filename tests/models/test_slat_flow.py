"""The SLat flow's laws: what copies share, what samples do not, and which cells see which."""

import torch

from maquette.models.slat_flow import SLatFlow, SLatFlowConfig
from tests.nn.test_sparse import cells

TINY = SLatFlowConfig(
    resolution=8,
    channels=3,
    width=24,
    blocks=2,
    heads=2,
    mlp_ratio=2.0,
    context_width=10,
    io_widths=(8,),
)


def randomised(make, *arguments, seed=0):
    torch.manual_seed(seed)
    network = make(*arguments)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.eval().requires_grad_(False)


def inputs(voxels, samples=2):
    g = torch.Generator().manual_seed(1)
    return (
        torch.randn(len(voxels), 3, generator=g),
        torch.rand(samples, generator=g),
        torch.randn(samples, 5, 10, generator=g),
    )


def test_samples_do_not_touch_each_other():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8)
    x, t, context = inputs(voxels)
    alone = network(x[: voxels.counts[0]], voxels.sample(0), t[:1], context[:1])
    torch.testing.assert_close(
        network(x, voxels, t, context)[: len(alone)], alone, atol=1e-5, rtol=1e-5
    )


def test_copies_are_separate_evaluations():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8)
    x, t, context = inputs(voxels)
    contexts = network.prepare(torch.stack([context, torch.zeros_like(context)], dim=1))
    both = network.velocity(x, voxels, network.modulations(t), contexts, copies=2)
    torch.testing.assert_close(both[0], network(x, voxels, t, context), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        both[1], network(x, voxels, t, torch.zeros_like(context)), atol=1e-5, rtol=1e-5
    )


def test_an_empty_context_is_a_constant():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8)
    x, t, context = inputs(voxels)
    constant = network.velocity(
        x, voxels, network.modulations(t), network.prepare(None, torch.zeros_like(context[:, :1]))
    )[0]
    torch.testing.assert_close(
        constant, network(x, voxels, t, torch.zeros_like(context)), atol=1e-5, rtol=1e-5
    )


def test_one_noise_level_for_all_samples_equals_one_for_each():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8)
    x, _, context = inputs(voxels)
    shared = network(x, voxels, torch.tensor([0.3]), context)
    each = network(x, voxels, torch.tensor([0.3, 0.3]), context)
    torch.testing.assert_close(shared, each, atol=2e-6, rtol=1e-5)


def test_without_skip_connections_and_with_two_levels_it_still_leads_back():
    config = SLatFlowConfig(8, 3, 24, 1, 2, 2.0, 10, True, True, (4, 8), 2, False)
    network = randomised(SLatFlow, config)
    voxels = cells(resolution=8)
    x, t, context = inputs(voxels)
    seen = {}
    network.velocity(
        x, voxels, network.modulations(t), network.prepare(context), trace=seen.__setitem__
    )
    assert [len(seen[f"input_blocks.{i}"]) for i in range(4)] == [
        len(voxels),
        *[len(voxels.parents[0])] * 2,
        len(voxels.parents[0].parents[0]),
    ]
    assert network(x, voxels, t, context).shape == x.shape


def test_half_precision_is_close():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8)
    x, t, context = inputs(voxels)
    exact = network(x, voxels, t, context)
    for part in (network.blocks, network.input_blocks, network.out_blocks):
        part.bfloat16()
    found = network(x, voxels, t, context)
    assert (
        found.dtype == torch.float32 and 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()
    )
