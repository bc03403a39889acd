"""Published names and ours: both directions, fused and head-interleaved projections, strictness."""

import pytest
import torch
from torch import nn

from maquette.checkpoints.published.names import (
    Rule,
    from_published,
    fuse,
    published_shapes,
    split,
    to_published,
    without_prefix,
)
from maquette.errors import CheckpointError
from maquette.nn.attention import SelfAttention

RULES = (
    Rule(r"(.+)\.to_qkv\.weight", (r"\1.q", r"\1.k", r"\1.v"), heads=2),
    Rule(r"(.+)\.to_out\.(.+)", (r"\1.out.\2",)),
)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([SelfAttention(8, 2, None, bias=False)])
        self.token = nn.Parameter(torch.randn(1, 1, 8))


@pytest.mark.parametrize("parts, heads", [(1, 0), (3, 0), (3, 2), (2, 4), (1, 2)])
def test_fusing_inverts_splitting(parts, heads):
    tensor = torch.randn(parts * 8, 5)
    assert torch.equal(fuse(split(tensor, parts, heads), heads), tensor)


def test_interleaved_rows_are_heads_then_parts():
    """The published code stacks the matrices, views [heads, 3, head width], and takes head h's
    query, key and value from there.
    """
    q, k, v = torch.randn(3, 8, 5).unbind(0)
    ours = fuse((q, k, v), heads=2).unflatten(0, (3, 2, 4))  # [part, head, channel]
    slabs = torch.cat([q, k, v]).unflatten(0, (2, 3, 4))  # [head, part, channel]
    for head in range(2):
        for part in range(3):
            assert torch.equal(ours[part, head], slabs[head, part])


def test_the_round_trip_is_exact_and_the_meta_device_knows_the_shapes():
    torch.manual_seed(0)
    source = Network()
    target = Network()
    published = to_published(source.state_dict(), RULES)
    assert set(published) == {
        "blocks.0.q",
        "blocks.0.k",
        "blocks.0.v",
        "blocks.0.out.weight",
        "blocks.0.out.bias",
        "token",
    }
    from_published(target, published, rules=RULES)
    assert all(
        torch.equal(a, b)
        for a, b in zip(source.state_dict().values(), target.state_dict().values())
    )
    with torch.device("meta"):
        empty = Network()
    assert published_shapes(empty, RULES) == {
        key: tuple(tensor.shape) for key, tensor in published.items()
    }


def test_leading_axes_of_one_may_be_missing_in_the_file():
    rules = (*RULES, Rule("token", ("class",), drop_leading=2))
    network = Network()
    published = to_published(network.state_dict(), rules)
    assert published["class"].shape == (8,)
    from_published(network, published | {"class": torch.arange(8.0)}, rules=rules)
    assert network.token.shape == (1, 1, 8) and network.token[0, 0, 3] == 3


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda t: t.pop("blocks.0.k"), r"1 missing \(blocks.0.k\)"),
        (lambda t: t.update(blocks=torch.zeros(1)), r"1 extra \(blocks\)"),
    ],
)
def test_what_does_not_fit_is_named_by_its_published_name(change, named):
    network = Network()
    published = to_published(network.state_dict(), RULES)
    change(published)
    with pytest.raises(CheckpointError, match=named):
        from_published(network, published, rules=RULES)


def test_a_component_is_cut_out_by_its_prefix():
    assert without_prefix({"a.b": 1, "a.c": 2}, "a.") == {"b": 1, "c": 2}
    with pytest.raises(CheckpointError, match=r"do not start with 'a.' \(d"):
        without_prefix({"a.b": 1, "d": 2}, "a.")
