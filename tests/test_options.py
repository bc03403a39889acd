"""What is declared once is what Python and the command line have."""

import pytest

from maquette.declare import declarations
from maquette.errors import InputError
from maquette.options import METRES, FileSpace


def test_only_what_differs_is_asked_for():
    assert not FileSpace().is_asked_for
    assert FileSpace(up="z").is_asked_for and FileSpace(size=1.0).is_asked_for


def test_every_unit_can_be_chosen():
    assert declarations(FileSpace)["unit"].choices == tuple(METRES)
    for unit in METRES:
        assert FileSpace(unit=unit).unit == unit
    with pytest.raises(InputError, match="unit must be one of"):
        FileSpace(unit="yd")
