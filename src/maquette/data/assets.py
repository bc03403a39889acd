"""One coloured object: the `Asset`, its file format, and folders of such files.

First module of the data engine; the importer and the procedural families make assets, the library
stores their fields. A file is one `.npz`: `v` uint16 (N, 3) positions over the unit cube, `f` (M,
3) faces, `c` uint8 (N, 3) sRGB colours and `extent` float32 (3,), the size of the source. Vertices
are split where the colour changes, so topology needs `weld`.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.transforms import VerticesAndFaces
from maquette.types import StrPath

MANIFEST = "manifest.csv"
_STEPS = 65535  # positions are stored as fractions of the unit cube in 16 bits


@dataclass(frozen=True, eq=False)
class Asset:
    """A coloured mesh in its own frame: +Y up, centred on its axis-aligned box, whose longest side
    is 1.
    """

    name: str
    vertices: np.ndarray  # (V, 3) float32 in [-0.5, 0.5]
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray  # (V, 3) uint8 sRGB
    source: str = ""  # where it came from, for the attribution
    licence: str = ""
    # size of the real object; None = unknown scale
    extent_metres: tuple[float, float, float] | None = None
    lacks: tuple[str, ...] = ()  # what its file names and that was not found, for the report

    def load(self) -> Asset:
        """Return itself: an asset in memory is its own source."""
        return self


@dataclass(frozen=True)
class AssetFile:
    """An asset on disk, not read yet."""

    path: Path
    source: str = ""
    licence: str = ""
    metric: bool = False  # the file's extent is in metres

    @property
    def name(self) -> str:
        """The asset's name: the file name without its suffix."""
        return self.path.stem

    def load(self) -> Asset:
        """Read the file; see ``load_asset``."""
        return load_asset(self)


def load_asset(file: StrPath | AssetFile) -> Asset:
    """Read one `.npz` asset; InputError when it is missing, damaged or inconsistent."""
    entry = file if isinstance(file, AssetFile) else AssetFile(Path(file))
    try:
        with np.load(entry.path, allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in ("v", "f", "c")}
            extent = arrays["extent"] if "extent" in arrays else np.zeros(3)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{entry.path}: not an asset (.npz with arrays v, f, c; {error}); import it again"
        ) from error
    vertices = (stored["v"].astype(np.float64) / _STEPS - 0.5).astype(np.float32)
    faces = stored["f"].astype(np.int32)
    colors = stored["c"]
    if not len(faces) or faces.max() >= len(vertices) or colors.shape != vertices.shape:
        shapes = f"{faces.shape}, vertices {vertices.shape}, colours {colors.shape}"
        raise InputError(
            f"{entry.path}: its arrays do not fit together (faces {shapes}); import it again"
        )
    size: tuple[float, float, float] | None = None
    if entry.metric and np.min(extent) >= 0 and np.max(extent) > 0:
        width, height, depth = extent.tolist()
        size = (width, height, depth)
    return Asset(entry.name, vertices, faces, colors, entry.source, entry.licence, size)


def save_asset(asset: Asset, path: StrPath) -> Path:
    """Write one `.npz` asset (positions rounded to 1 / 65535); returns its path."""
    target = Path(path)
    steps = np.rint((np.asarray(asset.vertices, np.float64) + 0.5) * _STEPS)
    positions = steps.clip(0, _STEPS).astype(np.uint16)
    extent = np.asarray(asset.extent_metres or np.ptp(asset.vertices, axis=0), np.float32)
    faces = asset.faces.astype(np.uint32)
    np.savez_compressed(
        target,
        v=positions,
        f=faces,
        c=asset.colors,
        extent=extent,
    )
    return target


def manifest_beside(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the manifest.csv in a folder or next to it, by their `id` (or, without one, their
    `name`); empty when there is none.
    """
    for path in (folder / MANIFEST, folder.parent / MANIFEST):
        if path.is_file():
            with path.open(newline="", encoding="utf-8-sig") as lines:
                rows = list(csv.DictReader(lines))
            return {row.get("id") or row.get("name") or "": row for row in rows}
    return {}


def attributed(path: Path, row: dict[str, str]) -> AssetFile:
    """A file with what its row of the manifest says of it."""
    source = row.get("source") or row.get("source_repo") or ""
    licence = row.get("licence") or row.get("license") or ""
    return AssetFile(path, source, licence, row.get("extent_unit") == "m")


def in_asset_frame(vertices: np.ndarray) -> np.ndarray:
    """Vertices in the frame of an asset: its box centred, its longest side 1."""
    return (vertices - bounding_box(vertices).mean(0)) / longest_side(vertices)


def weld(vertices: np.ndarray, faces: np.ndarray) -> VerticesAndFaces:
    """Merge vertices of equal position -> unique vertices (U, 3) and faces (F, 3) over them, in the
    same order.

    Faces that collapse are kept, so that face indices stay valid; distances accept them.
    """
    unique, inverse = np.unique(vertices, axis=0, return_inverse=True)
    return unique, inverse.reshape(-1)[faces].astype(faces.dtype)


def split_by_label(
    faces: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each label (F,) of faces its own vertices: source vertex (W,), faces (F, 3) over the W,
    and label (W,) of each.
    """
    labels = int(label.max()) + 1
    key = faces.astype(np.int64) * labels + label[:, None]
    unique, inverse = np.unique(key, return_inverse=True)
    return unique // labels, inverse.reshape(faces.shape), unique % labels
