"""Meshes, library, shards and training's views at a URL: the same bytes as in folders."""

import numpy as np
import pytest
import trimesh

from maquette.cli import main
from maquette.data.shards import read_shards
from maquette.errors import MaquetteError
from maquette.execute import store
from maquette.execute.store import path_at, written
from maquette.train.stored import StoredViews

pytest.importorskip("upath")
pytest.importorskip("igl")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(store.Path, "home", lambda: tmp_path / "home")


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_import_and_build_at_a_url(tmp_path, home, capsys):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    trimesh.creation.box().export(meshes / "box.glb")
    trimesh.creation.icosphere(1).export(meshes / "ball.obj")
    (meshes / "bad.stl").write_bytes(b"nothing")
    for path in meshes.iterdir():
        with written(path_at(f"memory://data/meshes/{path.name}")) as temporary:
            temporary.write_bytes(path.read_bytes())
    build = ["--scenes", "3", "--views", "1", "--size", "32", "--per-shard", "2", "--jobs", "0"]
    for root in (str(tmp_path), "memory://data"):
        library = ["--out", f"{root}/library", "--no-fields", "--jobs", "0", "--verbose"]
        assert main(["data", "import", f"{root}/meshes", *library]) == 0
        assert f"{root}/meshes/bad.stl" in capsys.readouterr().out
        shards = ["--library", f"{root}/library", "--out", f"{root}/shards", *build]
        assert main(["data", "build", *shards]) == 0
    far = contents(path_at("memory://data/library"))
    near = contents(tmp_path / "library")
    assert far.keys() == near.keys()
    assert all(far[name] == near[name] for name in near if name != "failed.jsonl")  # names paths
    assert contents(path_at("memory://data/shards")) == contents(tmp_path / "shards")
    views = [StoredViews.open(f"{root}/shards") for root in (tmp_path, "memory://data")]
    for seed in range(3):
        one, other = (view(np.random.default_rng(seed)) for view in views)
        assert np.array_equal(one.image, other.image) and np.array_equal(one.depth, other.depth)
    assert [s.index for s in read_shards("memory://data/shards")] == [0, 1, 2]
    assert main(["data", "build", *shards]) == 0
    assert "3 were there already" in capsys.readouterr().out


def test_a_machine_that_does_not_see_a_mesh_says_so_instead_of_dropping_it(tmp_path):
    from maquette.data.importer import MeshFile

    with pytest.raises(MaquetteError, match="does not see it") as caught:
        MeshFile(tmp_path / "gone.glb", "gone").load()
    assert type(caught.value) is MaquetteError  # no InputError, which would be a fault of the file
