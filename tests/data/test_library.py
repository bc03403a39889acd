import json
import os
import pickle
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import trimesh

from maquette.data.assets import Asset, AssetFile, save_asset
from maquette.data.fields import AssetField, compute_field
from maquette.data.library import AssetLibrary, build_library, failures, incomplete
from maquette.errors import InputError
from maquette.execute.pool import Engine
from maquette.execute.share import Share

pytest.importorskip("igl")


def make(name: str, size: tuple[float, float, float]) -> Asset:
    mesh = trimesh.creation.box(size)
    tint = np.full((len(mesh.vertices), 3), 40 * len(name), np.uint8)
    return Asset(
        name,
        np.asarray(mesh.vertices, np.float32),
        np.asarray(mesh.faces, np.int32),
        tint,
        "here",
        "CC0-1.0",
        size,
    )


ASSETS = [make("a", (1.0, 0.5, 0.4)), make("bb", (0.3, 1.0, 0.3)), make("ccc", (0.6, 0.6, 1.0))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("library")
    build_library(ASSETS, path)
    return path


@cache
def field_of(name: str) -> AssetField:
    return compute_field(next(asset for asset in ASSETS if asset.name == name))


@pytest.fixture(autouse=True, scope="module")
def known_fields():
    """Those of the assets above are computed once in this process."""

    def field(asset: Asset) -> AssetField:
        known = any(asset is one for one in ASSETS)
        return field_of(asset.name) if known else compute_field(asset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.data.library.compute_field", field)
        yield


def same(library: AssetLibrary) -> None:
    by_name = {asset.name: asset for asset in ASSETS}
    for index, name in enumerate(library.names):
        stored = library.asset(index)
        field = field_of(name)
        assert (stored.vertices == by_name[name].vertices).all() and (
            stored.faces == by_name[name].faces
        ).all()
        assert (stored.colors == by_name[name].colors).all() and stored.extent_metres == by_name[
            name
        ].extent_metres
        assert (stored.source, stored.licence) == ("here", "CC0-1.0")
        assert (library.sdf(index) == field.sdf).all() and (library.rgb(index) == field.rgb).all()


def test_what_was_built_is_what_is_read(folder):
    library = AssetLibrary.open(folder)
    assert sorted(library.names) == ["a", "bb", "ccc"] and len(library) == 3
    assert library.sdf(0).dtype == np.float16 and library.rgb(0).shape == (64, 64, 64, 3)
    same(library)


def test_another_process_maps_the_files_itself(folder):
    stream = pickle.dumps(AssetLibrary.open(folder))
    assert len(stream) < 4000
    same(pickle.loads(stream))


def test_rows_cannot_be_changed_by_readers(folder):
    with pytest.raises(ValueError):
        AssetLibrary.open(folder).sdf(0)[0, 0, 0] = 0


def test_an_interrupted_build_continues_and_gives_the_same_library(tmp_path, folder):
    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        build_library(ASSETS, tmp_path, progress=stop)
    partial = AssetLibrary.open(tmp_path)
    assert len(partial) == 2
    same(partial)
    for name in (
        "vertices.bin",
        "index.jsonl",
    ):  # as if the machine had stopped in the middle of a write
        with (tmp_path / name).open("ab") as stream:
            stream.write(b'{"torn')
    assert len(AssetLibrary.open(tmp_path)) == 2
    seen = []
    complete = build_library(
        ASSETS, tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(3, 3)]
    assert complete.names == AssetLibrary.open(folder).names
    same(complete)


def test_shares_put_together_are_the_library_that_one_machine_makes(tmp_path, folder):
    for number in (1, 2):
        with pytest.raises(InputError, match="assets are missing"):
            build_library(ASSETS, tmp_path, engine=Engine(merge=True))
        build_library(ASSETS, tmp_path, engine=Engine(0, share=Share(number, 2)))
    same(build_library(ASSETS, tmp_path, engine=Engine(merge=True)))
    for file in sorted(folder.iterdir()):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_a_library_can_grow(tmp_path):
    build_library(ASSETS[:1], tmp_path)
    grown = build_library(ASSETS, tmp_path)
    assert grown.names[0] == "a" and len(grown) == 3
    same(grown)


def test_seeds_change_the_order_and_only_the_order(tmp_path, folder):
    shuffled = [
        tuple(ASSETS[i].name for i in np.random.default_rng(seed).permutation(3))
        for seed in range(9)
    ]
    other = next(seed for seed in range(9) if shuffled[seed] != shuffled[0])
    assert AssetLibrary.open(folder).names == shuffled[0]
    assert build_library(ASSETS, tmp_path, seed=other).names == shuffled[other]


def test_files_that_cannot_be_used_are_recorded_and_not_tried_again(tmp_path):
    assets = tmp_path / "assets"
    assets.mkdir()
    save_asset(ASSETS[0], assets / "good.npz")
    (assets / "bad.npz").write_bytes(b"junk")
    files = [AssetFile(assets / "good.npz"), AssetFile(assets / "bad.npz")]
    library = build_library(files, tmp_path / "out")
    assert library.names == ("good",)
    assert list(failures(tmp_path / "out")) == ["bad"]
    build_library(files, tmp_path / "out")
    assert len((tmp_path / "out" / "failed.jsonl").read_text().splitlines()) == 1


def test_whatever_an_asset_raises_is_a_reason_and_the_others_are_built(tmp_path):
    class Broken:
        name = "broken"

        def load(self) -> Asset:
            raise MemoryError

    lacking = replace(ASSETS[1], lacks=("wood.png is named but not there",))
    library = build_library([ASSETS[0], Broken(), lacking], tmp_path)
    assert sorted(library.names) == ["a", "bb"]
    assert failures(tmp_path).keys() == {"broken"} and "MemoryError" in failures(tmp_path)["broken"]
    assert incomplete(library) == {"bb": "wood.png is named but not there"}


@dataclass(frozen=True)
class Deadly:
    """Ends the process that makes it, unless the file ``cure`` is there."""

    name: str
    cure: str

    def load(self) -> Asset:
        if not Path(self.cure).exists():
            os._exit(9)
        return replace(ASSETS[0], name=self.name)


@pytest.mark.parametrize(("jobs", "fields"), [(1, True), (2, False)])
def test_an_asset_that_ends_its_process_is_a_reason_the_others_are_built_and_it_is_tried_again(
    tmp_path, jobs, fields
):
    cure = tmp_path / "cure"
    sources = [Deadly("one", str(cure)), *ASSETS, Deadly("two", str(cure))]
    library = build_library(sources, tmp_path / "out", engine=Engine(jobs), fields=fields)
    assert sorted(library.names) == ["a", "bb", "ccc"]
    reasons = failures(tmp_path / "out")
    assert sorted(reasons) == ["one", "two"] and "exit code 9" in reasons["one"]
    cure.touch()
    library = build_library(sources, tmp_path / "out", engine=Engine(jobs), fields=fields)
    assert len(library) == 5 and failures(tmp_path / "out") == {}


def test_several_processes_give_the_same_rows(tmp_path):
    library = build_library(ASSETS, tmp_path, engine=Engine(2))
    same(library)
    lines = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert [line["vertices"] for line in lines] == list(np.cumsum([8, 8, 8]))


def test_wrong_folders_and_repeated_names_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="not an asset library"):
        AssetLibrary.open(tmp_path)
    with pytest.raises(InputError, match="unique"):
        build_library([ASSETS[0], replace(ASSETS[1], name="a")], tmp_path)


def test_without_fields_the_meshes_are_the_same_and_fields_are_asked_for_in_vain(tmp_path, folder):
    built = build_library(ASSETS, tmp_path, fields=False)
    whole = AssetLibrary.open(folder)
    assert built.names == whole.names
    for index in range(len(built)):
        np.testing.assert_array_equal(built.asset(index).vertices, whole.asset(index).vertices)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"vertices.bin", "faces.bin", "colors.bin", "index.jsonl", "failed.jsonl"}
    for read in (built.sdf, built.rgb, pickle.loads(pickle.dumps(built)).sdf):
        with pytest.raises(InputError, match="--no-fields"):
            read(0)
    whole.require_fields()


@pytest.mark.parametrize("fields", [True, False])
def test_a_library_is_not_continued_the_other_way(tmp_path, fields):
    build_library(ASSETS[:1], tmp_path, fields=fields)
    with pytest.raises(InputError, match="another folder"):
        build_library(ASSETS, tmp_path, fields=not fields)
    assert len(build_library(ASSETS, tmp_path, fields=fields)) == 3
