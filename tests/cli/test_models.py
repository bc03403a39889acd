"""``maquette models``: what people read and the exit codes they get."""

import builtins
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from maquette.checkpoints.catalogue import RELEASES, ReleasedFile
from maquette.cli import main
from tests.checkpoints.releases import BLOB, FakeHub, release, sha256

GOLDEN = Path(__file__).parents[1] / "golden" / "dinov2_reg"
FILES = {"config.json": b"{}", "model.safetensors": BLOB}
WANTED = release(ReleasedFile("config.json", about=2), ReleasedFile("model.safetensors", len(BLOB), sha256(BLOB)))


@pytest.fixture
def hub(monkeypatch):
    """One release on a hub in memory."""
    fake = FakeHub(FILES)
    monkeypatch.setattr("maquette.checkpoints.catalogue.release", lambda name: WANTED)
    monkeypatch.setattr("maquette.checkpoints.hub.HuggingFace", lambda **options: fake)
    return fake


def test_the_list_says_licence_and_limits_of_each(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(r.name in out and r.licence in out and r.limits in out for r in RELEASES)
    assert main(["models", "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)] == [r.name for r in RELEASES]


def test_listing_loads_nothing_heavy(monkeypatch, capsys):
    original = builtins.__import__

    def light(name, *args, **kwargs):
        assert name.partition(".")[0] not in {"torch", "numpy", "huggingface_hub"}
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", light)
    assert main(["models"]) == 0


def test_fetch_says_size_and_licence_first_and_then_brings_it(hub, tmp_path, capsys):
    argv = ["models", "fetch", "model", "--to", str(tmp_path), "--yes"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.index("licence: MIT") < out.index("is complete") and len(hub.downloads) == 2
    assert main(argv) == 0 and len(hub.downloads) == 2
    assert main(["models", "check", "model", "--weights", str(tmp_path)]) == 0
    (tmp_path / "model" / "model.safetensors").write_bytes(BLOB[::-1])
    assert main(["models", "check", "model", "--weights", str(tmp_path)]) == 1


def test_fetch_does_nothing_without_a_yes(hub, tmp_path, capsys, monkeypatch):
    assert main(["models", "fetch", "model", "--to", str(tmp_path)]) == 2
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda question: "n")
    assert main(["models", "fetch", "model", "--to", str(tmp_path)]) == 1
    assert hub.downloads == []


def test_verify_prints_errors_and_fails_beyond_the_tolerance(tmp_path, capsys):
    assert main(["models", "verify", str(GOLDEN)]) == 0
    assert "x_prenorm" in capsys.readouterr().out
    wrong = tmp_path / "wrong"
    shutil.copytree(GOLDEN, wrong)
    tensors = load_file(wrong / "model.safetensors")
    save_file(tensors | {"norm.bias": tensors["norm.bias"], "cls_token": tensors["cls_token"] + 1}, wrong / "model.safetensors")
    assert main(["models", "verify", str(wrong)]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["models", "verify", str(GOLDEN), str(wrong), str(tmp_path)]) == 1
    assert "1 of 3 folders pass" in capsys.readouterr().out
    assert main(["models", "verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_convert_takes_tensors_out_of_a_pickle(tmp_path, capsys):
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    assert main(["models", "convert", str(tmp_path / "x.pt")]) == 0
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], torch.ones(2))
    assert main(["models", "convert", str(tmp_path / "x.pt")]) == 1  # would overwrite
    assert "--overwrite" in capsys.readouterr().err


def test_an_unknown_model_lists_the_known_ones(capsys):
    assert main(["models", "fetch", "dall-e"]) == 2
    assert "trellis-iscene" in capsys.readouterr().err
