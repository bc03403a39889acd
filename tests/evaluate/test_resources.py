"""Parameters and training are what the files of a method's weights say, counted once a file."""

import torch

from maquette.checkpoints.embedded import FILES, WEIGHTS, load_models
from maquette.checkpoints.store import load_model, save_model
from maquette.evaluate.contestants import contestants
from maquette.evaluate.resources import megabytes, minutes, networks_of, parameters, read_network
from maquette.models.generator import Generator
from tests.tiny import GENERATOR, save_tiny_weights


def count(model):
    return sum(tensor.numel() for tensor in model.state_dict().values())


def test_parameters_are_counted_and_trainings_added_up(tmp_path):
    save_tiny_weights(tmp_path)
    before = [{"what": "lift", "steps": 100, "minutes": 3}, {"steps": 10, "samples": 5}]
    model = Generator(GENERATOR)
    said = {"step": 7, "seconds": 90.0, "device": "cpu", "processes": 1, "trained_before": before}
    save_model(tmp_path / FILES["generator"], model, said)
    network = read_network(load_models(tmp_path), "generator")
    assert (
        network.parameters == count(model)
        and network.bytes == (tmp_path / FILES["generator"]).stat().st_size
    )
    assert (network.steps, network.minutes, network.processor) == (117, 4.5, "1 process on cpu")
    for own, name in (
        ({"processes": 2}, "2 processes on cpu"),
        ({"hardware": "an abacus"}, "an abacus"),
    ):
        save_model(tmp_path / FILES["generator"], model, said | own)
        assert read_network(load_models(tmp_path), "generator").processor == name


def test_a_method_is_all_its_networks_and_a_difference_counts_what_differs(tmp_path):
    save_tiny_weights(tmp_path)
    models = load_models(tmp_path)
    midi, iscene, boxes = contestants(["midi", "iscene", "boxes"], {"tiny": str(tmp_path)}, {})
    networks = networks_of(midi)
    assert [n.kind for n in networks] == ["image-encoder", "midi", "generator", "volume-vae"]
    whole = parameters(networks_of(iscene))
    difference = count(models["midi"].model) - count(
        models["generator"].model
    )  # before training only the scene's mark is new
    assert torch.isclose(torch.tensor(parameters(networks) - whole), torch.tensor(difference / 1e6))
    assert megabytes(networks) > megabytes(networks_of(iscene)) and minutes(networks) == 0
    assert networks_of(boxes) == []
    kinds = [
        n.kind for n in networks_of(contestants(["comboverse"], {"tiny": str(tmp_path)}, {})[0])
    ]
    assert len(set(kinds)) == len(kinds) and {"image-encoder", "generator", "text-to-image"} <= set(
        kinds
    )


def test_the_folder_of_a_run_counts_for_its_kind_only(tmp_path, monkeypatch):
    from maquette.checkpoints import embedded

    package = save_tiny_weights(tmp_path / "package")
    monkeypatch.setattr(embedded, "embedded_folder", lambda: package)
    save_model(tmp_path / "run" / WEIGHTS, Generator(GENERATOR), {"step": 5})
    (variant,) = contestants(["iscene"], {"variant": str(tmp_path / "run")}, {})
    steps = {n.kind: n.steps for n in networks_of(variant)}
    assert steps == {"image-encoder": 0, "generator": 5, "volume-vae": 0}
    assert load_model(tmp_path / "run" / WEIGHTS).sha256 == networks_of(variant)[1].sha256


def test_files_that_are_missing_are_left_out(tmp_path):
    save_tiny_weights(tmp_path)
    (tmp_path / FILES["midi"]).unlink()
    (midi,) = contestants(["midi"], {"tiny": str(tmp_path)}, {})
    assert [n.kind for n in networks_of(midi)] == ["image-encoder", "generator", "volume-vae"]
