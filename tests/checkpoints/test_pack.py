import json
import re
import shutil

import pytest

from maquette.checkpoints.embedded import FILES, load_models
from maquette.checkpoints.pack import pack
from maquette.errors import CheckpointError, OutputError


def test_a_packed_folder_has_the_layout_and_is_loaded_back(tiny_weights, tmp_path):
    models = load_models(tiny_weights)
    folder = pack(models, tmp_path / "hub", "tiny")
    kinds = [kind for kind in FILES if models.has(kind)]
    assert {path.name for path in folder.iterdir()} == {
        *(FILES[kind] for kind in kinds),
        "README.md",
        "config.json",
        "manifest.json",
    }
    card = (folder / "README.md").read_text()
    head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1]
    assert "license: apache-2.0" in head and "pipeline_tag: image-to-3d" in head
    assert all(FILES[kind] in card for kind in kinds) and "{" not in card
    networks = json.loads((folder / "config.json").read_text())["networks"]
    again = load_models(folder)
    for kind in kinds:
        assert again[kind].sha256 == models[kind].sha256 == networks[kind]["sha256"]
        assert networks[kind]["kind"] == kind and networks[kind]["config"]


def test_a_file_that_was_changed_is_noticed(tiny_weights, tmp_path):
    folder = pack(load_models(tiny_weights), tmp_path / "hub", "tiny")
    path = folder / FILES["volume-vae"]
    shutil.copyfile(folder / FILES["generator"], path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_models(folder)["volume-vae"]


def test_nothing_is_packed_of_nothing_nor_over_something(tiny_weights, tmp_path):
    with pytest.raises(CheckpointError, match="holds no weights"):
        pack(load_models(tmp_path), tmp_path / "hub", "x")
    (tmp_path / "hub").mkdir()
    with pytest.raises(OutputError, match="overwrite"):
        pack(load_models(tiny_weights), tmp_path / "hub", "x")
