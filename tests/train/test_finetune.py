"""Fine-tuning from folders in the original layouts: what is trained, what is frozen, what comes out
and can be read again.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.published import trellis_structure
from maquette.checkpoints.released import load_part, open_release
from maquette.checkpoints.store import load_model
from maquette.cli import main
from maquette.errors import CheckpointError, InputError
from maquette.geometry.volumes import cell_centres
from maquette.options.training import LoopConfig, RunOptions
from maquette.train.finetune import (
    FinetuneTask,
    open_base,
    surface_cells,
    trellis_axes,
    write_release,
)
from maquette.train.loop import Run
from maquette.train.runs import build_task
from tests.checkpoints.tiny_releases import put_json, put_tensors, seeded
from tests.checkpoints.tiny_trellis import DECODER, write_iscene, write_trellis

ENCODER = {key: value for key, value in DECODER.items() if key != "out_channels"} | {
    "in_channels": 1,
    "channels": [4, 4, 8],
}


def with_encoder(root):
    """The structure encoder beside TRELLIS's other files."""
    encoder = seeded(trellis_structure.build_vae, {"args": ENCODER}, 9)
    state = encoder.state_dict()
    folder = root / "TRELLIS-image-large" / "ckpts"
    names = trellis_structure.vae_names(encoder)
    put_json(folder / "ss_enc.json", {"name": "SparseStructureEncoder", "args": ENCODER})
    put_tensors(
        folder / "ss_enc.safetensors", {theirs: state[ours] for ours, theirs in names.items()}
    )
    return root


@pytest.fixture(scope="module")
def trellis(tmp_path_factory):
    return with_encoder(write_trellis(tmp_path_factory.mktemp("trellis")))


@pytest.fixture(scope="module")
def scene_model(tmp_path_factory):
    return with_encoder(write_iscene(tmp_path_factory.mktemp("iscene")))


def one_step(root, library, folder):
    task = build_task(RunOptions("iscene", library, preset="tiny", base=str(root)))
    task.examined = 1
    run = Run(
        task,
        folder,
        LoopConfig(
            steps=1, batch=1, learning_rate=1e-3, warmup=1, workers=0, log_every=1, precision="fp32"
        ),
    )
    frozen = [
        {k: v.clone() for k, v in part.state_dict().items()}
        for part in (task.encoder, task.structure)
    ]
    before = {k: v.clone() for k, v in task.model.state_dict().items()}
    run.train()
    return task, run, before, frozen


def test_a_step_from_trellis_trains_the_flow_and_nothing_else(trellis, library, tmp_path):
    task, run, before, frozen = one_step(trellis, library, tmp_path)
    assert task.model.config.slots == 2 and not task.model.config.key_gate
    changed = {
        key
        for key, tensor in task.model.state_dict().items()
        if not torch.equal(tensor, before[key])
    }
    assert any("self_attn.to_qkv" in key for key in changed) and any(
        "adaLN" in key for key in changed
    )
    for part, old in zip((task.encoder, task.structure), frozen):
        assert all(torch.equal(old[key], tensor) for key, tensor in part.state_dict().items())
        assert not any(p.requires_grad for p in part.parameters())
    assert np.isfinite(run.rows[0]["loss"]) and {"instance", "scene"} <= set(run.rows[0])
    assert np.isfinite(
        [v for row in run.rows for k, v in row.items() if k.startswith("held_out_velocity_error")]
    ).all()


def test_a_step_from_i_scene_trains_its_gates_too_and_is_written_as_it_was_read(
    scene_model, library, tmp_path
):
    task, run, before, _ = one_step(scene_model, library, tmp_path / "run")
    assert task.model.config.slots == 3
    changed = {
        key
        for key, tensor in task.model.state_dict().items()
        if not torch.equal(tensor, before[key])
    }
    assert any(key.endswith("ext_gate") for key in changed) and any(
        key.endswith("k_type_bias") for key in changed
    )
    written = write_release(tmp_path / "out", run.average, task.base)
    released = open_release(release("trellis-iscene"), tmp_path / "out")
    assert (
        written.name == "IScene"
        and write_release(tmp_path / "out", run.average, task.base) == written
    )  # again, over the old files
    again, eyes = (
        load_part(released.parts[name], torch.float32) for name in ("structure-flow", "dino")
    )
    assert again.config == task.model.config and eyes.config == task.encoder.config
    read = again.state_dict()
    for key, tensor in run.average.state_dict().items():
        torch.testing.assert_close(read[key], tensor, atol=1e-3, rtol=1e-3)


def test_the_command_writes_both_layouts_and_says_where(
    trellis, library, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(FinetuneTask, "examined", 1)
    arguments = [
        "train",
        "iscene",
        "--base",
        str(trellis),
        "--data",
        library,
        "--out",
        str(tmp_path / "run"),
        "--preset",
        "tiny",
        "--steps",
        "1",
        "--batch",
        "1",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--precision",
        "fp32",
    ]
    assert main(arguments) == 0
    assert "in the layout of the release in" in capsys.readouterr().out
    saved = load_model(tmp_path / "run" / "weights.safetensors", "scene-context-flow")
    assert saved.model.config.slots == 2 and saved.metadata["base"] == trellis.name
    assert (
        open_release(release("trellis-iscene"), tmp_path / "run")
        .parts["structure-flow"]
        .files[0]
        .name
        == "denoiser.safetensors"
    )


def test_reprogramming_changes_no_weight(trellis):
    base = open_base(trellis)
    part = open_release(release("trellis-large"), trellis).parts["structure-flow"]
    plain = load_part(part, torch.float32).state_dict()
    assert all(
        torch.equal(tensor, plain[key.removeprefix("flow.")])
        for key, tensor in base.network.state_dict().items()
    )
    assert base.cells == 16 and all(p.requires_grad for p in base.network.parameters())


def test_a_base_without_the_structure_encoder_says_which_files_to_add(tmp_path):
    with pytest.raises(CheckpointError, match=r"ss_enc_conv3d_16l8_fp16\.json"):
        open_base(write_trellis(tmp_path))


@pytest.mark.parametrize(
    "switch", [{"network": "instance"}, {"network": "iscene", "init": "weights.safetensors"}]
)
def test_a_base_is_for_iscene_alone(library, switch):
    with pytest.raises(InputError, match="--base"):
        RunOptions(library=library, base="somewhere", **switch)


def test_surface_cells_are_those_that_the_surface_cuts():
    """Against the definition: a cell is cut when its corners lie on both sides."""
    resolution = 32
    axis = torch.linspace(-0.5, 0.5, resolution + 1)
    corners = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1) - 0.31
    inside = (corners < 0)[None, None].float()
    cut = (
        torch.nn.functional.max_pool3d(inside, 2, 1)
        != -torch.nn.functional.max_pool3d(-inside, 2, 1)
    )[0, 0].numpy()
    distance = cell_centres(resolution).norm(dim=-1).reshape((resolution,) * 3) - 0.31
    found = surface_cells((distance / (1 / 16)).clamp(-1, 1).numpy())
    assert (found & cut).sum() > 0.99 * cut.sum() and found.sum() < 1.05 * cut.sum()


def test_trellis_has_z_up_and_looks_along_plus_y():
    volume = np.zeros((4, 4, 4), bool)
    volume[3, 2, 0] = True  # right, upper half, farthest from a camera that looks along -Z
    assert np.argwhere(trellis_axes(volume)).tolist() == [[3, 3, 2]]
