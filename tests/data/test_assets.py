import numpy as np
import pytest

from maquette.data.assets import (
    Asset,
    AssetFile,
    attributed,
    load_asset,
    manifest_beside,
    save_asset,
    split_by_label,
    weld,
)
from maquette.errors import InputError


@pytest.fixture
def tetrahedron() -> Asset:
    vertices = np.array(
        [[-0.5, -0.2, 0.1], [0.5, -0.2, 0.1], [0.0, 0.2, 0.1], [0.0, 0.0, -0.1]], np.float32
    )
    faces = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], np.int32)
    return Asset(
        "tetra",
        vertices,
        faces,
        np.arange(12, dtype=np.uint8).reshape(4, 3),
        extent_metres=(2.0, 0.8, 0.4),
    )


def test_file_round_trip_keeps_the_mesh_to_the_stored_precision(tmp_path, tetrahedron):
    read = load_asset(save_asset(tetrahedron, tmp_path / "tetra.npz"))
    assert read.name == "tetra"
    assert np.abs(read.vertices - tetrahedron.vertices).max() <= 0.5 / 65535 + 1e-7
    assert (read.faces == tetrahedron.faces).all()
    assert (read.colors == tetrahedron.colors).all()


def test_the_size_counts_only_when_the_source_is_metric(tmp_path, tetrahedron):
    path = save_asset(tetrahedron, tmp_path / "tetra.npz")
    assert load_asset(path).extent_metres is None
    assert load_asset(AssetFile(path, metric=True)).extent_metres == pytest.approx((2.0, 0.8, 0.4))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all"])
def test_damaged_files_are_input_errors(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npz"):
        load_asset(path)
    with pytest.raises(InputError):
        load_asset(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    "change",
    [{"f": np.array([[0, 1, 9]])}, {"c": np.zeros((2, 3), np.uint8)}, {"f": np.zeros((0, 3), int)}],
)
def test_arrays_that_do_not_fit_are_input_errors(tmp_path, change):
    arrays = {
        "v": np.zeros((3, 3), np.uint16),
        "f": np.array([[0, 1, 2]]),
        "c": np.zeros((3, 3), np.uint8),
    } | change
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InputError, match="do not fit"):
        load_asset(tmp_path / "odd.npz")


def test_the_manifest_in_a_folder_or_next_to_it_tells_where_files_come_from(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    assert manifest_beside(folder) == {}
    text = "id,source_repo,licence,extent_unit\na,someone/things,CC0-1.0,m\n"
    (tmp_path / "manifest.csv").write_text(text)
    rows = manifest_beside(folder)
    path = folder / "a.npz"
    assert attributed(path, rows["a"]) == AssetFile(path, "someone/things", "CC0-1.0", True)
    assert attributed(path, {}) == AssetFile(path)
    (folder / "manifest.csv").write_text("name,source,license\nb,me,MIT\n")
    assert attributed(path, manifest_beside(folder)["b"]) == AssetFile(path, "me", "MIT")


def test_weld_merges_equal_positions_and_keeps_every_triangle():
    rng = np.random.default_rng(0)
    soup = rng.integers(0, 3, (60, 3)).astype(np.float32)
    faces = np.arange(60).reshape(20, 3)
    unique, welded = weld(soup, faces)
    assert len(unique) == len({tuple(row) for row in soup})
    assert (unique[welded] == soup[faces]).all()


def test_split_by_label_gives_each_label_its_own_vertices():
    faces = np.array([[0, 1, 2], [2, 1, 3], [3, 1, 0]])
    source, split, label = split_by_label(faces, np.array([0, 1, 1]))
    assert (source[split] == faces).all()
    assert (label[split] == np.array([0, 1, 1])[:, None]).all()
    assert len(source) == 3 + 4 - 0 - 0 and len(set(zip(source, label))) == len(source)
