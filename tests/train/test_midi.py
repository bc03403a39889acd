"""Training of MIDI: scenes and single objects come apart, only what is tuned moves, and the file is
the difference.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.store import load_model, save_model
from maquette.errors import InputError
from maquette.models.generator import Generator
from maquette.options.training import LoopConfig, MidiOptions, RunOptions
from maquette.train.loop import Run
from maquette.train.midi import as_scene, as_single_objects, collate_groups
from maquette.train.runs import base_of, build_task, data_record, network_configs
from tests.tiny import ball_vae


def rows(count, first=0.0):
    """Rows of a view as SequenceSamples gives them; each holds its number."""
    marked = (first + torch.arange(count, dtype=torch.float32)).reshape(-1, 1)
    return {
        "crops": marked,
        "lifted": marked,
        "target": marked,
        "scene_of": torch.tensor([-1] + [0] * (count - 1)),
    }


def test_groups_keep_their_pictures_when_collated():
    batch = collate_groups(
        [as_scene(rows(3)), as_single_objects(rows(2, 10)), as_scene(rows(2, 20))]
    )
    assert batch["groups"] == [2, 1, 1, 1] and batch["crops"][:, 0].tolist() == [
        1,
        2,
        10,
        11,
        21,
    ]
    assert batch["scenes"][batch["scene_of"]][:, 0].tolist() == [0, 0, 10, 11, 20]


@pytest.fixture(scope="module")
def options(tmp_path_factory, library):
    folder = tmp_path_factory.mktemp("midi")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(network_configs("tiny")[2])
        torch.nn.init.normal_(generator.flow.out_layer.weight, std=0.05)
        init = save_model(folder / "generator.safetensors", generator)
        vae = save_model(folder / "vae.safetensors", ball_vae())
    return {
        "library": library,
        "preset": "tiny",
        "init": str(init),
        "vae": str(vae),
    }


def test_a_run_changes_only_what_is_tuned_and_saves_the_difference(options, tmp_path):
    chosen = RunOptions("midi", **options, midi=MidiOptions(joint_blocks=1))
    task = build_task(chosen)
    base = base_of(chosen)
    run = Run(
        task,
        tmp_path,
        LoopConfig(steps=4, batch=2, learning_rate=3e-3, warmup=1, workers=0, log_every=1, ema=0.5),
        base=base,
    )
    run.train()
    stored = load_file(tmp_path / "weights.safetensors")
    tuned = {name for name, parameter in run.model.named_parameters() if parameter.requires_grad}
    assert stored and set(stored) <= tuned
    whole = load_model(tmp_path / "weights.safetensors", "midi", base=base)
    assert whole.model.config.joint_blocks == 1 and whole.metadata["step"] == 4
    assert {"held_out_iou_together", "held_out_iou_alone"} <= set(run.rows[-1])
    assert data_record(chosen)["midi"] == {
        "joint_blocks": 1,
        "scene_image": True,
        "single_objects": 0.3,
    }


def test_the_share_of_single_objects_is_a_switch(options):
    groups = {}
    for share in (0.0, 1.0):
        task = build_task(RunOptions("midi", **options, midi=MidiOptions(single_objects=share)))
        groups[share] = torch.cat([task.dataset[i]["groups"] for i in range(3)])
    assert (groups[1.0] == 1).all() and len(groups[0.0]) == 3
    mixed = build_task(RunOptions("midi", **options)).dataset
    drawn = [
        np.random.default_rng((mixed.seed, i, 6)).random() < mixed.single_objects
        for i in range(2000)
    ]
    assert abs(np.mean(drawn) - 0.3) < 0.03


def test_more_blocks_than_there_are_is_an_error(options):
    with pytest.raises(InputError, match="joint blocks: got 9, the generator has 2 blocks"):
        build_task(RunOptions("midi", **options, midi=MidiOptions(joint_blocks=9)))
