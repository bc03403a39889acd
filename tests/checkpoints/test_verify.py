"""Every golden folder of the test suite, and what verification says of networks that are wrong."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from maquette.checkpoints.verify import model_of, verify
from maquette.errors import CheckpointError, InputError

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = sorted(path.parent for path in GOLDEN.glob("*/config.json"))
SMALL = GOLDEN / "dinov2_reg"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_original_outputs_come_out(folder):
    found = verify(folder)
    assert found.comparisons and [c for c in found.comparisons if not c.passed] == []


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(SMALL, tmp_path / "golden"))


def test_a_changed_weight_is_seen(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["blocks.1.norm1.bias"] = tensors["blocks.1.norm1.bias"] + 0.01
    save_file(tensors, copy / "model.safetensors")
    found = verify(copy)
    assert not found.passed and found.worst.error > 1e-4


def test_an_output_that_is_not_computed_does_not_pass(copy):
    record = dict(np.load(copy / "io.npz"))
    np.savez(copy / "io.npz", **record, unheard_of=np.zeros(3, np.float32))
    found = verify(copy)
    assert [c.output for c in found.comparisons if not c.passed] == [
        "unheard_of"
    ] and found.worst.output == "unheard_of"


def test_an_output_of_another_shape_does_not_pass(copy):
    record = dict(np.load(copy / "io.npz"))
    record["x_prenorm"] = record["x_prenorm"][:, :-1]
    np.savez(copy / "io.npz", **record)
    assert [c.output for c in verify(copy).comparisons if not c.passed] == ["x_prenorm"]


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_named(copy, change):
    tensors = load_file(copy / "model.safetensors")
    if change == "missing":
        del tensors["norm.weight"]
    elif change == "extra":
        tensors["norm.wait"] = tensors["norm.weight"].clone()
    else:
        tensors["norm.weight"] = tensors["norm.weight"][:-1].clone()
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*norm\.w"):
        verify(copy)


def test_an_unknown_class_lists_the_known_ones(copy):
    (copy / "config.json").write_text(json.dumps({"class_": "NeRF"}))
    with pytest.raises(CheckpointError, match=r"'NeRF'; known are .*TripoSGDiTModel"):
        verify(copy)


def test_a_folder_without_a_record_says_what_is_expected(tmp_path):
    with pytest.raises(InputError, match=r"io\.npz"):
        verify(tmp_path)


def test_missing_inputs_are_named(copy):
    record = dict(np.load(copy / "io.npz"))
    del record["image"]
    np.savez(copy / "io.npz", **record)
    with pytest.raises(InputError, match="lacks the inputs image"):
        verify(copy)


def test_a_damaged_record_is_named(copy):
    (copy / "io.npz").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match=r"io\.npz: not a sound"):
        verify(copy)


def test_both_spellings_of_a_class_are_one_model():
    names = {
        model_of({key: "TripoSGVAEModel"}, "-").name for key in ("class_", "name", "_class_name")
    }
    assert names == {"triposg-vae"}


def test_an_encrypted_record_is_refused(copy):
    content = bytearray((copy / "io.npz").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + flags] |= 1
    (copy / "io.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match="encrypted"):
        verify(copy)


def change_arguments(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config["args"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("size", [10**9, -1, "wide", None, [], {}])
def test_a_configuration_that_makes_no_network_is_refused_before_it_takes_memory(copy, size):
    change_arguments(copy, embed_dim=size)
    with pytest.raises(CheckpointError, match="golden") as refusal:
        verify(copy)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("depth", [3000, 65536, 2**40, 10**400])
def test_a_configuration_that_asks_for_endless_work_is_refused_at_once(copy, depth):
    change_arguments(copy, depth=depth)
    start = time.process_time()
    with pytest.raises(CheckpointError, match="damaged") as refusal:
        verify(copy)
    assert "\n" not in str(refusal.value) and time.process_time() - start < 20


def test_a_procedure_that_asks_for_endless_steps_is_refused(tmp_path):
    folder = shutil.copytree(GOLDEN / "triposg_scheduler", tmp_path / "endless")
    config = json.loads((folder / "config.json").read_text())
    config["trace"]["steps"] = 10**6
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="steps = 1000000, more than 1000"):
        verify(folder)


def test_inputs_that_do_not_suit_the_network_are_refused(copy):
    record = dict(np.load(copy / "io.npz"))
    record["image"] = record["image"][0, 0]
    np.savez(copy / "io.npz", **record)
    with pytest.raises(InputError, match="cannot be run"):
        verify(copy)
