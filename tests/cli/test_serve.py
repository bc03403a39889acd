"""``maquette serve`` takes its words apart, and says in one line what is missing."""

import pytest

from maquette.cli import main
from maquette.serve import move
from maquette.serve import settings as module

deployment = pytest.importorskip("maquette.serve.deployment")


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "_require_ray", lambda: None)
    monkeypatch.setattr(deployment, "deploy", lambda settings, *_: calls.append(settings))
    return calls


def test_options_arrive(served, tmp_path):
    words = ["--data", str(tmp_path), "--database", "postgresql://me@host/x", "--replicas", "2"]
    words += ["--workers", "8", "--least-workers", "0", "--num-gpus", "0.5", "--queue", "100"]
    assert main(["serve", *words, "--host", "0.0.0.0", "--address", "auto"]) == 0
    (settings,) = served
    assert (settings.database, settings.address) == ("postgresql://me@host/x", "auto")
    assert (settings.workers, settings.least_workers, settings.num_gpus) == (8, 0, 0.5)
    assert (settings.replicas, settings.queue, settings.data) == (2, 100, tmp_path.resolve())
    assert len(settings.token) >= 16  # others can come


def test_without_ray_the_line_to_install_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: name != "ray" or None)
    assert main(["serve", "--data", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err == (
        "maquette serve: serving needs Ray Serve; install it with: pip install 'maquette[serve]'\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--workers", "2", "--least-workers", "3"],
        ["--database", "mysql://me@host/x"],
        ["--host", "no.such.host.invalid"],
    ],
)
def test_wrong_words_are_one_line(monkeypatch, capsys, tmp_path, words):
    monkeypatch.setattr(module, "_require_ray", lambda: None)
    assert main(["serve", "--data", str(tmp_path / "data"), "--port", "0", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_move_is_told(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr(move, "move", lambda *words: calls.append(words) or 7)
    assert main(["serve", "move", "sqlite", "postgresql://a/b", "--data", str(tmp_path)]) == 0
    assert calls == [(tmp_path.resolve(), "sqlite", "postgresql://a/b")]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("7 rows moved") and "maquette.sqlite3-moved" in told[1]


def test_a_move_that_cannot_be_is_one_line(capsys, tmp_path):
    assert main(["serve", "move", "sqlite", "sqlite", "--data", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_serving_needs_a_folder(monkeypatch, capsys):
    assert main(["serve"]) == 2
    assert "--data is needed" in capsys.readouterr().err
