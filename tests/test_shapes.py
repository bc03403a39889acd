"""The shapes that annotations promise are checked: in the rooms of networks, flow and geometry."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import maquette
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


ROOMS = Path(maquette.__file__).parent
ARRAYS = {"Tensor", "ndarray"}


def shapeless(annotation):
    """Whether it names arrays without a shape. Not looked into: what is a callable's is checked by
    nobody, and TypeVars.
    """
    match annotation:
        case ast.Subscript(value=ast.Name(id="Callable")) | ast.Call():
            return False
        case ast.Subscript(slice=ast.Tuple(elts=[_, ast.Constant(value=str())])):
            return False
        case ast.Name(id=named) | ast.Attribute(attr=named) if named in ARRAYS:
            return True
    return any(map(shapeless, ast.iter_child_nodes(annotation)))


def public_functions(scope):
    """Those of a module or a class, and those of its public classes."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("room", ["nn", "flow", "geometry"])
def test_every_public_function_says_the_shapes_of_its_arrays(room):
    without = set()
    for path in sorted((ROOMS / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:  # names for shapes that functions use
            if isinstance(node, ast.Assign) and shapeless(node.value):
                without.add(f"{path.name}:{ast.unparse(node.targets[0])}")
        for function in public_functions(tree):
            parts = [*ast.iter_child_nodes(function.args), ast.arg("return", function.returns)]
            if any(isinstance(one, ast.arg) and shapeless(one) for one in parts):
                without.add(f"{path.name}:{function.name}")
    assert without == set()
