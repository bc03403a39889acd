import numpy as np
import pytest

from tests.checkpoints.tiny_trellis import write_trellis
from tests.methods.released import assert_is_a_scene, made


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    root = write_trellis(folder)
    return {options: made(root, folder, "trellis-large", **dict(options)) for options in ((), (("memory", 600 * 2**20),))}


def test_from_files_to_a_scene(scenes):
    assert_is_a_scene(scenes[()])


def test_objects_keep_the_colours_of_the_decoder(scenes):
    colours = scenes[()].instances[0].mesh.visual.vertex_colors[:, :3]
    assert colours.std(0).max() > 1  # not one colour, as an object painted from the photo would have behind


def test_each_object_covers_its_own_mask(scenes):
    assert all(instance.confidence > 0.3 for instance in scenes[()].instances)  # random shapes, but in the right place
    assert scenes[()].instances[0].box.mean(0)[0] < 0 < scenes[()].instances[1].box.mean(0)[0]


def test_less_memory_makes_the_same_objects(scenes):
    roomy, tight = scenes.values()
    for a, b in zip(roomy.instances, tight.instances):
        assert np.abs(np.ptp(a.mesh.vertices, axis=0) - np.ptp(b.mesh.vertices, axis=0)).max() < 0.02
