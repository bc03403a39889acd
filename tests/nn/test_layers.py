"""Layers: what they hold has weights of its own, and parts are what they were asked to be."""

import pytest
import torch
from torch import nn

from maquette.nn.layers import Layers, matrix_dtype, middle_blocks, of_kind, repeated


def test_repeated_layers_share_no_weights_and_are_named_as_a_module_list_names_them():
    layers = repeated(3, nn.Linear, 2, 2, bias=False)
    assert list(layers.state_dict()) == list(nn.ModuleList(layers).state_dict())
    assert len({layer.weight.data_ptr() for layer in layers}) == 3


def test_a_slice_of_layers_is_layers():
    assert isinstance(repeated(3, nn.Linear, 2, 2)[1:], Layers)


def test_parts_of_another_kind_are_told():
    assert of_kind(nn.SiLU(), nn.SiLU)
    with pytest.raises(TypeError, match=r"Tensor, expected .*Linear"):
        of_kind(torch.zeros(1), nn.Linear)


def test_the_precision_of_the_matrices_is_not_that_of_the_norms():
    network = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2).half())
    assert matrix_dtype(network) == torch.float16


@pytest.mark.parametrize(("blocks", "count"), [(6, 3), (7, 2), (4, 4), (5, 0)])
def test_as_many_blocks_stand_before_the_middle_ones_as_after_up_to_one(blocks, count):
    middle = middle_blocks(blocks, count)
    assert len(middle) == count
    assert abs(middle.start - (blocks - middle.stop)) <= 1
