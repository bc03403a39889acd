"""Weights files: exact round trips, and precise words when something is wrong."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from maquette.checkpoints import embedded
from maquette.checkpoints.embedded import FILES, WEIGHTS, load_models
from maquette.checkpoints.store import kind_of, load_model, save_model
from maquette.errors import CheckpointError
from maquette.models.generator import Generator
from maquette.models.volume_vae import VolumeVAE
from tests.tiny import GENERATOR, VAE, save_tiny_weights, tiny_midi


@pytest.mark.parametrize("half", [True, False])
def test_round_trip_keeps_config_metadata_and_weights(tmp_path, half):
    model = Generator(GENERATOR)
    save_model(tmp_path / "g.safetensors", model, {"steps": 7}, half=half)
    loaded = load_model(tmp_path / "g.safetensors", "generator")
    assert (
        loaded.model.config == model.config
        and loaded.metadata == {"steps": 7}
        and not loaded.model.training
    )
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(
            loaded.model.state_dict()[name],
            tensor,
            atol=0 if not half else 1e-3,
            rtol=0 if not half else 1e-3,
        )


def test_sha256_is_of_the_file_and_is_checked(tmp_path):
    save_model(tmp_path / "v.safetensors", VolumeVAE(VAE))
    digest = load_model(tmp_path / "v.safetensors").sha256
    assert load_model(tmp_path / "v.safetensors", sha256=digest).sha256 == digest
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "v.safetensors", sha256="0" * 64)


def test_wrong_files_are_named(tmp_path):
    path = save_model(tmp_path / "v.safetensors", VolumeVAE(VAE))
    with pytest.raises(CheckpointError, match="expected generator"):
        load_model(path, "generator")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_model(tmp_path / "missing.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a complete safetensors"):
        load_model(path)


def test_missing_extra_and_misshapen_tensors_are_named(tmp_path):
    path = save_model(tmp_path / "v.safetensors", VolumeVAE(VAE))
    tensors = load_file(path)
    tensors.pop("latent_mean")
    tensors["stranger"] = torch.zeros(1)
    header = {"kind": "volume-vae", "config": json.dumps(VAE.__dict__), "metadata": "{}"}
    save_file(tensors, path, header)
    with pytest.raises(CheckpointError, match=r"latent_mean.*stranger"):
        load_model(path)


def test_unknown_configuration_keys_are_refused(tmp_path):
    path = save_model(tmp_path / "v.safetensors", VolumeVAE(VAE))
    save_file(
        load_file(path),
        path,
        {
            "kind": "volume-vae",
            "config": json.dumps({**VAE.__dict__, "colour": 3}),
            "metadata": "{}",
        },
    )
    with pytest.raises(CheckpointError, match="unknown keys"):
        load_model(path)


def test_another_painter_takes_the_place_of_the_text_to_image_network(tmp_path):
    models = load_models(save_tiny_weights(tmp_path))
    (tmp_path / FILES["text-to-image"]).unlink()
    folder = tmp_path / "pipeline"
    painter = object()
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    other = models.with_painter(painter, folder)
    assert (
        other.has("text-to-image")
        and not models.has("text-to-image")
        and other.has("generator")
        and other.folder == models.folder
    )
    assert other.models(["text-to-image", "volume-vae"])[0] is painter
    first = other.provenance(["text-to-image"])["sha256"]
    (folder / "model_index.json").write_text("{ }")
    assert models.with_painter(painter, folder).provenance(["text-to-image"])["sha256"] != first


def test_a_model_set_reads_a_file_when_it_is_asked_for_it(tmp_path):
    models = load_models(save_tiny_weights(tmp_path))
    (tmp_path / FILES["generator"]).unlink()
    assert models["volume-vae"] is models["volume-vae"] and set(
        models.provenance(["volume-vae"])["sha256"]
    ) == {"volume-vae"}
    with pytest.raises(CheckpointError, match="generator"):
        models["generator"]
    with pytest.raises(CheckpointError, match="generator"):
        load_models(tmp_path, ["volume-vae", "generator"])


def test_a_difference_is_small_and_gives_the_whole_model_back(tmp_path):
    base = load_model(save_tiny_weights(tmp_path) / FILES["generator"])
    model = tiny_midi(base.model)
    block = model.base.flow.blocks[1].self_attn.to_out
    block.weight.data.normal_()
    path = save_model(tmp_path / "difference.safetensors", model, base=base)
    assert set(load_file(path)) == {"base.flow.blocks.1.self_attn.to_out.weight", "scene_token"}
    loaded = load_model(path, base=base).model
    whole = load_model(save_model(tmp_path / "whole.safetensors", model)).model
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), whole.state_dict().values())
    )
    other = load_model(save_model(tmp_path / "other.safetensors", Generator(GENERATOR)))
    for wrong in (None, other):
        with pytest.raises(CheckpointError, match="difference to the generator"):
            load_model(path, base=wrong)


def test_networks_that_were_trained_together_are_used_together(tmp_path):
    models = load_models(save_tiny_weights(tmp_path))
    vae = models["volume-vae"]
    shapes = models["shapes"].model
    save_model(tmp_path / FILES["shapes"], shapes, {"needs": {"volume-vae": vae.sha256}})
    assert load_models(tmp_path)["shapes"].metadata["needs"] == {"volume-vae": vae.sha256}
    vae.model.latent_mean += 1
    save_model(tmp_path / FILES["volume-vae"], vae.model)
    with pytest.raises(CheckpointError, match="was trained with the volume-vae"):
        load_models(tmp_path)["shapes"]


def test_a_run_takes_the_place_of_its_kind_among_the_embedded_weights(tmp_path, monkeypatch):
    package = save_tiny_weights(tmp_path / "package")
    run = tmp_path / "run"
    monkeypatch.setattr(embedded, "embedded_folder", lambda: package)
    base = load_model(package / FILES["generator"])
    save_model(
        run / WEIGHTS,
        tiny_midi(base.model),
        {"needs": {"volume-vae": load_model(package / FILES["volume-vae"]).sha256}},
        base=base,
    )
    models = load_models(run, ["midi", "generator", "volume-vae", "image-encoder"])
    assert models.name == "run" and models["generator"].sha256 == base.sha256
    assert (
        models.file("midi") == run / WEIGHTS
        and models.file("generator") == package / FILES["generator"]
    )
    save_model(package / FILES["generator"], Generator(GENERATOR))  # another release
    with pytest.raises(CheckpointError, match="difference to the generator"):
        load_models(run, ["midi"])
    shutil.copy(package / FILES["midi"], run / FILES["midi"])
    with pytest.raises(CheckpointError, match="keep one"):
        load_models(run)


def test_a_run_beside_embedded_weights_of_other_needs_is_refused(tmp_path, monkeypatch):
    package = save_tiny_weights(tmp_path / "package")
    monkeypatch.setattr(embedded, "embedded_folder", lambda: package)
    save_model(tmp_path / WEIGHTS, Generator(GENERATOR), {"needs": {"volume-vae": 64 * "0"}})
    assert kind_of(tmp_path / WEIGHTS) == "generator"
    with pytest.raises(CheckpointError, match="was trained with the volume-vae"):
        load_models(tmp_path, ["generator"])


def with_configuration(path, text):
    """A copy of a tiny VAE whose header has another configuration."""
    save_model(path, VolumeVAE(VAE))
    header = {"kind": "volume-vae", "config": text, "metadata": "{}"}
    save_file(load_file(path), path, metadata=header)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        "null",
        '{"resolution": 1e999}',
        '{"latent_channels": 1000000000000}',
        '{"latent_channels": -1}',
        '{"encoder_channels": ["wide"]}',
        '{"decoder_channels": 7}',
        '{"decoder_blocks": null}',
    ],
)
def test_nonsense_in_a_configuration_is_refused(tmp_path, text):
    path = with_configuration(tmp_path / "v.safetensors", text)
    with pytest.raises(CheckpointError, match=r"v\.safetensors") as refusal:
        load_model(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000
