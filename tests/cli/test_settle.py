"""``maquette settle``: arguments in, a folder and words out."""

import json

import pytest

import maquette
from maquette.cli import main
from tests.simulation.scenes import standing


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("mujoco")
    return standing().export(tmp_path / "room" / "scene.json").parent


def settle(scene, out, *options):
    return main(["settle", str(scene), "-o", str(out), "--collision", "hull", *options])


def test_a_folder_with_both_files_is_written(folder, tmp_path, capsys):
    assert settle(folder, tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert told.count("rests") == 3 and "3 of 3 objects at rest" in told and "scene.glb" in told
    assert (tmp_path / "out" / "preview.png").exists()
    assert (tmp_path / "out" / "scene.glb").exists()
    assert len(maquette.load(tmp_path / "out").provenance["settled"]) == 3
    assert settle(folder, tmp_path / "out") == 1
    assert "already exists" in capsys.readouterr().err
    assert settle(folder, tmp_path / "out", "--overwrite", "--json", "--static", "cup") == 0
    rows = json.loads(capsys.readouterr().out)["objects"]
    assert [row["node"] for row in rows] == ["instance_1", "instance_2", "instance_4"]


def test_what_is_not_there_is_refused(folder, tmp_path, capsys):
    assert settle(folder, tmp_path / "out", "--static", "sofa") == 2
    assert "no object is called 'sofa'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert settle(folder, tmp_path / "out.glb") == 2
    assert f"give -o {tmp_path / 'out'}" in capsys.readouterr().err


def test_progress_rises_to_its_end(folder):
    told = []
    maquette.load(folder).settle(lambda *news: told.append(news), collision="hull")
    assert {stage for stage, _ in told} == {"settle"}
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1


def test_an_interruption_leaves_nothing(folder, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("maquette.batch.results.export_scene", interrupted)
    assert settle(folder, tmp_path / "out") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
