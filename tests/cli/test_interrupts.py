"""Ctrl-C at any time is one line and exit code 130."""

import signal
import sys
import threading

import pytest

import maquette.cli
from maquette.cli import main

HALF = """
import signal, time
signal.raise_signal(signal.SIGINT)
time.sleep(0.2)  # it comes again and again meanwhile
WHOLE = True
"""


@pytest.fixture
def command(monkeypatch):
    """Runs an action in the place of a command."""

    def doing(action):
        monkeypatch.setattr("maquette.cli.geometry.run", lambda args: action())
        return main(["geometry", "inspect", "depth.png", "--image", "photo.png"])

    return doing


def test_what_is_being_imported_comes_to_its_end_first(command, tmp_path, monkeypatch, capsys):
    (tmp_path / "half_of_it.py").write_text(HALF)
    monkeypatch.syspath_prepend(tmp_path)
    entered = []

    def action():
        entered.append(1)
        import half_of_it  # noqa: F401

        threading.Event().wait(5)
        entered.append(2)

    assert command(action) == 130
    assert entered == [1] and sys.modules.pop("half_of_it").WHOLE
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "interrupted" in said


def test_elsewhere_it_is_at_once_and_handlers_are_as_before(command, capsys):
    before = signal.getsignal(signal.SIGINT)
    assert command(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert maquette.cli.SOON < 0.1
