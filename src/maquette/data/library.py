"""A folder of assets with their fields, built once and shared by every process that trains:
memory-mapped, resumable.

    sdf.npy       (N, 64, 64, 64) float16      rgb.npy  (N, 64, 64, 64, 3) uint8, rows in order of
    completion vertices.bin  float32 triples, faces.bin int32 triples, colors.bin uint8 triples, all
    meshes one after another index.jsonl   one line per finished asset: name, source, licence,
    extent_metres, vertices, faces (running totals) failed.jsonl  one line per asset that could not
    be used: name and reason

A line of the index is written after its data, so an interrupted build is a smaller library, and
building again continues. The order is shuffled, so that a partial library is a random subset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maquette.data.assets import Asset
from maquette.data.fields import FIELD_RESOLUTION, AssetField, compute_field
from maquette.errors import InputError
from maquette.processes import spawned

Progress = Callable[[int, int], None]  # finished, total


class Source(Protocol):
    """Something that becomes an asset when a process gets to it: an Asset, an AssetFile, a mesh
    file of the importer.
    """

    @property
    def name(self) -> str:
        """Name of the asset, unique in the library."""

    def load(self) -> Asset:
        """Make the asset; InputError when it cannot be used."""


_CUBE = (FIELD_RESOLUTION,) * 3
_FIELDS = {"sdf.npy": (np.dtype(np.float16), _CUBE), "rgb.npy": (np.dtype(np.uint8), (*_CUBE, 3))}
_MESHES = {
    "vertices.bin": np.dtype("<f4"),
    "faces.bin": np.dtype("<i4"),
    "colors.bin": np.dtype(np.uint8),
}
_INDEX = "index.jsonl"
_FAILED = "failed.jsonl"


@dataclass(frozen=True, eq=False)
class AssetLibrary:
    """Finished assets of a library folder; all arrays are read-only views of memory-mapped files."""

    folder: Path
    rows: tuple[dict[str, Any], ...]  # the index

    @classmethod
    def open(cls, folder: str | Path) -> AssetLibrary:
        """Open a library, complete or still growing; InputError when the folder is none or has no
        finished asset.
        """
        root = Path(folder)
        rows = tuple(_read_lines(root / _INDEX))
        if not rows:
            raise InputError(
                f"{root} is not an asset library with finished assets; build it with: maquette data import"
            )
        return cls(root, rows)

    def __post_init__(self) -> None:
        count = len(self.rows)
        maps = {name: np.load(self.folder / name, mmap_mode="r")[:count] for name in _FIELDS}
        for name, dtype in _MESHES.items():
            total = self.rows[-1]["faces" if name == "faces.bin" else "vertices"]
            maps[name] = np.memmap(self.folder / name, dtype, mode="r", shape=(total, 3))
        object.__setattr__(self, "_maps", maps)

    def __reduce__(self) -> tuple[Any, ...]:
        return (AssetLibrary, (self.folder, self.rows))  # another process maps the files itself

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the assets, in row order."""
        return tuple(row["name"] for row in self.rows)

    def asset(self, index: int) -> Asset:
        """Return the mesh of row ``index``, as views."""
        row = self.rows[index]
        before = self.rows[index - 1] if index % len(self.rows) else {"vertices": 0, "faces": 0}
        points = slice(before["vertices"], row["vertices"])
        faces = self._maps["faces.bin"][before["faces"] : row["faces"]]
        extent = tuple(row["extent_metres"]) if row["extent_metres"] else None
        vertices = self._maps["vertices.bin"][points]
        colors = self._maps["colors.bin"][points]
        return Asset(row["name"], vertices, faces, colors, row["source"], row["licence"], extent)

    def sdf(self, index: int) -> np.ndarray:
        """(64, 64, 64) float16 view, negative inside, asset units; the grid spans
        fields.FIELD_EXTENT.
        """
        return self._maps["sdf.npy"][index]

    def rgb(self, index: int) -> np.ndarray:
        """(64, 64, 64, 3) uint8 view, colour of the closest surface point."""
        return self._maps["rgb.npy"][index]


