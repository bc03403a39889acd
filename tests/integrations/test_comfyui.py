"""The nodes by ComfyUI's contract, without ComfyUI."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.masks import read_masks
from maquette.options import MESH_FORMATS
from maquette.pipeline import METHODS
from tests.tiny import write_photo

pytestmark = pytest.mark.usefixtures("coarse_fields")

PACKAGE = Path(__file__).parents[2] / "integrations" / "comfyui" / "__init__.py"


@pytest.fixture(scope="module")
def nodes():
    spec = importlib.util.spec_from_file_location("maquette_comfyui", PACKAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_node_keeps_the_contract(nodes):
    assert set(nodes.NODE_CLASS_MAPPINGS) == set(nodes.NODE_DISPLAY_NAME_MAPPINGS)
    for node in nodes.NODE_CLASS_MAPPINGS.values():
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional", "hidden"} and inputs["required"]
        for kind, *rest in [*inputs["required"].values(), *inputs.get("optional", {}).values()]:
            assert isinstance(kind, (str, list)) and len(rest) <= 1
            assert all(isinstance(options, dict) for options in rest)
        assert callable(getattr(node(), node.FUNCTION)) and isinstance(node.CATEGORY, str)
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        json.dumps(inputs)  # ComfyUI sends it to its page
    assert set(nodes.METHODS) == set(METHODS)
    assert set(nodes.FORMATS) == {*MESH_FORMATS, "json"}


def test_a_photo_and_masks_become_a_file(nodes, tiny_weights, tmp_path, monkeypatch):
    photo, masks = write_photo(tmp_path)
    image = torch.from_numpy(np.asarray(Image.open(photo).convert("RGB")) / 255.0)[None].float()
    planes = [torch.from_numpy(m.mask).float() for m in read_masks(masks)]
    batch = torch.stack([*planes, torch.zeros_like(planes[0])])
    make = nodes.MaquetteScene()
    scene, report = make.make(image, batch, names="cup\ncup", weights=str(tiny_weights))
    assert [i.node_name for i in scene.instances] == ["cup", "cup_2"] and "cup_2" in report
    folders = type(sys)("folder_paths")
    folders.get_output_directory = lambda: str(tmp_path / "output")
    monkeypatch.setitem(sys.modules, "folder_paths", folders)
    save = nodes.MaquetteSave()
    first, second = (save.save(scene, "rooms/a", "glb") for _ in range(2))
    path = Path(first["result"][0])
    assert (
        path == tmp_path / "output" / "rooms" / "a_00001.glb" and path.read_bytes()[:4] == b"glTF"
    )
    assert second["ui"]["3d"][0] == {
        "filename": "a_00002.glb",
        "subfolder": "rooms",
        "type": "output",
    }
    with pytest.raises(ValueError, match="leads out"):
        save.save(scene, "../outside", "glb")
