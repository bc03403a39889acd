"""What is declared once is what Python and the command line have."""

import pytest

from maquette.declare import declarations
from maquette.errors import InputError
from maquette.options import METRES, FileSpace, SceneOptions, parse_memory


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
