from pathlib import Path

import numpy as np
import pytest

from maquette.data.assets import load_asset
from maquette.data.catalogue import AssetList
from maquette.data.procedural import procedural_asset
from maquette.data.variants import make_assets, varied
from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box


def test_a_variant_is_normalised_and_keeps_colours_and_topology() -> None:
    original = procedural_asset(np.random.default_rng(1), "chair")
    variant = varied(original, np.random.default_rng(2))
    box = bounding_box(variant.vertices)
    assert np.allclose(box.mean(0), 0, atol=1e-6) and np.isclose(
        np.ptp(box, axis=0).max(), 1, atol=1e-6
    )
    assert np.array_equal(variant.faces, original.faces) and np.array_equal(
        variant.colors, original.colors
    )
    assert (
        variant.name.startswith(original.name)
        and variant.name != original.name
        and variant.extent_metres is None
    )
    proportions = [np.ptp(bounding_box(asset.vertices), axis=0) for asset in (original, variant)]
    assert not np.allclose(*proportions, atol=0.02)


def test_a_variant_stays_upright_and_tapers_evenly() -> None:
    original = procedural_asset(np.random.default_rng(1), "cabinet")
    variant = varied(original, np.random.default_rng(3))
    height = original.vertices[:, 1], variant.vertices[:, 1]
    assert np.corrcoef(*height)[0, 1] > 0.999999  # heights are only scaled: what stood, stands
    known = np.abs(original.vertices[:, 0]) > 0.1
    width = variant.vertices[known, 0] / original.vertices[known, 0]
    line = np.polyfit(height[0][known], width, 1)
    assert np.abs(np.polyval(line, height[0][known]) - width).max() < 0.02 * width.mean() + 0.02


def test_assets_depend_on_their_number_and_the_seed_only(tmp_path: Path) -> None:
    make_assets(tmp_path / "two", 2, seed=5)
    make_assets(tmp_path / "three", 3, seed=5)
    make_assets(tmp_path / "other", 2, seed=6)
    two, three, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("two", "three", "other")
    )
    assert len(three) == 3 and two.items() < three.items() and not set(two) & set(other)


def test_each_original_has_its_turn(tmp_path: Path) -> None:
    originals = AssetList(
        tuple(procedural_asset(np.random.default_rng(0), family) for family in ("mug", "sofa"))
    )
    seen: list[tuple[int, int]] = []
    make_assets(
        tmp_path / "out",
        4,
        originals=originals,
        progress=lambda done, total: seen.append((done, total)),
    )
    made = sorted(path.name.split("-")[0] for path in (tmp_path / "out").iterdir())
    assert made == ["mug", "mug", "sofa", "sofa"] and seen[-1] == (4, 4)
    asset = load_asset(next((tmp_path / "out").glob("mug-*")))
    assert np.array_equal(asset.faces, originals.assets[0].faces)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        make_assets(tmp_path, 1)
    with pytest.raises(InputError, match="holds something else"):
        make_assets(tmp_path / "notes.txt", 1)
