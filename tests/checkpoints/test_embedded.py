"""The weights of the package and folders that stand in for them: each file is proved when it is
asked for, and not before.
"""

import hashlib
import json
import shutil

import pytest
import torch

from maquette.checkpoints.embedded import FILES, WEIGHTS, embedded_folder, load_models
from maquette.errors import CheckpointError
from tests.tiny import save_tiny_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_weights(tmp_path_factory.mktemp("weights"))


def test_every_file_of_the_package_is_the_one_in_its_manifest():
    sums = json.loads((embedded_folder() / "manifest.json").read_text())
    assert (
        set(sums)
        == {path.name for path in embedded_folder().glob("*.safetensors")}
        == set(FILES.values())
    )
    for name, wanted in sums.items():
        assert hashlib.sha256((embedded_folder() / name).read_bytes()).hexdigest() == wanted


def test_a_folder_is_read_when_it_is_asked_and_only_once(folder):
    models = load_models(folder)
    assert not models._loaded and models["generator"] is models["generator"]
    assert set(models._loaded) == {"generator"} and models.name == folder.name
    assert models.provenance(["generator"]) == {
        "name": folder.name,
        "sha256": {
            "generator": hashlib.sha256((folder / FILES["generator"]).read_bytes()).hexdigest()
        },
    }


def test_kinds_that_are_named_are_read_at_once(folder, tmp_path):
    (tmp_path / FILES["generator"]).write_bytes((folder / FILES["generator"]).read_bytes()[:-9])
    assert load_models(tmp_path).has("generator") and not load_models(tmp_path).has("volume-vae")
    with pytest.raises(CheckpointError, match=FILES["generator"]):
        load_models(tmp_path, ["generator"])
    with pytest.raises(CheckpointError, match=FILES["volume-vae"]):
        load_models(tmp_path, ["volume-vae"])


@pytest.mark.parametrize("kind, network", [("coherent", "coherent"), ("generator", "iscene")])
def test_a_kind_without_weights_names_the_way_out(tmp_path, kind, network):
    with pytest.raises(
        CheckpointError,
        match=rf"{kind}\.safetensors: no such file; train it with 'maquette train {network} .* "
        r"--weights",
    ):
        load_models(tmp_path)[kind]


def test_a_file_that_is_not_the_one_of_the_manifest_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "w")
    (tmp_path / "w" / "manifest.json").write_text(json.dumps({FILES["generator"]: "0" * 64}))
    models = load_models(tmp_path / "w")
    assert isinstance(models["volume-vae"].model, torch.nn.Module)  # not listed, so not summed
    with pytest.raises(CheckpointError, match=r"sha256|sum"):
        models["generator"]
    (tmp_path / "w" / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        load_models(tmp_path / "w")


def test_a_run_of_train_takes_the_place_of_its_kind(folder, tmp_path):
    shutil.copy(folder / FILES["image-encoder"], tmp_path / WEIGHTS)
    models = load_models(tmp_path)
    assert models.run == "image-encoder" and models.file("image-encoder") == tmp_path / WEIGHTS
    assert models.file("generator") == embedded_folder() / FILES["generator"]
    shutil.copy(folder / FILES["image-encoder"], tmp_path / FILES["image-encoder"])
    with pytest.raises(CheckpointError, match="keep one of them"):
        load_models(tmp_path)
