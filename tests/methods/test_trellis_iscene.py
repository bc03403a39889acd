import numpy as np
import pytest

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.released import open_release
from maquette.errors import CheckpointError
from tests.checkpoints.tiny_trellis import write_iscene
from tests.methods.released import assert_is_a_scene, assert_same_meshes, made, meshes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_iscene(tmp_path_factory.mktemp("weights"))


def test_from_files_to_a_scene(tmp_path):
    """In the form of the release: two slots, no gates."""
    root = write_iscene(tmp_path / "weights", gates=False, setting="global")
    part = open_release(release("trellis-iscene"), root).parts["structure-flow"]
    assert part.build().config.slots == 2
    scene = made(root, tmp_path, "trellis-iscene")
    assert_is_a_scene(scene)
    assert set(scene.provenance["memory"]["measured_mb"]) == {
        "image",
        "structure",
        "latents",
        "mesh",
    }


def test_the_plan_changes_nothing(root, tmp_path):
    """Objects one at a time and all at once, networks freed and kept: the same meshes, as instances
    only meet in the scene's slot.
    """
    plain, careful = (
        meshes(root, tmp_path, "trellis-iscene", **plan)
        for plan in ({"staged": False}, {"batch": 1})
    )
    assert_same_meshes(plain, careful)


def test_seeds_make_the_difference(root, tmp_path):
    first, again, other = (
        meshes(root, tmp_path, "trellis-iscene", seed)[1].vertices for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and (
        first.shape != other.shape or np.abs(first - other).max() > 1e-3
    )


def test_gates_are_found_in_the_keys(tmp_path):
    """The configuration of a release may not say which options its denoiser has; its tensors do."""
    for gates in (True, False):
        root = write_iscene(tmp_path / str(gates), gates=gates)
        part = open_release(release("trellis-iscene"), root).parts["structure-flow"]
        network = part.build()
        assert (
            network.config.key_gate,
            network.config.key_bias,
            network.config.context_blocks,
        ) == (gates, gates, 2)


def test_pickles_are_refused_with_the_way_out(tmp_path):
    root = write_iscene(tmp_path, pickles=True)
    with pytest.raises(CheckpointError, match=r"denoiser\.pt is a pickle.*maquette models convert"):
        made(root, tmp_path, "trellis-iscene")


def test_a_missing_base_is_named(root, tmp_path):
    (tmp_path / "IScene").symlink_to(root / "IScene")
    with pytest.raises(CheckpointError, match="microsoft/TRELLIS-image-large should stand in"):
        made(tmp_path, tmp_path, "trellis-iscene")
