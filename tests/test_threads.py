"""The same photo and seed give the same scene, whatever the number of threads: with tiny networks,
and with ``-m slow`` with the embedded ones.
"""

from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image

import maquette
from maquette.evaluate.score import score_scene
from maquette.masks import read_masks


@pytest.fixture(scope="module")
def tiny(tiny_weights):
    return {"weights": tiny_weights}


@pytest.fixture(scope="module")
def embedded():
    return {}


@pytest.fixture(scope="module", params=["tiny", pytest.param("embedded", marks=pytest.mark.slow)])
def scenes(coarse_fields, request):
    """A cut-out of the bundled picture with two objects, made with one thread and with two."""
    folder = resources.files("maquette") / "assets" / "demo"
    photo = Image.open(str(folder / "photo.jpg"))
    masks = read_masks(str(folder / "masks.png"), (photo.height, photo.width))[:2]
    rows, columns = np.nonzero(masks[0].mask | masks[1].mask)
    box = (columns.min() - 8, rows.min() - 8, columns.max() + 9, rows.max() + 9)
    cut = np.array(photo.crop(box))
    labels = {m.label: np.array(Image.fromarray(m.mask).crop(box)) for m in masks}
    weights = request.getfixturevalue(request.param)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(maquette.generate(cut, labels, seed=3, steps=2, **weights))
    torch.set_num_threads(before)
    return found


def test_boxes_are_the_same_within_two_thousandths(scenes):
    one, two = (np.array([instance.box for instance in scene.instances]) for scene in scenes)
    assert np.abs(one - two).max() < 0.002


def test_meshes_are_the_same_to_the_evaluator(scenes):
    meshes = [
        {
            instance.node_name: instance.mesh.copy().apply_transform(instance.world_from_instance)
            for instance in scene.instances
        }
        for scene in scenes
    ]
    assert score_scene(meshes[0], meshes[1], "raw").f_o > 99
