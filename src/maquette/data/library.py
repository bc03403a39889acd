"""A folder of assets with their fields, built once and shared by every process that trains:
memory-mapped, resumable.

    sdf.npy       (N, 64, 64, 64) float16, rows in order of completion; this and the next are not
                  there in a library without fields, which is enough for pictures
    rgb.npy       (N, 64, 64, 64, 3) uint8
    vertices.bin  float32 triples, all meshes one after another; faces.bin int32 triples,
                  colors.bin uint8 triples
    index.jsonl   one line per finished asset: name, source, licence, extent_metres, and vertices
                  and faces as running totals; what its file lacks, if anything
    failed.jsonl  one line per asset that could not be used: name and reason, and whether its
                  process had ended, so that the next build tries it again

A line of the index is written after its data, so an interrupted build is a smaller library, and
building again continues. The order is shuffled, so that a partial library is a random subset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from maquette.data.assets import Asset
from maquette.data.fields import FIELD_RESOLUTION, AssetField, compute_field
from maquette.errors import InputError, contained
from maquette.execute.pool import HERE, Engine, in_order, keep_opencv_to, processes
from maquette.execute.processes import Ended
from maquette.execute.share import require_all
from maquette.execute.store import kept_here, local_copy, path_at
from maquette.types import Arrays, JsonObject, StrPath

CountProgress = Callable[[int, int], None]  # finished, total


class AssetSource(Protocol):
    """Something that becomes an asset when a process gets to it: an Asset, an AssetFile, a mesh
    file of the importer.
    """

    @property
    def name(self) -> str:
        """Name of the asset, unique in the library."""

    def load(self) -> Asset:
        """Make the asset; InputError when it cannot be used."""


_CUBE = (FIELD_RESOLUTION,) * 3
_FIELDS: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "sdf.npy": (np.dtype(np.float16), _CUBE),
    "rgb.npy": (np.dtype(np.uint8), (*_CUBE, 3)),
}
# type, and which of the running totals counts their rows
_MESHES: dict[str, tuple[np.dtype[Any], str]] = {
    "vertices.bin": (np.dtype("<f4"), "vertices"),
    "faces.bin": (np.dtype("<i4"), "faces"),
    "colors.bin": (np.dtype(np.uint8), "vertices"),
}
_TOLD = ("name", "source", "licence", "extent_metres")  # of an asset, in its line of the index
_NO_ROWS = {"vertices": 0, "faces": 0}
_Computed = tuple[Asset, AssetField | None]
SHARES = "shares"  # folder of a library with those that machines made of their shares
_INDEX = "index.jsonl"
_FAILED = "failed.jsonl"


@dataclass(frozen=True, eq=False)
class AssetLibrary:
    """Finished assets of a library folder; arrays are read-only views of memory-mapped files."""

    folder: Path
    rows: tuple[JsonObject, ...]  # the index
    _maps: Arrays = field(init=False, repr=False)  # the files, by name

    @classmethod
    def open(cls, folder: StrPath) -> AssetLibrary:
        """Open a library, complete or still growing; InputError when the folder is none or has no
        finished asset.
        """
        root = path_at(folder)
        rows = tuple(_read_lines(root / _INDEX))
        if not rows:
            raise InputError(
                f"{root} is not an asset library with finished assets; "
                "build it with: maquette data import"
            )
        return cls(root, rows)

    def __post_init__(self) -> None:
        count = len(self.rows)
        here = kept_here(self.folder)
        maps: Arrays = {}
        if has_fields(here):
            for name in _FIELDS:
                maps[name] = np.load(here / name, mmap_mode="r")[:count]
        for name, (dtype, counted) in _MESHES.items():
            shape = (self.rows[-1][counted], 3)
            maps[name] = np.memmap(here / name, dtype, mode="r", shape=shape)
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
        before = self.rows[index - 1] if index % len(self.rows) else _NO_ROWS
        points = slice(before["vertices"], row["vertices"])
        faces = self._maps["faces.bin"][before["faces"] : row["faces"]]
        extent = row["extent_metres"] and tuple(row["extent_metres"])
        vertices = self._maps["vertices.bin"][points]
        colors = self._maps["colors.bin"][points]
        return Asset(row["name"], vertices, faces, colors, row["source"], row["licence"], extent)

    def require_fields(self) -> None:
        """InputError when it was made without distance fields."""
        if not has_fields(self.folder):
            raise InputError(
                f"{self.folder} was imported with --no-fields, but this needs distance fields; "
                "import the meshes into another folder without that option"
            )

    def sdf(self, index: int) -> np.ndarray:
        """(64, 64, 64) float16 view, negative inside, asset units; the grid spans
        fields.FIELD_EXTENT. InputError without fields.
        """
        self.require_fields()
        return self._maps["sdf.npy"][index]

    def rgb(self, index: int) -> np.ndarray:
        """(64, 64, 64, 3) uint8 view, colour of the closest surface point. InputError without
        fields.
        """
        self.require_fields()
        return self._maps["rgb.npy"][index]


def has_fields(folder: Path) -> bool:
    """Whether a library's folder holds distance fields, not meshes only."""
    return (folder / "sdf.npy").exists()


