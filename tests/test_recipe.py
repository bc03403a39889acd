"""What is asked: refused before any work where it cannot be, and nothing is opened in vain."""

import pickle
from pathlib import Path

import pytest

from maquette.errors import InputError
from maquette.recipe import Options, open_perception


def test_a_model_that_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match=r"unknown model 'magic'.*embedded"):
        Options(model="magic")


def test_our_own_eye_needs_no_network_of_others():
    assert open_perception(Options()) is None


def test_options_travel_without_the_method_that_they_found():
    """Another process cannot import what a file defines: it runs the file itself."""
    boxes = Path(__file__).parents[1] / "examples" / "07_your_own_method.py"
    options = Options(method=f"{boxes}:BOXES")
    assert options.chosen.name == "boxes"
    travelled = pickle.loads(pickle.dumps(options))
    assert "chosen" not in vars(travelled) and travelled == options
    assert travelled.chosen is options.chosen
