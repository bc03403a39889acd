"""Any folder of meshes -> asset library: GLB, glTF, OBJ, PLY, STL, OFF and our own .npz.

Each file becomes one asset: scene graph flattened, colours baked to vertices, cleaned, oriented,
normalised, simplified. Files that cannot be used are left out with a reason; nothing stops the run.
A manifest.csv in the folder (columns id or name, source, licence, extent_unit) gives the
attributions that the library keeps.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import trimesh

from maquette.data.assets import (
    Asset,
    AssetFile,
    attributed,
    in_asset_frame,
    load_asset,
    manifest_beside,
    split_by_label,
    weld,
)
from maquette.data.baking import Soup, baked
from maquette.data.library import AssetLibrary, CountProgress, build_library, failures, incomplete
from maquette.data.orientation import flipped
from maquette.errors import InputError, MaquetteError, MissingExtraError, contained
from maquette.execute.pool import Engine
from maquette.execute.store import brought_here, is_far, path_at
from maquette.export import mesh_files
from maquette.export.mesh_files import read_mesh_file
from maquette.geometry.boxes import longest_side
from maquette.geometry.connectivity import proper, sums_at
from maquette.geometry.polygons import doubled_areas, doubled_normals
from maquette.geometry.transforms import unit_vectors
from maquette.options.data import ImportOptions
from maquette.types import StrPath

SUFFIXES = (*mesh_files.SUFFIXES, ".npz")
ALONE = (".glb", ".stl", ".npz")  # need no other file
# what the others may name
NAMED = (".mtl", ".bin", ".png", ".jpg", ".jpeg", ".webp", ".tga", ".bmp", ".ktx2")
FACE_BUDGET = 5000
ONE_BY_ONE = ImportOptions(jobs=0)  # in this process
_RELIEF = 0.02  # height of white over black while simplifying, in units of the longest side
_MAX_SOURCE_FACES = 2_000_000
# textures may split a mesh up to this many times the budget before it is simplified
_BAKE_FACTOR = 8


@dataclass(frozen=True)
class MeshFile:
    """One file to import."""

    path: Path
    name: str
    source: str = ""
    licence: str = ""
    metric: bool = False  # the file's unit is the metre
    up: str = "y"  # the file's upward axis: "y" or "z"
    face_budget: int = FACE_BUDGET
    folder: Path | None = None  # where the files may lie that it names; None = beside it only

    def load(self) -> Asset:
        """Read, bake and clean; InputError with the reason when the file cannot be used, and
        another MaquetteError when it is not there: that is no fault of the file.
        """
        if not self.path.is_file():
            raise MaquetteError(
                f"{self.path}: {platform.node()} does not see it; keep the meshes where they are, "
                "and let all machines see them"
            )
        named = () if self.path.suffix.lower() in ALONE else NAMED
        with brought_here(self.path, named) as here:
            folder = here.parent if is_far(self.path) else self.folder
            return import_mesh(replace(self, path=here, folder=folder))


@dataclass(frozen=True, eq=False)
class ImportReport:
    """What became of the files."""

    library: AssetLibrary
    dropped: dict[str, str]  # name -> reason
    incomplete: dict[str, str] = field(default_factory=dict)  # imported: name -> what it lacks
    others: tuple[Path, ...] = ()  # meshes of formats that are not read

    def table(self) -> str:
        """Lines for people: how many were imported, and what was left out and why, counted, with
        the first name of each kind.
        """
        counts = Counter(_in_short(reason) for reason in self.dropped.values())
        first = {_in_short(why): name for name, why in sorted(self.dropped.items(), reverse=True)}
        rows = [(len(self.library), "imported")]
        if self.incomplete:
            name, lack = next(iter(self.incomplete.items()))
            rows.append((len(self.incomplete), f"of them incomplete; the first, {name}: {lack}"))
        if self.others:
            rows.append((len(self.others), f"left out: {_of_other_formats(self.others)}"))
        for reason, count in counts.most_common():
            which = "the first: " if count > 1 else ""
            rows.append((count, f"{reason} ({which}{first[reason]})"))
        return "\n".join(f"{count:6d}  {what}" for count, what in rows)


def _in_short(reason: str) -> str:
    """A reason without the file's name and without what is in brackets and behind."""
    return reason.partition(": ")[2].partition(" (")[0] or reason


def import_folder(
    folder: StrPath,
    out: StrPath,
    options: ImportOptions = ONE_BY_ONE,
    progress: CountProgress | None = None,
    engine: Engine | None = None,
) -> ImportReport:
    """Import every mesh below a folder into a library folder; run it again to continue after an
    interruption.

    The processes of the engine (default: ``options.jobs`` of this machine) work, and a file that
    ends one is dropped with that reason; a share of the files makes a library of its own, see
    ``build_library``.
    InputError when the folder holds no mesh or none can be used; MissingExtraError without the
    extra maquette[data].
    """
    _require_extras()
    files = find_meshes(folder, up=options.up, metric=options.metric)
    try:
        library = build_library(
            files,
            out,
            engine=engine or Engine(options.jobs),
            seed=options.seed,
            fields=options.fields,
            progress=progress,
        )
    except InputError as error:
        dropped = failures(out)
        if not dropped:
            raise
        name, reason = next(iter(dropped.items()))
        raise InputError(
            f"none of the {len(files)} meshes of {folder} could be used; "
            f"the first, {name}: {reason}"
        ) from error
    dropped = failures(library.folder)
    return ImportReport(library, dropped, incomplete(library), other_meshes(folder))


