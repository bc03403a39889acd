"""Scenes, runs and pages at URLs: the same numbers and pages as in folders."""

import json
import uuid

import pytest
import trimesh

from maquette.cli import benchmark as command
from maquette.cli import main
from maquette.document.scene_json import save
from maquette.evaluate.report import page, pictures
from maquette.execute import store
from maquette.execute.pool import HERE
from maquette.execute.store import path_at, written
from tests.document.scenes import make_scene
from tests.evaluate.scenes import Toy, room
from tests.execute.test_store import s3  # noqa: F401 (a fixture)

pytest.importorskip("upath")


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.tools)])
def url(request, tmp_path, monkeypatch):
    """A folder that nobody has used before."""
    monkeypatch.setattr(store.Path, "home", lambda: tmp_path / "home")
    root = request.getfixturevalue("s3") if request.param == "s3" else "memory://"
    return f"{root}/{uuid.uuid4().hex}"


def upload(folder, url):
    for path in folder.rglob("*"):
        if path.is_file():
            with written(path_at(f"{url}/{path.relative_to(folder).as_posix()}")) as temporary:
                temporary.write_bytes(path.read_bytes())


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def saved(meshes, path):
    scene = trimesh.Scene()
    for name, mesh in meshes.items():
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scene.export(file_type="glb"))


def test_a_score_is_the_same_from_a_url(url, tmp_path, capsys):
    truth = room()
    saved(truth, tmp_path / "in" / "gt.glb")
    saved({name: truth[name] for name in ("chair", "box")}, tmp_path / "in" / "pred.glb")
    save(make_scene(), tmp_path / "in" / "scene" / "scene.json")
    upload(tmp_path / "in", url)

    def score(root, pred, gt, *words):
        asked = ["--pred", f"{root}/{pred}", "--gt", f"{root}/{gt}", "--protocol", "raw", "--json"]
        assert main(["evaluate", *asked, *words]) == 0
        told = json.loads(capsys.readouterr().out)
        del told["seconds"]
        return told

    for names in (("pred.glb", "gt.glb"), ("scene", "scene/scene.json")):
        near, far = (score(root, *names) for root in (str(tmp_path / "in"), url))
        assert far == near
    assert main(["evaluate", "--pred", f"{url}/no.glb", "--gt", f"{url}/gt.glb"]) == 2
    said = capsys.readouterr().err
    assert "/no.glb: there is no such file" in said and said.count("\n") == 1


def test_a_benchmark_and_its_report_at_a_url(url, tmp_path, capsys, monkeypatch):
    """What it reads (files of another system), the run, the tables and the page."""
    monkeypatch.setattr(command, "_sources", lambda asked: [Toy(0)])
    monkeypatch.setattr(page, "Engine", lambda jobs: HERE)
    monkeypatch.setattr(pictures, "TURNS", pictures.TURNS[::4])  # views of each object
    saved(Toy(0).load().truth, tmp_path / "near" / "theirs" / "random" / "0000.glb")
    upload(tmp_path / "near", url)
    common = ["benchmark", "--method", "truth", "--protocol", "raw", "--extra", "none"]
    common += ["--jobs", "0"]
    for root in (str(tmp_path / "near"), url):
        given = ["--predictions", f"theirs={root}/theirs", "--results", f"{root}/results.md"]
        assert main([*common, *given, "--out", f"{root}/run"]) == 0
        capsys.readouterr()
        assert main(["report", f"{root}/run"]) == 0
        assert "/run/report.html (" in capsys.readouterr().out
    far = contents(path_at(url))
    near = contents(tmp_path / "near")
    assert far.keys() == near.keys() >= {"run/report.html", "run/table.md", "results.md"}
    assert far["run/rows.csv"].count(b"\n") == near["run/rows.csv"].count(b"\n") > 2
    assert far["run/report.html"].lower().startswith(b"<!doctype html>")
    assert main(["report", f"{url}/run", "--out", f"{url}/other.html"]) == 0
    assert len(path_at(f"{url}/other.html").read_bytes()) > 100_000
    capsys.readouterr()
    assert main(["report", f"{url}/nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
    none = ["--predictions", f"theirs={url}/none", "--out", f"{url}/run"]
    assert main([*common, *none]) == 2
    assert "/none: there is no such file or folder" in capsys.readouterr().err
