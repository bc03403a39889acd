import numpy as np
import pytest

from maquette.errors import CheckpointError
from maquette.framing.crops import Framing
from maquette.methods.midi3d import uncut
from maquette.types import InstanceMask, SceneInput
from tests.checkpoints.tiny_releases import write_midi
from tests.methods.released import assert_is_a_scene, made, same


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_midi(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr("maquette.methods.published.CELLS", 32)


def test_from_files_to_a_scene(root, tmp_path):
    scene = made(root, tmp_path, "midi-3d")
    assert_is_a_scene(scene)
    assert scene.provenance["method"] == "midi-3d" and set(
        scene.provenance["memory"]["measured_mb"]
    ) == {"image", "flow", "mesh"}
    for (
        instance
    ) in scene.instances:  # the decoder has no colour: every object got its own from the photo
        assert np.ptp(instance.mesh.visual.vertex_colors[:, :3].mean(0)) > 5


def test_the_same_seed_gives_the_same_scene_and_another_another(root, tmp_path):
    first = made(root, tmp_path, "midi-3d", seed=3)
    assert same(first, made(root, tmp_path, "midi-3d", seed=3)) and not same(
        first, made(root, tmp_path, "midi-3d", seed=4)
    )


def test_shards_are_the_same_as_one_file(root, tmp_path):
    write_midi(tmp_path / "sharded", shards=True)
    assert same(made(root, tmp_path, "midi-3d"), made(tmp_path / "sharded", tmp_path, "midi-3d"))


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_weights_that_cannot_be_used_are_named(tmp_path, damage):
    root = write_midi(tmp_path)
    file = root / "MIDI-3D" / "vae" / "diffusion_pytorch_model.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-8])
    else:
        file.write_bytes((root / "MIDI-3D" / "image_encoder_2" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="vae"):
        made(root, tmp_path, "midi-3d")


def test_a_model_that_is_not_there_names_the_command(tmp_path):
    with pytest.raises(CheckpointError, match="maquette models fetch midi-3d"):
        made(tmp_path, tmp_path, "midi-3d")


def photo(height, width, box):
    mask = np.zeros((height, width), bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    return SceneInput(np.zeros((height, width, 3), np.uint8), (InstanceMask(1, mask),))


FRAMING = Framing(256, (224, 224), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("scene", "padded"),
    [
        (photo(100, 100, (10, 90, 10, 90)), False),  # inside the centre crop: exactly as released
        (photo(100, 200, (20, 80, 60, 140)), False),
        (photo(100, 200, (20, 80, 0, 40)), True),  # the crop would cut it off
        (photo(100, 100, (0, 50, 20, 80)), True),
    ],
)
def test_the_picture_is_padded_only_when_the_crop_would_cut_an_object(scene, padded):
    image, masks = uncut(scene, FRAMING)
    assert (image.shape[0] == image.shape[1] and image.shape != scene.image.shape) == padded
    assert masks.sum() == scene.masks[0].mask.sum()
