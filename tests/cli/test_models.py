"""``maquette models``: what people read and the exit codes they get."""

import builtins
import json
import shutil
from pathlib import Path

import pytest
import torch
import trimesh
from safetensors.torch import load_file, save_file

from maquette.checkpoints.catalogue import RELEASES, ReleasedFile
from maquette.cli import main
from tests.checkpoints.releases import BLOB, FakeHub, release, sha256
from tests.checkpoints.tiny_trellis import write_trellis
from tests.tiny import write_photo

GOLDEN = Path(__file__).parents[1] / "golden" / "dinov2_reg"
FILES = {"config.json": b"{}", "model.safetensors": BLOB}
WANTED = release(
    ReleasedFile("config.json", about=2), ReleasedFile("model.safetensors", len(BLOB), sha256(BLOB))
)


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
    save_file(
        tensors | {"norm.bias": tensors["norm.bias"], "cls_token": tensors["cls_token"] + 1},
        wrong / "model.safetensors",
    )
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


def test_plan_prints_the_estimates_without_any_weights(capsys):
    assert (
        main(["models", "plan", "trellis-iscene", "--memory", "8GB", "--device", "cuda", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["peak_mb"] <= 8192 and set(found["stages_mb"]) == {
        "image",
        "structure",
        "latents",
        "mesh",
    }
    assert main(["models", "plan", "midi-3d", "--memory", "1GB", "--device", "cuda"]) == 2
    assert "needs about" in capsys.readouterr().err
    assert main(["models", "plan", "midi-3d", "--memory", "lots", "--device", "cuda"]) == 2


def test_generate_with_a_published_model_writes_what_the_embedded_one_writes(tmp_path, capsys):
    root = write_trellis(tmp_path / "weights")
    photo, masks = write_photo(tmp_path / "in")
    argv = [
        "generate",
        str(photo),
        "--masks",
        str(masks),
        "-o",
        str(tmp_path / "out"),
        "--model",
        "trellis-large",
        "--weights",
        str(root),
    ]
    assert main([*argv, "--steps", "1", "--device", "cpu"]) == 0
    before, said, after = capsys.readouterr().out.partition("scene.glb")
    assert (
        said
        and "memory plan: " in before
        and "peak MB, estimated: " in before
        and "estimated (measured)" in after
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scene.glb",
        "scene.json",
        "scene_files",
        "preview.png",
    }
    named = trimesh.load(tmp_path / "out" / "scene.glb")
    assert {"instance_1", "instance_2"} <= set(named.graph.nodes)
    assert (
        main([*argv, "--steps", "1", "--device", "cpu", "--memory", "3GB"]) == 0
    )  # memory makes no result outdated
    assert "already finished" in capsys.readouterr().out


def test_memory_without_a_published_model_is_refused(tmp_path, capsys):
    assert (
        main(
            [
                "generate",
                "photo.png",
                "--masks",
                "masks.png",
                "-o",
                str(tmp_path),
                "--memory",
                "8GB",
            ]
        )
        == 2
    )
    assert "--model NAME" in capsys.readouterr().err


def test_an_unknown_published_model_lists_the_known_ones(tmp_path, capsys):
    photo, masks = write_photo(tmp_path / "in")
    assert (
        main(
            [
                "generate",
                str(photo),
                "--masks",
                str(masks),
                "-o",
                str(tmp_path / "out"),
                "--model",
                "dall-e",
            ]
        )
        == 2
    )
    assert "trellis-iscene" in capsys.readouterr().err


def test_an_unknown_model_lists_the_known_ones(capsys):
    assert main(["models", "fetch", "dall-e"]) == 2
    assert "trellis-iscene" in capsys.readouterr().err
