"""``maquette app`` takes its words apart; what it starts is in ``tests/app``."""

from pathlib import Path

import pytest

from maquette.app import server
from maquette.cli import main


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr(
        server,
        "serve",
        lambda settings, announce, open_browser, look: calls.append((settings, open_browser)),
    )
    return calls


def test_options_arrive(served, tmp_path):
    words = [
        "app",
        "--port",
        "0",
        "--data",
        str(tmp_path),
        "--workers",
        "3",
        "--queue",
        "5",
        "--weights",
        str(tmp_path),
        "--allow-host",
        "a.example",
    ]
    assert main([*words, "--no-browser"]) == 0
    settings, browser = served[0]
    assert (settings.port, settings.workers, settings.queue, settings.weights, settings.hosts) == (
        0,
        3,
        5,
        (tmp_path,),
        ("a.example",),
    )
    assert settings.data == tmp_path.resolve() and settings.token is None and not browser


def test_the_data_folder_has_a_default(served, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["app"]) == 0
    assert isinstance(served[0][0].data, Path) and served[0][1]


def test_wrong_words_are_one_line(capsys, tmp_path):
    assert main(["app", "--data", str(tmp_path), "--workers", "0"]) == 2
    (tmp_path / "file").touch()
    assert main(["app", "--data", str(tmp_path / "file"), "--port", "70000"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