def build_library(
    sources: Sequence[AssetSource],
    out: StrPath,
    *,
    engine: Engine = HERE,
    seed: int = 0,
    fields: bool = True,
    progress: CountProgress | None = None,
) -> AssetLibrary:
    """Compute the fields of assets into a library folder, or continue one; returns the library,
    whose bytes do not depend on the engine.

    Assets whose name is already in the library (or failed before) are skipped. The processes of the
    engine compute, one writes. An asset whose process ends (out of memory, crashed in C) has
    failed, and the others are finished. Without ``fields`` the meshes are stored only. A share of
    the work makes a library of its own in ``shares/``, and ``engine.merge`` puts those together.
    ``out`` may be a URL: then the library is made here and sent there at the end.
    InputError when a library is continued the other way, or when a share has not finished.
    """
    root = path_at(out)
    if not engine.share.is_all:
        root = root / SHARES / str(engine.share).replace("/", "-of-")
    own = engine.share.part(_shuffled(sources, seed))
    with local_copy(root, _INDEX) as here:
        _build(own, here, engine, fields, progress or _silent)
    return AssetLibrary.open(root)


def _silent(done: int, of: int) -> None:
    """Show no progress."""


def _build(
    sources: Sequence[AssetSource],
    root: Path,
    engine: Engine,
    fields: bool,
    progress: CountProgress,
) -> None:
    """``build_library`` in a local folder."""
    root.mkdir(parents=True, exist_ok=True)
    done = list(_read_lines(root / _INDEX))
    known = {row["name"] for row in done} | {row["name"] for row in _settled(root)}
    todo = [source for source in sources if source.name not in known]
    if done and fields != has_fields(root):
        raise InputError(
            f"{root} holds assets {'without' if fields else 'with'} distance fields; "
            f"{'add' if not fields else 'leave out'} --no-fields, or choose another folder"
        )
    if todo:
        _prepare(root, done, len(done) + len(todo), fields)
    settled = len(sources) - len(todo)
    outcomes = _merged(todo, root) if engine.merge else _outcomes(todo, engine, fields)
    for name, outcome in outcomes:
        if isinstance(outcome, tuple):
            done.append(_write_row(root, done, *outcome))
        else:
            _write_failure(root, name, outcome)
        settled += 1
        progress(settled, len(sources))


def _shuffled(sources: Sequence[AssetSource], seed: int) -> list[AssetSource]:
    """The sources in the order of the library. InputError when two have one name."""
    repeated = len(sources) - len({source.name for source in sources})
    if repeated:
        raise InputError(f"asset names must be unique, {repeated} are repeated; rename the files")
    return [sources[i] for i in np.random.default_rng(seed).permutation(len(sources))]


def _write_failure(root: Path, name: str, outcome: str | Ended) -> None:
    """Record why an asset cannot be used, or was lost and is to be tried again."""
    if isinstance(outcome, Ended):
        _append_line(
            root / _FAILED,
            {
                "name": name,
                "reason": outcome.reason,
                "again": True,
            },
        )
    else:
        _append_line(root / _FAILED, {"name": name, "reason": outcome})


def failures(folder: StrPath) -> dict[str, str]:
    """Read why assets were left out of a library: name -> reason."""
    return {row["name"]: row["reason"] for row in _read_lines(path_at(folder) / _FAILED)}


def incomplete(library: AssetLibrary) -> dict[str, str]:
    """What the files of assets named and did not have, such as textures: name -> sentences."""
    return {row["name"]: "; ".join(row["lacks"]) for row in library.rows if "lacks" in row}


def _settled(root: Path) -> Iterator[JsonObject]:
    """The lines of failed assets that are not tried again."""
    return (row for row in _read_lines(root / _FAILED) if not row.get("again"))


