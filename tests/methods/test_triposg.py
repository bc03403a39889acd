import numpy as np
import pytest

from maquette.methods.triposg import on_white
from tests.checkpoints.tiny_releases import write_triposg
from tests.methods.released import assert_is_a_scene, assert_same_meshes, made, meshes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_triposg(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("maquette.methods.published.CELLS", 32)
    monkeypatch.setattr("maquette.methods.triposg.VECTORS", 64)


def test_from_files_to_a_scene(root, tmp_path):
    assert_is_a_scene(made(root, tmp_path, "triposg"))


def test_objects_are_made_alone(root, tmp_path):
    """Neither the batch nor the neighbours matter."""
    two, one = (meshes(root, tmp_path, "triposg", batch=batch) for batch in (0, 1))
    assert_same_meshes(two, one)


def test_an_object_stands_on_white_in_a_square_with_a_margin():
    image = np.full((40, 60, 3), 7, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[5:15, 10:50] = True
    square = on_white(image, mask)
    assert square.shape == (48, 48, 3) and (square == 7).all(-1).sum() == 400
    assert (square[19:29, 4:44] == 7).all() and (square[0] == 255).all()
