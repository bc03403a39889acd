"""What is declared once is what Python and the command line have."""

import pytest

from maquette.cli import build_parser
from maquette.cli.train import asked
from maquette.data.scenes import SceneConfig
from maquette.declare import declarations
from maquette.errors import InputError
from maquette.options import METRES, FileSpace, SceneOptions, parse_memory
from maquette.options.data import KINDS
from maquette.options.training import CoherentOptions, LoopConfig, MidiOptions


def test_only_what_differs_is_asked_for():
    assert not FileSpace().is_asked_for
    assert FileSpace(up="z").is_asked_for and FileSpace(size=1.0).is_asked_for


def test_every_unit_can_be_chosen():
    assert declarations(FileSpace)["unit"].choices == tuple(METRES)
    for unit in METRES:
        assert FileSpace(unit=unit).unit == unit
    with pytest.raises(InputError, match="unit must be one of"):
        FileSpace(unit="yd")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 2**33),
        ("8g", 2**33),
        ("7.5 GiB", 7.5 * 2**30),
        ("600MB", 600 * 2**20),
        ("64", 2**26),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "0GB", "8GBs", "1e3"])
def test_other_sizes_are_refused(text):
    with pytest.raises(InputError, match="8GB"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"guidance": float("nan")}, "guidance must be a finite number, got nan"),
        ({"fov": 180}, "fov must be a finite number from 0.1 to 179.9 or 'estimate', got 180"),
        ({"fov": "wide"}, "fov must be"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, tf32, bf16, got 'fp8'"),
    ],
)
def test_values_out_of_bounds_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        SceneOptions(**given)


def test_every_kind_of_scene_can_be_asked_for():
    assert set(KINDS) == {kind for kind, _ in SceneConfig().mix}


def test_what_a_network_needs_is_what_was_not_said():
    words = ["train", "image-encoder", "--data", "a", "--out", "b", "--steps", "3", "--seed", "7"]
    plain = asked(build_parser().parse_args(words))
    assert plain[0].network == "image-encoder" and plain[0].library == "a" and plain[0].seed == 7
    assert plain[1] == LoopConfig(steps=3, seed=7, batch=16, learning_rate=1e-3, optimizer="muon")
    said = asked(build_parser().parse_args([*words, "--batch", "2", "--optimizer", "adamw"]))
    assert said[1] == LoopConfig(steps=3, seed=7, batch=2, learning_rate=1e-3)


def test_ablations_reach_their_networks():
    words = ["train", "midi", "--data", "a", "--out", "b", "--minutes", "1", "--joint-blocks", "0"]
    options, _ = asked(build_parser().parse_args([*words, "--no-scene-image", "--no-yaw"]))
    assert options.midi == MidiOptions(joint_blocks=0, scene_image=False)
    assert options.coherent == CoherentOptions(yaw=False)
