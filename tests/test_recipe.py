"""What is asked: refused before any work where it cannot be, and nothing is opened in vain."""

import pytest

from maquette.errors import InputError
from maquette.recipe import Options, open_perception


def test_a_model_that_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match=r"unknown model 'magic'.*embedded"):
        Options(model="magic")


def test_our_own_eye_needs_no_network_of_others():
    assert open_perception(Options()) is None
