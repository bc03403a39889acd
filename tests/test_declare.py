"""Options that are declared once: the command line, the checks and the documents say the same."""

import argparse
import dataclasses
import math

import pytest

from maquette.declare import add_options, check_bounds, chosen, declarations, option, table
from maquette.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cake:
    layers: int = option(3, help="how many", least=1, most=9, metavar="N")
    sugar: float | None = option(None, help="grams; 100 % sweet", kind=float, least=0)
    icing: str = option("none", help="what is on top", choices=("none", "lemon"))
    angle: float | str | None = option(None, help="tilt", kind=float, words=("level",))
    salt: bool = option(False, help="a pinch", group="spices")
    baked: bool = option(True, help="leave it raw", flags=("--raw",), group="spices")
    maker: object = None  # not an option of the command line

    def __post_init__(self):
        check_bounds(self)


def parsed(*words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, Cake)
    return chosen(Cake, parser.parse_args(words), maker="me")


def test_no_word_gives_the_defaults():
    assert parsed() == Cake(maker="me")


def test_words_become_values_of_their_kind():
    words = [
        "--layers",
        "5",
        "--sugar",
        "2.5",
        "--icing",
        "lemon",
        "--angle",
        "level",
        "--salt",
        "--raw",
    ]
    expected = Cake(layers=5, sugar=2.5, icing="lemon", angle="level", salt=True, baked=False)
    assert parsed(*words) == dataclasses.replace(expected, maker="me")
    assert parsed("--angle", "30").angle == 30.0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("layers", 0, "layers must be a whole number from 1 to 9, got 0"),
        ("layers", 2.5, "layers must be a whole number from 1 to 9, got 2.5"),
        ("layers", True, "layers must be a whole number from 1 to 9, got True"),
        ("layers", "3", "layers must be a whole number from 1 to 9, got '3'"),
        ("sugar", -1, "sugar must be a finite number of at least 0, got -1"),
        ("sugar", math.nan, "sugar must be a finite number of at least 0, got nan"),
        ("icing", "mud", "icing must be one of none, lemon, got 'mud'"),
        ("angle", "flat", "angle must be a finite number or 'level', got 'flat'"),
        ("salt", 1, "salt must be True or False, got 1"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name, value, said):
    with pytest.raises(InputError) as refused:
        Cake(**{name: value})
    assert str(refused.value) == said


def test_help_and_table_hold_every_option():
    parser = argparse.ArgumentParser()
    add_options(parser, Cake)
    shown = parser.format_help()
    for declaration in declarations(Cake).values():
        assert declaration.help in shown
        assert declaration.help in table(Cake)
    assert "spices:" in shown
    assert "| `--layers N` | how many |" in table(Cake)
    assert "| `--raw` | leave it raw |" in table(Cake)


def test_some_options_only():
    parser = argparse.ArgumentParser()
    add_options(parser, Cake, ["icing"])
    assert vars(parser.parse_args([])) == {"icing": "none"}
