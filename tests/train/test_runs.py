"""Runs of every network on a tiny library: losses fall, held-out examination beats the untrained
network, ablations are switches.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.efficientnet import trunk_from_release
from maquette.checkpoints.store import load_model, save_model
from maquette.data.library import build_library
from maquette.errors import InputError
from maquette.models.lifting import IS_SCENE
from maquette.options.training import LoopConfig, RunOptions
from maquette.train.loop import Run
from maquette.train.runs import build_task, data_record, network_configs
from tests.checkpoints.test_efficientnet import release
from tests.train.worlds import Few, solids


@pytest.fixture(scope="module")
def vae(tmp_path_factory, library):
    """A volume VAE trained for some seconds, and the proof that it learnt."""
    folder = tmp_path_factory.mktemp("vae")
    task = build_task(RunOptions("volume-vae", library, preset="tiny"))
    task.dataset = Few(task.dataset, 40)
    before = task.examine(task.model.eval())[0]
    run = Run(
        task,
        folder,
        LoopConfig(steps=50, batch=4, learning_rate=3e-3, warmup=5, workers=0, precision="fp32"),
    )
    run.train()
    after = task.examine(run.average.eval())[0]
    assert after["shape"] < 0.75 * before["shape"]
    return str(folder / "weights.safetensors")


def short_run(options, folder, steps, rate=2e-3, batch=2):
    task = build_task(options)
    task.dataset = Few(task.dataset, 2 * batch)
    run = Run(
        task,
        folder,
        LoopConfig(
            steps=steps,
            batch=batch,
            learning_rate=rate,
            warmup=3,
            workers=0,
            log_every=1,
            precision="fp32",
        ),
    )
    first = {k: v.clone() for k, v in run.model.state_dict().items()}
    run.train()
    return task, run, first


def test_latents_are_normalised_when_the_vae_is_saved(vae):
    model = load_model(vae, "volume-vae").model
    assert float(model.latent_std.min()) > 0 and not torch.equal(
        model.latent_std, torch.ones_like(model.latent_std)
    )


def test_image_encoder_learns_depth(library, tmp_path):
    options = RunOptions("image-encoder", library, preset="tiny")
    _, run, _ = short_run(options, tmp_path, 10, rate=4e-3)
    losses = [row["loss"] for row in run.rows if "loss" in row]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_an_image_encoder_looks_through_a_backbone_and_goes_on_with_it(library, tmp_path):
    torch.save(release(), tmp_path / "lite0.pth")
    options = RunOptions(
        "image-encoder", library, preset="tiny", backbone=str(tmp_path / "lite0.pth")
    )
    task = build_task(options)
    released = trunk_from_release(release()).state_dict()
    for name, tensor in task.model.backbone.trunk.state_dict().items():
        torch.testing.assert_close(tensor, released[name], rtol=0, atol=0)
    short_run(options, tmp_path / "run", 2)
    weights = str(tmp_path / "run" / "weights.safetensors")
    again = build_task(replace(options, backbone=None, init=weights))
    assert again.model.config.backbone
    with pytest.raises(InputError, match="for the image-encoder"):
        RunOptions("lift", library, backbone="lite0.pth")


def test_a_segmenter_keeps_the_trunk_it_begins_with_until_it_goes_on(library, tmp_path):
    torch.save(release(), tmp_path / "lite0.pth")
    options = RunOptions("segmenter", library, preset="tiny", backbone=str(tmp_path / "lite0.pth"))
    _, run, first = short_run(options, tmp_path / "run", 4)
    released = trunk_from_release(release()).state_dict()
    after = run.model.state_dict()
    trunk = {name for name in after if name.startswith("trunk.")}
    for name in trunk:
        torch.testing.assert_close(
            after[name], released[name.removeprefix("trunk.")], rtol=0, atol=0
        )
    moved = [name for name in set(after) - trunk if not torch.equal(after[name], first[name])]
    assert len(moved) > 0.9 * len(set(after) - trunk)
    assert np.isfinite([row["loss"] for row in run.rows if "loss" in row]).all()
    weights = str(tmp_path / "run" / "weights.safetensors")
    again = build_task(replace(options, backbone=None, init=weights))
    assert all(p.requires_grad for p in again.model.parameters())


def test_lift_then_instance_then_scene(library, vae, tmp_path):
    _, run, _ = short_run(
        RunOptions("lift", library, preset="tiny", vae=vae), tmp_path / "lift", 9, rate=5e-3
    )
    guesses = [row["guess"] for row in run.rows if "guess" in row]
    assert np.mean(guesses[-3:]) < 0.9 * np.mean(guesses[:3])
    lifted = str(tmp_path / "lift" / "weights.safetensors")
    _, run, first = short_run(
        RunOptions("iscene", library, preset="tiny", vae=vae, init=lifted), tmp_path / "iscene", 3
    )
    saved = load_model(lifted).model.state_dict()
    assert all(
        torch.allclose(first[name], saved[name]) for name in saved
    )  # it starts from the lift's weights
    assert np.isfinite([row["flow"] for row in run.rows if "flow" in row]).all()
    held_out = {name for row in run.rows for name in row if name.startswith("held_out_iou")}
    assert {
        "held_out_iou_scene_guess",
        "held_out_iou_instance_eight",
        "held_out_iou_zoom_one",
    } <= held_out


def test_a_completion_learns_alone_and_goes_on(library, tiny_weights, vae, tmp_path):
    start = str(tiny_weights / "generator.safetensors")
    options = RunOptions("completion", library, preset="tiny", vae=vae, init=start)
    _, run, first = short_run(options, tmp_path / "run", 6, rate=5e-3)
    after = run.model.state_dict()
    moved = {name for name in after if not torch.equal(after[name], first[name])}
    learnt = {name for name in after if name.startswith("flow.completion.")}
    assert moved <= learnt and len(moved) > 0.9 * len(learnt)
    guesses = [row["guess"] for row in run.rows if "guess" in row]
    assert np.mean(guesses[-3:]) < np.mean(guesses[:3])
    weights = str(tmp_path / "run" / "weights.safetensors")
    for network in ("completion", "iscene"):
        again = build_task(replace(options, network=network, init=weights)).model.state_dict()
        saved = load_model(weights).model.state_dict()
        assert all(torch.equal(again[name], saved[name]) for name in saved)


@pytest.mark.parametrize(
    "switch",
    [
        {"scene_context": False},
        {"instances_see": "own"},
        {"frame": "canonical"},
        {"scenes": "rooms"},
    ],
)
def test_ablations_are_switches(library, vae, tmp_path, switch):
    options = RunOptions("iscene", library, preset="tiny", vae=vae, **switch)
    task = build_task(options)
    batch = task.collate([task.dataset[0]])
    loss, _ = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    assert torch.isfinite(loss)
    plain = build_task(RunOptions("iscene", library, preset="tiny", vae=vae))
    if "scene_context" in switch:
        assert (
            len(task.model.config.flow.scene_context_range)
            == 0
            < len(plain.model.config.flow.scene_context_range)
        )
    elif "instances_see" in switch:
        seen, seen_by_all = batch["lifted"], plain.collate([plain.dataset[0]])["lifted"]
        differs = (seen != seen_by_all).flatten(1).any(1)
        assert differs.any() and not differs[seen[:, IS_SCENE, 0, 0, 0] == 1].any()
        saved = load_model(save_model(tmp_path / "own", task.model)).model
        assert saved.config.instances_see == "own"
    else:
        assert not torch.equal(batch["target"], plain.collate([plain.dataset[0]])["target"])
    record = data_record(options)
    assert all(record[name] == value for name, value in switch.items())


def test_samples_depend_on_their_index_only(library, vae):
    task = build_task(RunOptions("iscene", library, preset="tiny", vae=vae))
    a = task.dataset[3]
    b = task.dataset[3]
    c = task.dataset[4]
    assert all(torch.equal(a[name], b[name]) for name in a) and not torch.equal(
        a["target"], c["target"]
    )


def test_embedded_networks_fit_the_budget(tmp_path):
    from maquette.models.generator import Generator
    from maquette.models.image_encoder import GeometryNet
    from maquette.models.volume_vae import VolumeVAE

    vae, geometry, generator = network_configs("cpu")
    files = [
        save_model(tmp_path / str(k), m)
        for k, m in enumerate((VolumeVAE(vae), GeometryNet(geometry), Generator(generator)))
    ]
    assert sum(f.stat().st_size for f in files) <= 32e6


def test_the_other_methods_fit_beside_them(tmp_path):
    """12 MB for all methods together; a third of it is left for the text-to-image model of
    ComboVerse.
    """
    from maquette.models.coherent import Coherent, CoherentConfig
    from maquette.models.generator import Generator
    from maquette.models.part_shapes import PartShapes, PartShapesConfig
    from maquette.options.training import MidiOptions
    from maquette.train.midi import tuned_generator

    base = load_model(save_model(tmp_path / "generator", Generator(network_configs("cpu")[2])))
    midi = tuned_generator(base.model, MidiOptions())
    for parameter in midi.parameters():
        parameter.data += 0.01 * parameter.requires_grad
    files = [
        save_model(tmp_path / "midi", midi, base=base),
        save_model(tmp_path / "shapes", PartShapes(PartShapesConfig())),
        save_model(tmp_path / "coherent", Coherent(CoherentConfig())),
    ]
    assert 7e6 < sum(f.stat().st_size for f in files) <= 8.3e6


def test_a_library_without_fields_serves_networks_of_pictures_only(tmp_path):
    library = str(build_library(solids(), tmp_path / "meshes", fields=False).folder)
    sample = build_task(RunOptions("image-encoder", library, preset="tiny")).dataset[0]
    assert sample["picture"].isfinite().all()
    for network in ("volume-vae", "shapes", "iscene"):
        with pytest.raises(InputError, match="--no-fields"):
            build_task(RunOptions(network, library, preset="tiny"))


def test_unknown_options_are_named(library):
    for wrong in (
        {"network": "nerf"},
        {"preset": "huge"},
        {"scenes": "mars"},
        {"frame": "upside-down"},
        {"instances_see": "nothing"},
    ):
        with pytest.raises(InputError, match="must be one of"):
            RunOptions(**{"network": "iscene", "library": library, **wrong})
