import dataclasses
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from maquette.data.catalogue import Catalogue
from maquette.data.scenes import SceneConfig
from maquette.data.shards import (
    ShardConfig,
    build_shards,
    make_scene,
    read_shard,
    read_shards,
    shard_name,
)
from maquette.data.views import ViewConfig
from maquette.errors import InputError, MaquetteError
from maquette.execute.pool import Engine
from maquette.execute.share import Share
from maquette.output import TEMPORARY_PREFIX
from tests.data.toys import Toys

CONFIG = ShardConfig(scenes=5, views=2, seed=3, per_shard=2, view=ViewConfig(size=48))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


@pytest.fixture(scope="module")
def shards(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    assert build_shards(catalogue, folder, CONFIG) == 5
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_processes_write_the_same_bytes_as_one(
    catalogue: Catalogue, shards: Path, tmp_path: Path
) -> None:
    build_shards(catalogue, tmp_path, CONFIG, engine=Engine(2))
    assert contents(tmp_path) == contents(shards) and len(contents(shards)) == 7


def test_shares_write_the_same_bytes_together(
    catalogue: Catalogue, shards: Path, tmp_path: Path
) -> None:
    for number in (2, 1):
        if number == 1:
            with pytest.raises(InputError, match="2 of 3 shards are missing: scenes-000000"):
                build_shards(catalogue, tmp_path, CONFIG, engine=Engine(merge=True))
        build_shards(catalogue, tmp_path, CONFIG, engine=Engine(0, share=Share(number, 2)))
    assert build_shards(catalogue, tmp_path, CONFIG, engine=Engine(merge=True)) == 0
    assert contents(tmp_path) == contents(shards)


class Deadly(Toys):
    """Assets of which the last ends the process that asks for it."""

    def asset(self, index: int):
        if index == len(self.assets) - 1:
            os._exit(9)
        return super().asset(index)


def test_a_shard_that_ends_its_process_costs_only_itself(
    catalogue: Catalogue, shards: Path, tmp_path: Path
) -> None:
    samples = list(read_shards(shards))
    last = len(catalogue) - 1
    of_last = {s.index // 2 for s in samples if any(p.asset == last for p in s.placements)}
    assert 0 < len(of_last) < 3
    deadly = dataclasses.replace(catalogue, library=Deadly(Toys.many().assets))
    with pytest.raises(MaquetteError, match=f"{len(of_last)} of 3 shards are missing"):
        build_shards(deadly, tmp_path, CONFIG, engine=Engine(2))
    assert {shard for shard in range(3) if not (tmp_path / shard_name(shard)).exists()} == of_last
    build_shards(catalogue, tmp_path, CONFIG)
    assert contents(tmp_path) == contents(shards)


def test_building_again_writes_what_is_missing_only(
    catalogue: Catalogue, shards: Path, tmp_path: Path
) -> None:
    for name, content in contents(shards).items():
        if name != shard_name(1):
            (tmp_path / name).write_bytes(content)
    told: list[tuple[int, int]] = []
    assert (
        build_shards(
            catalogue, tmp_path, CONFIG, progress=lambda done, total: told.append((done, total))
        )
        == 2
    )
    assert told == [(5, 5)] and contents(tmp_path) == contents(shards)
    assert build_shards(catalogue, tmp_path, CONFIG) == 0


def test_a_data_set_can_grow_but_not_change(
    catalogue: Catalogue, shards: Path, tmp_path: Path
) -> None:
    for name, content in contents(shards).items():
        (tmp_path / name).write_bytes(content)
    assert (
        build_shards(catalogue, tmp_path, dataclasses.replace(CONFIG, scenes=6)) == 2
    )  # the last shard was short
    grown = contents(tmp_path)
    assert all(grown[shard_name(k)] == contents(shards)[shard_name(k)] for k in range(2))
    assert [s.index for s in read_shards(tmp_path)] == list(range(6))
    with pytest.raises(InputError, match="another seed"):
        build_shards(catalogue, tmp_path, dataclasses.replace(CONFIG, seed=4))


def test_samples_come_back_as_they_were_made(catalogue: Catalogue, shards: Path) -> None:
    for sample in read_shards(shards):
        scene, views = make_scene(catalogue, CONFIG, sample.index)
        assert sample.kind == scene.kind and sample.names == tuple(
            catalogue.names[p.asset] for p in scene.placements
        )
        for placement, mesh, made in zip(sample.placements, sample.meshes, scene.placements):
            asset = catalogue.asset(made.asset)
            assert np.array_equal(placement.world_from_asset, made.world_from_asset)
            assert all(
                np.array_equal(a, b)
                for a, b in zip(mesh, (asset.vertices, asset.faces, asset.colors))
            )
        for view, made in zip(sample.views, views):
            assert np.array_equal(view.instance, made.instance)
            assert [p.asset for p in view.placements] == [p.asset for p in made.placements]
            assert np.array_equal(np.isfinite(view.depth), np.isfinite(made.depth))
            near = made.depth < 10.0
            assert np.abs(view.depth[near] - made.depth[near]).max() < 2e-4
            assert np.einsum("nc,nc->n", view.normal[near], made.normal[near]).min() > 0.999
            assert np.abs(view.image.astype(int) - made.image).mean() < 6  # JPEG
            assert np.array_equal(view.camera.world_from_camera, made.camera.world_from_camera)
            assert np.array_equal(view.camera.intrinsics, made.camera.intrinsics)
            assert view.ground_height == made.ground_height


def test_members_follow_the_layout_of_webdataset(shards: Path) -> None:
    with tarfile.open(shards / shard_name(0)) as tar:
        names = tar.getnames()
        assert all(info.mtime == 0 and info.uid == 0 for info in tar.getmembers())
    keys = [name.split(".", 1)[0] for name in names]
    assert keys == sorted(keys) and set(keys) == {"00000000", "00000001"}  # samples are contiguous
    assert {n.split(".", 1)[1] for n in names if n.startswith("00000001")} == {
        "scene.json",
        "instances.npz",
    } | {
        f"{v}.{part}"
        for v in (0, 1)
        for part in ("image.jpg", "depth.png", "normal.png", "mask.png")
    }


def test_what_cannot_be_read_is_named(shards: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        list(read_shards(tmp_path))
    broken = tmp_path / shard_name(0)
    broken.write_bytes((shards / shard_name(0)).read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        list(read_shard(broken))
    with pytest.raises(InputError, match=r"no dataset\.json"):
        build_shards(catalogue, tmp_path, CONFIG)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not readable"):
        build_shards(catalogue, tmp_path, CONFIG)


def test_nonsense_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    for change in ({"scenes": 0}, {"views": 0}):
        with pytest.raises(InputError, match="at least 1"):
            build_shards(catalogue, tmp_path, dataclasses.replace(CONFIG, **change))


def test_the_record_names_every_option(shards: Path) -> None:
    record = json.loads((shards / "dataset.json").read_text())
    assert record["seed"] == 3 and record["assets"] == 7 and record["view"]["size"] == 48
    assert set(record) >= {f.name for f in dataclasses.fields(ShardConfig)}
    assert [kind for kind, _ in record["scene"]["mix"]] == [kind for kind, _ in SceneConfig().mix]


def test_files_in_the_making_of_another_machine_stay(catalogue: Catalogue, tmp_path: Path) -> None:
    foreign = tmp_path / f"{TEMPORARY_PREFIX}of-another-machine.tar"
    foreign.write_bytes(b"half a shard")
    build_shards(catalogue, tmp_path, CONFIG, engine=Engine(2))
    assert foreign.read_bytes() == b"half a shard"