def find_meshes(folder: StrPath, *, up: str = "y", metric: bool = False) -> tuple[MeshFile, ...]:
    """List the mesh files below a folder, sorted; names are relative paths joined by dashes,
    without the suffix if that is unique.
    """
    root = path_at(folder)
    paths = _files_below(root, SUFFIXES)
    if not paths:
        others = other_meshes(root)
        found = f"; {len(others)} {_of_other_formats(others)}" if others else ""
        raise InputError(
            f"{root} holds no meshes; "
            f"expected a folder with files ending in {', '.join(SUFFIXES)}{found}"
        )
    manifest = manifest_beside(root)
    stems = ["-".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    times = Counter(stems)
    files = []
    for path, stem in zip(paths, stems):
        name = stem if times[stem] == 1 else f"{stem}-{path.suffix[1:].lower()}"
        row = manifest.get(stem) or manifest.get(path.stem) or {}
        entry = attributed(path, row)
        made = MeshFile(
            path,
            name,
            entry.source,
            entry.licence,
            up=up,
            metric=metric or entry.metric,
            folder=root,
        )
        files.append(made)
    return tuple(files)


def other_meshes(folder: StrPath) -> tuple[Path, ...]:
    """The files below a folder whose suffixes say that they are meshes of formats not read here."""
    return _files_below(path_at(folder), mesh_files.OTHER_SUFFIXES)


def _files_below(root: Path, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """The files below a folder that end in one of the suffixes, sorted."""
    paths = (path for path in root.rglob("*") if path.suffix.lower() in suffixes)
    return tuple(sorted(path for path in paths if path.is_file()))


def _of_other_formats(paths: tuple[Path, ...]) -> str:
    """What a report says about files that are not read."""
    suffixes = sorted({path.suffix.lower() for path in paths})
    return f"of other formats ({', '.join(suffixes)}); {mesh_files.REMEDY}"


def import_mesh(file: MeshFile) -> Asset:
    """Make one asset of one file; InputError with the reason when it cannot be used."""
    if file.path.suffix.lower() == ".npz":
        entry = AssetFile(file.path, file.source, file.licence, file.metric)
        return replace(load_asset(entry), name=file.name)
    with contained(f"{file.path}: it cannot be used as a mesh", "export it again"):
        return _imported(file)


def _imported(file: MeshFile) -> Asset:
    """One asset of one file: +Y up, turned outward, simplified, longest side 1, centred."""
    soup, lacks = _read(file)
    vertices, faces, colors = _cleaned(soup)
    if not len(faces):
        raise InputError(f"{file.path}: no face has an area")
    if file.up == "z":
        vertices = vertices[:, [0, 2, 1]] * [1.0, 1.0, -1.0]
    extent = tuple((vertices.max(0) - vertices.min(0)).tolist()) if file.metric else None
    soup = _oriented((in_asset_frame(vertices), faces, colors))
    vertices, faces, colors = _simplified(soup, file.face_budget)
    vertices = in_asset_frame(vertices).astype(np.float32)
    faces = faces.astype(np.int32)
    return Asset(file.name, vertices, faces, colors, file.source, file.licence, extent, lacks)


def _require_extras() -> None:
    """MissingExtraError with the line to install."""
    try:
        import fast_simplification  # noqa: F401
        import igl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'importing meshes needs libigl and fast-simplification: pip install "maquette[data]"'
        ) from error


def _read(file: MeshFile) -> tuple[Soup, tuple[str, ...]]:
    """All triangles of a file in world coordinates, with colours; and notes on what it lacks."""
    content = read_mesh_file(file.path, folder=file.folder)
    meshes = list(_placed_meshes(content.scene))
    if not meshes:
        raise InputError(f"{file.path}: it holds no triangles")
    total = sum(len(mesh.faces) for mesh in meshes)
    if total > _MAX_SOURCE_FACES:
        raise InputError(
            f"{file.path}: {total} faces are more than {_MAX_SOURCE_FACES}; simplify it first"
        )
    limit = _BAKE_FACTOR * file.face_budget
    linear = file.path.suffix.lower() in (".glb", ".gltf")
    shares = [max(limit * len(mesh.faces) // total, len(mesh.faces)) for mesh in meshes]
    soups = [baked(mesh, share, linear) for mesh, share in zip(meshes, shares)]
    return _joined(soups), content.notes


def _placed_meshes(scene: trimesh.Scene) -> Iterator[trimesh.Trimesh]:
    """Copies of a scene's meshes in world coordinates."""
    for node in scene.graph.nodes_geometry:
        world_from_mesh, key = scene.graph[node]
        mesh = scene.geometry[key]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            yield mesh.copy().apply_transform(world_from_mesh)


def _joined(soups: list[Soup]) -> Soup:
    """Several soups as one; faces keep their own vertices."""
    vertices, faces, colors = zip(*soups)
    starts = np.cumsum([0, *map(len, vertices)])
    shifted = [own + start for own, start in zip(faces, starts)]
    return np.concatenate(vertices), np.concatenate(shifted), np.concatenate(colors)


def _cleaned(soup: Soup) -> Soup:
    """Merge vertices of equal place and colour; drop faces without area or with broken numbers, and
    vertices without faces.
    """
    vertices, faces, colors = soup
    whole = np.asarray(np.isfinite(vertices).all(axis=1))
    faces = faces[whole[faces].all(axis=1)]
    keys, faces = weld(np.concatenate([np.nan_to_num(vertices), colors], axis=1), faces)
    vertices = keys[:, :3]
    size = longest_side(vertices) if len(vertices) else 0.0
    doubled_area = doubled_areas(vertices, faces)
    faces = faces[doubled_area > 1e-14 * max(size, 1e-30) ** 2]
    used, faces = np.unique(faces, return_inverse=True)
    colors = keys[used, 3:].astype(np.uint8)
    return vertices[used], faces.reshape(-1, 3), colors


def _oriented(soup: Soup) -> Soup:
    """Turn faces so that each component is consistent; closed ones look outward."""
    vertices, faces, colors = soup
    turn = flipped(*weld(vertices, faces))
    return vertices, np.where(turn[:, None], faces[:, ::-1], faces), colors


def _simplified(soup: Soup, budget: int) -> Soup:
    """Reduce to the budget by quadric edge collapse, with an eye on the colours.

    The collapse knows only positions, so the surface is raised by its brightness before, which
    turns the borders of a pattern into creases that it keeps; the result is carried back by its
    closest points on the raised surface. Each corner then looks up the colour of the original just
    beside it, so that hard borders stay hard.
    """
    import fast_simplification
    import igl

    vertices, faces, colors = soup
    if len(faces) <= budget:
        return soup
    welded, topology = weld(vertices, faces)
    raised = welded + _relief(welded, topology, faces, colors)
    points, fewer = fast_simplification.simplify(raised, topology, target_count=budget)
    points, fewer = weld(np.asarray(points, np.float64), np.asarray(fewer, np.int64))
    fewer = proper(fewer)
    if not len(fewer):
        return soup

    def carried(places: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values (F, 3, C) at the original's corners, at the closest points of places (N, 3)."""
        _, face, closest = igl.point_mesh_squared_distance(places, raised, topology)
        return _interpolated(raised[topology[face]], values[face], closest)

    corners = points[fewer]
    beside = 0.8 * corners + 0.2 * corners.mean(1, keepdims=True)
    seen = carried(beside.reshape(-1, 3), colors[faces].astype(np.float64))
    return _merged_corners(carried(points, welded[topology]), fewer, seen)


def _relief(
    welded: np.ndarray,
    topology: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
) -> np.ndarray:
    """(U, 3) offsets along the vertex normals, proportional to the brightness of the colours that
    meet in a vertex.
    """
    across = doubled_normals(welded, topology)
    normal = np.zeros_like(welded)
    brightness = np.zeros(len(welded))
    count = np.zeros(len(welded))
    for point, vertex in zip(topology.T, faces.T):  # of the first corners, the second, the third
        np.add.at(normal, point, across)
        np.add.at(brightness, point, colors[vertex].mean(1) / 255 - 0.5)
        np.add.at(count, point, 1)
    return _RELIEF * (brightness / np.maximum(count, 1))[:, None] * unit_vectors(normal, 1e-12)


def _interpolated(triangle: np.ndarray, values: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Values (N, 3, C) of the corners of triangles (N, 3, 3) at points (N, 3) in them -> (N, C)."""
    weights = np.clip(trimesh.triangles.points_to_barycentric(triangle, point), 0.0, 1.0)
    weights = np.nan_to_num(weights, nan=1 / 3)
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)
    return np.einsum("nk,nkc->nc", weights, values)


def _merged_corners(points: np.ndarray, faces: np.ndarray, corner_colors: np.ndarray) -> Soup:
    """Corners (3F, 3) at one point share a vertex when their colours are alike (same 32-step bin),
    and get their mean.
    """
    bins = (corner_colors // 32).astype(np.int64) @ [64, 8, 1]
    source, corner, _ = split_by_label(faces.reshape(-1, 1), bins)
    index = corner.reshape(-1)
    count = np.bincount(index)
    mean = sums_at(index, corner_colors, len(count)) / count[:, None]
    return points[source], corner.reshape(faces.shape), np.rint(mean).astype(np.uint8)
