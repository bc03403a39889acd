"""The trunk keeps TensorFlow's padding, and lets nothing in before it has learnt to."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from maquette.models.backbone import MAPS, Backbone, SamePadded, Trunk
from maquette.models.image_encoder import GeometryNet, GeometryNetConfig

TINY = GeometryNetConfig(size=64, widths=(8, 16, 32, 32), blocks=1, heads=2, close=32)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("size", [15, 16])
def test_same_padding_is_defined_by_its_output(kernel, stride, size):
    """Output pixel i is centred where TensorFlow's documentation puts it."""
    layer = SamePadded(1, 1, kernel, stride)
    torch.nn.init.constant_(layer.bias, 0.0)
    x = torch.randn(1, 1, size, size)
    out = layer(x)
    side = -(-size // stride)
    assert out.shape[-2:] == (side, side)
    total = max((side - 1) * stride + kernel - size, 0)
    before = total // 2
    big = F.pad(x, (kernel,) * 4)
    for i, j in ((0, 0), (side - 1, side // 2), (side // 2, side - 1)):
        top, left = (kernel - before + stride * k for k in (i, j))
        window = big[0, 0, top : top + kernel, left : left + kernel]
        torch.testing.assert_close(out[0, 0, i, j], (window * layer.weight[0, 0]).sum())


def test_maps_have_their_widths_and_strides():
    maps = Trunk()(torch.zeros(2, 3, 64, 64))
    assert [m.shape[1] for m in maps] == list(MAPS)
    assert [64 // m.shape[2] for m in maps] == [2, 4, 8, 16, 32]


def test_an_encoder_goes_on_from_where_it_was():
    """Its layers start at zero, so what it says does not change, only what it can learn."""
    torch.manual_seed(0)
    plain = GeometryNet(TINY).eval()
    seeing = GeometryNet(dataclasses.replace(TINY, backbone=True)).eval()
    missing, unexpected = seeing.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("backbone.") for name in missing)
    picture = torch.rand(1, 6, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(seeing(picture).depth, plain(picture).depth, rtol=0, atol=0)
    seeing(picture).depth.sum().backward()
    let_in = [layer.weight.grad.abs().max() for layer in seeing.backbone.let_in]
    assert all(gradient > 0 for gradient in let_in)


def test_it_takes_the_widths_of_any_encoder():
    added = Backbone((8, 16, 32, 32))(torch.zeros(1, 3, 64, 64))
    assert [tuple(a.shape[1:]) for a in added] == [
        (8, 32, 32),
        (16, 16, 16),
        (32, 8, 8),
        (32, 4, 4),
    ]
