import webbrowser
from pathlib import Path

import pytest

from maquette.cli import main
from maquette.document.scene_json import save
from tests.document.scenes import make_scene


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A result as `maquette generate` leaves it; nothing is opened, ``folder.opened`` says what
    would have been.
    """
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(make_scene(), "room/scene.json")
    make_scene().export("room/scene.glb")
    return opened


@pytest.mark.parametrize("scene", ["room", "room/scene.json", "room/scene.glb"])
def test_a_folder_a_document_and_a_glb_open_in_the_browser(folder, scene, capsys):
    assert main(["view", scene]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "room.html" and folder == [path.resolve().as_uri()]
    assert "<title>room</title>" in path.read_text(encoding="utf-8")


def test_a_page_to_keep_is_opened_only_when_wanted_and_never_replaced_unasked(folder, capsys):
    command = ["view", "room", "-o", "mine.html", "--no-open"]
    assert main(command) == 0 and folder == [] and Path("mine.html").is_file()
    assert main(command) == 1 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(["view", "room", "-o", "mine.png"]) == 2
    assert main(["view", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_folder_with_a_glb_alone_is_a_scene_too(folder, capsys):
    Path("room/scene.json").unlink()
    assert main(["view", "room", "--no-open"]) == 0
    Path("room/scene.glb").unlink()
    assert main(["view", "room", "--no-open"]) == 2
    assert "neither scene.json nor scene.glb" in capsys.readouterr().err
