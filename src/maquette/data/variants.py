"""More objects than were collected: procedural ones, and collected ones in other proportions, as a
folder of assets to import.

Beside the importer: what it writes is read by ``maquette data import``. A network that reads shape
off pictures learns proportions by heart when each object has only its own; stretched and tapered
along its axes, the same object asks to be looked at again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from maquette.data.assets import Asset, in_asset_frame, save_asset
from maquette.data.catalogue import AssetList
from maquette.data.library import AssetLibrary, CountProgress
from maquette.data.procedural import procedural_asset
from maquette.errors import InputError
from maquette.types import StrPath

STRETCH = 0.3  # standard deviation of the logarithm of each axis's factor
TAPER = 0.4  # at most by how much the top is wider or narrower than the middle


def varied(asset: Asset, rng: Generator) -> Asset:
    """Another object of the same colours: stretched along its three axes, tapered upwards,
    normalised again.

    Named ``<name>-varied-<8 hex digits>``; its real size is not known.
    """
    vertices = asset.vertices.astype(np.float64) * np.exp(rng.normal(0.0, STRETCH, 3))
    up = asset.vertices[:, 1:2]
    height = max(float(np.ptp(up)), 1e-6)
    vertices[:, [0, 2]] *= 1 + rng.uniform(-TAPER, TAPER) * up / height
    vertices = in_asset_frame(vertices).astype(np.float32)
    return replace(
        asset,
        name=f"{asset.name}-varied-{rng.integers(2**32):08x}",
        vertices=vertices,
        extent_metres=None,
    )


def make_assets(
    out: StrPath,
    count: int,
    seed: int = 0,
    originals: AssetLibrary | AssetList | None = None,
    progress: CountProgress | None = None,
) -> None:
    """Write ``count`` .npz assets into a folder: procedural ones, or variants of the ``originals``,
    each in turn.

    Asset k depends on (seed, k) and the originals only. InputError when the folder holds anything
    but .npz files.
    """
    folder = Path(out)
    if not all(path.suffix == ".npz" for path in folder.glob("*")) or folder.is_file():
        raise InputError(f"{folder} holds something else than .npz assets; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        if originals is None:
            asset = procedural_asset(rng)
        else:
            asset = varied(originals.asset(k % len(originals)), rng)
        save_asset(asset, folder / f"{asset.name}.npz")
        if progress is not None:
            progress(k + 1, count)