def build_library(
    sources: Sequence[Source],
    out: str | Path,
    *,
    jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> AssetLibrary:
    """Compute the fields of assets into a library folder, or continue one; returns the library.

    Assets whose name is already in the library (or failed before) are skipped. ``jobs`` processes
    compute, one writes.
    """
    root = Path(out)
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise InputError(
            f"asset names must be unique, {len(names) - len(set(names))} are repeated; rename the files"
        )
    root.mkdir(parents=True, exist_ok=True)
    done = list(_read_lines(root / _INDEX))
    known = {row["name"] for row in done} | {row["name"] for row in _read_lines(root / _FAILED)}
    shuffled = [sources[i] for i in np.random.default_rng(seed).permutation(len(sources))]
    todo = [source for source in shuffled if source.name not in known]
    if todo:
        _prepare(root, done, len(done) + len(todo))
    settled = len(sources) - len(todo)
    for name, outcome in _outcomes(todo, jobs):
        if isinstance(outcome, str):
            _append_line(root / _FAILED, {"name": name, "reason": outcome})
        else:
            done.append(
                _write_row(
                    root, done[-1] if done else {"vertices": 0, "faces": 0}, len(done), *outcome
                )
            )
        settled += 1
        if progress is not None:
            progress(settled, len(sources))
    return AssetLibrary.open(root)


def failures(folder: str | Path) -> dict[str, str]:
    """Read why assets were left out of a library: name -> reason."""
    return {row["name"]: row["reason"] for row in _read_lines(Path(folder) / _FAILED)}


def _outcomes(
    todo: Sequence[Source], jobs: int
) -> Iterator[tuple[str, tuple[Asset, AssetField] | str]]:
    """Finished assets as they come; few are under way at a time, because a field takes a megabyte."""
    if jobs <= 1:
        for source in todo:
            yield source.name, _compute(source)
        return
    with spawned(jobs, _single_thread) as pool:
        remaining = iter(todo)
        running: dict[Future, str] = {}
        while True:
            for source in remaining:
                running[pool.submit(_compute, source)] = source.name
                if len(running) >= 2 * jobs:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _single_thread() -> None:
    os.environ.update(IGL_NUM_THREADS="1", OMP_NUM_THREADS="1")  # the processes are the parallelism


def _compute(source: Source) -> tuple[Asset, AssetField] | str:
    """Return the asset and its field, or why it cannot be used."""
    try:
        asset = source.load()
    except InputError as error:
        return str(error)
    field = compute_field(asset)
    return (asset, field) if (field.sdf < 0).any() else "nothing is inside or near its surface"


def _prepare(root: Path, done: list[dict[str, Any]], capacity: int) -> None:
    """Make room for ``capacity`` rows (the files are sparse) and cut off what an interrupted build
    left behind.
    """
    for name, (dtype, shape) in _FIELDS.items():
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (capacity, *shape),
        }
        with (root / name).open("r+b" if (root / name).exists() else "w+b") as stream:
            np.lib.format.write_array_header_1_0(
                stream, header
            )  # padded for growth, so rewriting it moves no data
            stream.truncate(stream.tell() + capacity * int(np.prod(shape)) * dtype.itemsize)
    for name, dtype in _MESHES.items():
        total = done[-1]["faces" if name == "faces.bin" else "vertices"] if done else 0
        with (root / name).open("r+b" if (root / name).exists() else "w+b") as stream:
            stream.truncate(total * 3 * dtype.itemsize)
    for name in (_INDEX, _FAILED):
        lines = list(_read_lines(root / name))
        (root / name).write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )


def _write_row(
    root: Path, before: dict[str, Any], row: int, asset: Asset, field: AssetField
) -> dict[str, Any]:
    """Store one asset and its field; its line in the index comes last and makes it valid."""
    for name, values in (("sdf.npy", field.sdf), ("rgb.npy", field.rgb)):
        with (root / name).open("r+b") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            stream.seek(row * values.nbytes, os.SEEK_CUR)
            stream.write(np.ascontiguousarray(values).tobytes())
    for (name, dtype), values in zip(_MESHES.items(), (asset.vertices, asset.faces, asset.colors)):
        with (root / name).open("ab") as stream:
            stream.write(np.ascontiguousarray(values, dtype).tobytes())
    line = {
        "name": asset.name,
        "source": asset.source,
        "licence": asset.licence,
        "extent_metres": asset.extent_metres,
    }
    line |= {
        "vertices": before["vertices"] + len(asset.vertices),
        "faces": before["faces"] + len(asset.faces),
    }
    _append_line(root / _INDEX, line)
    return line


def _append_line(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a .jsonl file that may be missing; a last line without its end was torn by an
    interruption.
    """
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)
