"""The shapes that annotations promise are checked: in the rooms of networks, flow and geometry."""

import sys

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from maquette.flow.path import interpolate
from maquette.geometry.transforms import transform_points
from maquette.nn.attention import attend, merge_heads

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="shapes are not checked there")


def test_a_wrong_number_of_axes_is_caught():
    with pytest.raises(TypeCheckError, match="x_BHLD"):
        merge_heads(torch.zeros(2, 3, 4))


def test_axes_of_one_name_have_one_length():
    one = torch.zeros(2, 4, 8, 16)
    narrow = torch.zeros(2, 4, 8, 15)
    with pytest.raises(TypeCheckError, match="keys_BHLD"):
        attend(one, [narrow], [one])
    with pytest.raises(TypeCheckError, match="noise"):
        interpolate(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2))


def test_a_wrong_kind_of_number_is_caught():
    with pytest.raises(TypeCheckError, match="i64"):
        merge_heads(torch.zeros(2, 4, 8, 16, dtype=torch.int64))


def test_arrays_are_checked_as_tensors_are():
    with pytest.raises(TypeCheckError, match="points"):
        transform_points(np.eye(4), np.zeros((5, 2)))
