"""Strict loading: what does not fit is named; precision follows the trunk; the meta device costs
nothing.
"""

import pytest
import torch
from torch import nn

from maquette.checkpoints.published.base import (
    arguments,
    class_name,
    load_strictly,
    own_shapes,
    precision,
)
from maquette.errors import CheckpointError


def network():
    return nn.ModuleDict(
        {"stem": nn.Linear(3, 4), "blocks": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))}
    )


def test_a_network_on_the_meta_device_becomes_real_with_the_given_values():
    torch.manual_seed(0)
    source = network()
    with torch.device("meta"):
        empty = network()
    load_strictly(empty, source.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(empty["blocks"](empty["stem"](x)), source["blocks"](source["stem"](x)))
    assert not empty.training and not any(p.requires_grad for p in empty.parameters())


def test_only_matrices_of_the_trunk_change_precision():
    kinds = precision(network(), torch.bfloat16, ("blocks",))
    assert {key for key, kind in kinds.items() if kind == torch.bfloat16} == {
        "blocks.0.weight",
        "blocks.0.bias",
    }


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda t: t.pop("stem.bias"), r"1 missing \(stem.bias\)"),
        (lambda t: t.update(other=torch.zeros(1)), r"1 extra \(other\)"),
        (
            lambda t: t.update({"stem.weight": torch.zeros(4, 2)}),
            r"stem.weight is \[4, 2\], expected \[4, 3\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, named):
    tensors = dict(network().state_dict())
    change(tensors)
    with pytest.raises(CheckpointError, match=named):
        load_strictly(network(), tensors)


def test_shapes_are_those_of_the_state_dict():
    assert own_shapes(network())["stem.weight"] == (4, 3)


def test_the_three_spellings_of_a_configuration():
    assert (
        class_name({"name": "A"})
        == class_name({"class_": "A"})
        == class_name({"_class_name": "A"})
        == "A"
    )
    assert (
        arguments({"name": "A", "args": {"width": 3}})
        == arguments({"_class_name": "A", "width": 3})
        == {"width": 3}
    )
