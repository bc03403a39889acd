import pytest

from tests.checkpoints.tiny_trellis import write_trellis
from tests.methods.released import assert_is_a_scene, assert_same_meshes, made, meshes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_trellis(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def scene(folder):
    return made(folder, folder, "trellis-large")


def test_from_files_to_a_scene(scene):
    assert_is_a_scene(scene)


def test_objects_keep_the_colours_of_the_decoder(scene):
    colours = scene.instances[0].mesh.visual.vertex_colors[:, :3]
    assert (
        colours.std(0).max() > 1
    )  # not one colour, as an object painted from the photo would have behind


def test_each_object_covers_its_own_mask(scene):
    assert all(
        instance.confidence > 0.3 for instance in scene.instances
    )  # random shapes, but in the right place
    assert scene.instances[0].box.mean(0)[0] < 0 < scene.instances[1].box.mean(0)[0]


def test_the_plan_changes_nothing(folder):
    plain, careful = (
        meshes(folder, folder, "trellis-large", **plan)
        for plan in ({"staged": False}, {"batch": 1})
    )
    assert_same_meshes(plain, careful)