def _outcomes(
    todo: Sequence[AssetSource],
    engine: Engine,
    fields: bool,
) -> Iterator[tuple[str, _Computed | str | Ended]]:
    """Finished assets in their order, each as soon as those before it are there."""
    if not todo:
        return
    with processes(engine, prepare=keep_opencv_to) as pool:
        outcomes = pool.outcomes(_compute, [(source, fields) for source in todo])
        for number, outcome in in_order(outcomes):
            yield todo[number].name, outcome


def _merged(
    todo: Sequence[AssetSource], root: Path
) -> Iterator[tuple[str, _Computed | str | Ended]]:
    """The same from the libraries of shares. InputError when an asset is in none of them."""
    folders = sorted((root / SHARES).glob("*-of-*"))
    parts = [AssetLibrary.open(folder) for folder in folders if (folder / _INDEX).exists()]
    places = {name: (part, k) for part in parts for k, name in enumerate(part.names)}
    refused = {row["name"]: row["reason"] for folder in folders for row in _settled(folder)}
    names = [source.name for source in todo]
    require_all(
        [name for name in names if name not in places and name not in refused],
        len(todo),
        "assets",
    )
    for name in names:
        if name in refused:
            yield name, refused[name]
            continue
        part, k = places[name]
        stored = AssetField(part.sdf(k), part.rgb(k)) if has_fields(part.folder) else None
        lacks = part.rows[k].get("lacks", ())
        yield name, (replace(part.asset(k), lacks=tuple(lacks)), stored)


def _compute(source: AssetSource, fields: bool) -> _Computed | str:
    """Return the asset and its field, or why it cannot be used."""
    try:
        with contained(f"{source.name}: it cannot be computed", "leave it out"):
            asset = source.load()
            computed = compute_field(asset) if fields else None
    except InputError as error:
        return str(error)
    if computed is not None and not (computed.sdf < 0).any():
        return "nothing is inside or near its surface"
    return asset, computed


def _prepare(
    root: Path,
    done: list[JsonObject],
    capacity: int,
    fields: bool,
) -> None:
    """Make room for ``capacity`` rows (the files are sparse) and cut off what an interrupted build
    left behind.
    """
    for name, (dtype, shape) in _FIELDS.items():
        if not fields:
            (root / name).unlink(missing_ok=True)
            continue
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (capacity, *shape),
        }
        with _opened(root / name) as stream:
            # padded for growth, so rewriting it moves no data
            np.lib.format.write_array_header_1_0(stream, header)
            row_bytes = int(np.prod(shape)) * dtype.itemsize
            stream.truncate(stream.tell() + capacity * row_bytes)
    for name, (dtype, counted) in _MESHES.items():
        total = done[-1][counted] if done else 0
        with _opened(root / name) as stream:
            stream.truncate(total * 3 * dtype.itemsize)
    for name, kept in ((_INDEX, done), (_FAILED, list(_settled(root)))):
        lines = [json.dumps(line) + "\n" for line in kept]
        (root / name).write_text("".join(lines), encoding="utf-8")


def _opened(path: Path) -> BinaryIO:
    """A file to read and write that is there, empty if it was not."""
    path.touch()
    return path.open("r+b")


def _write_row(
    root: Path,
    done: list[JsonObject],
    asset: Asset,
    fields: AssetField | None,
) -> JsonObject:
    """Store one asset and its field behind those that are done; its line in the index comes last
    and makes it valid.
    """
    stored = {} if fields is None else {"sdf.npy": fields.sdf, "rgb.npy": fields.rgb}
    for name, values in stored.items():
        with (root / name).open("r+b") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            stream.seek(len(done) * values.nbytes, os.SEEK_CUR)
            stream.write(np.ascontiguousarray(values).tobytes())
    arrays = (asset.vertices, asset.faces, asset.colors)
    for (name, (dtype, _)), values in zip(_MESHES.items(), arrays):
        with (root / name).open("ab") as stream:
            stream.write(np.ascontiguousarray(values, dtype).tobytes())
    before = done[-1] if done else _NO_ROWS
    line = {key: getattr(asset, key) for key in _TOLD}
    line["vertices"] = before["vertices"] + len(asset.vertices)
    line["faces"] = before["faces"] + len(asset.faces)
    if asset.lacks:
        line["lacks"] = asset.lacks
    _append_line(root / _INDEX, line)
    return line


def _append_line(path: Path, line: JsonObject) -> None:
    """One JSON object more, on a line of its own."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _read_lines(path: Path) -> Iterator[JsonObject]:
    """Lines of a .jsonl file that may be missing; a last line without its end was torn by an
    interruption.
    """
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)
