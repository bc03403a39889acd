"""Any folder of meshes -> asset library: GLB, glTF, OBJ, PLY, STL, OFF and our own .npz.

Each file becomes one asset: scene graph flattened, colours baked to vertices, cleaned, oriented,
normalised, simplified. Files that cannot be used are left out with a reason; nothing stops the run.
A manifest.csv in the folder (columns id or name, source, licence, extent_unit) gives the
attributions that the library keeps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from maquette.data.assets import (
    MANIFEST,
    Asset,
    AssetFile,
    load_asset,
    read_manifest,
    split_by_label,
    weld,
)
from maquette.data.baking import Soup, baked
from maquette.data.fields import flipped
from maquette.data.library import AssetLibrary, Progress, build_library, failures
from maquette.errors import InputError, MissingExtraError

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", ".npz")
FACE_BUDGET = 5000
_RELIEF = 0.02  # height of white over black while simplifying, in units of the longest side
_MAX_SOURCE_FACES = 2_000_000
_BAKE_FACTOR = (
    8  # textures may split a mesh up to this many times the budget before it is simplified
)
# what readers of damaged files raise; anything else is a bug of ours
_READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


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

    def load(self) -> Asset:
        """Read, bake and clean; InputError with the reason when the file cannot be used."""
        return import_mesh(self)


@dataclass(frozen=True, eq=False)
class ImportReport:
    """What became of the files."""

    library: AssetLibrary
    dropped: dict[str, str]  # name -> reason

    def table(self) -> str:
        """Lines for people: how many were imported, and the dropped ones counted by reason."""
        counts: dict[str, int] = {}
        for reason in self.dropped.values():
            short = reason.split(": ", 1)[-1].split(" (")[0]
            counts[short] = counts.get(short, 0) + 1
        rows = [f"{len(self.library):6d}  imported"]
        return "\n".join(
            rows
            + [
                f"{count:6d}  {reason}"
                for reason, count in sorted(counts.items(), key=lambda item: -item[1])
            ]
        )


def import_folder(
    folder: str | Path,
    out: str | Path,
    *,
    up: str = "y",
    metric: bool = False,
    face_budget: int = FACE_BUDGET,
    jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> ImportReport:
    """Import every mesh below a folder into a library folder; run it again to continue after an
    interruption.

    ``up`` is the files' upward axis ("y" or "z"), ``metric`` says that their unit is the metre.
    InputError when the folder holds no mesh or none can be used; MissingExtraError without the
    extra maquette[data].
    """
    if up not in ("y", "z"):
        raise InputError(f"up is {up!r}; expected y or z")
    _require_extras()
    files = find_meshes(folder, up=up, metric=metric, face_budget=face_budget)
    try:
        library = build_library(files, out, jobs=jobs, seed=seed, progress=progress)
    except InputError as error:
        dropped = failures(out)
        if dropped:
            name, reason = next(iter(dropped.items()))
            raise InputError(
                f"none of the {len(files)} meshes of {folder} could be used; the first, {name}: {reason}"
            ) from error
        raise
    return ImportReport(library, failures(out))


def find_meshes(
    folder: str | Path, *, up: str = "y", metric: bool = False, face_budget: int = FACE_BUDGET
) -> tuple[MeshFile, ...]:
    """List the mesh files below a folder, sorted; names are relative paths joined by dashes,
    without the suffix if that is unique.
    """
    root = Path(folder)
    paths = sorted(
        path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        raise InputError(
            f"{root} holds no meshes; expected a folder with files ending in {', '.join(SUFFIXES)}"
        )
    manifest = next(
        (
            read_manifest(place / MANIFEST)
            for place in (root, root.parent)
            if (place / MANIFEST).is_file()
        ),
        {},
    )
    stems = ["-".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    files = []
    for path, stem in zip(paths, stems):
        name = stem if stems.count(stem) == 1 else f"{stem}-{path.suffix[1:].lower()}"
        row = manifest.get(stem) or manifest.get(path.stem) or {}
        source = row.get("source") or row.get("source_repo") or ""
        licence = row.get("licence") or row.get("license") or ""
        files.append(
            MeshFile(
                path,
                name,
                source,
                licence,
                metric or row.get("extent_unit") == "m",
                up,
                face_budget,
            )
        )
    return tuple(files)


def import_mesh(file: MeshFile) -> Asset:
    """Make one asset of one file; InputError with the reason when it cannot be used."""
    if file.path.suffix.lower() == ".npz":
        return replace(
            load_asset(AssetFile(file.path, file.source, file.licence, file.metric)), name=file.name
        )
    vertices, faces, colors = _cleaned(_read(file))
    if not len(faces):
        raise InputError(f"{file.path}: no face has an area")
    if file.up == "z":
        vertices = vertices[:, [0, 2, 1]] * [1.0, 1.0, -1.0]
    low = vertices.min(0)
    high = vertices.max(0)
    extent = tuple(float(length) for length in high - low) if file.metric else None
    soup = _oriented((_normalised(vertices), faces, colors))
    vertices, faces, colors = _simplified(soup, file.face_budget)
    return Asset(
        file.name,
        _normalised(vertices).astype(np.float32),
        faces.astype(np.int32),
        colors,
        file.source,
        file.licence,
        extent,
    )


def _require_extras() -> None:
    try:
        import fast_simplification  # noqa: F401
        import igl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'importing meshes needs libigl and fast-simplification: pip install "maquette[data]"'
        ) from error


def _read(file: MeshFile) -> Soup:
    """All triangles of a file in world coordinates, with colours."""
    try:
        scene = trimesh.load_scene(file.path, process=False)
        placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
        meshes = [
            scene.geometry[key].copy().apply_transform(matrix)
            for matrix, key in placed
            if _has_faces(scene.geometry[key])
        ]
        if not meshes:
            raise InputError(f"{file.path}: it holds no triangles")
        total = sum(len(mesh.faces) for mesh in meshes)
        if total > _MAX_SOURCE_FACES:
            raise InputError(
                f"{file.path}: {total} faces are more than {_MAX_SOURCE_FACES}; simplify it first"
            )
        limit = _BAKE_FACTOR * file.face_budget
        linear = file.path.suffix.lower() in (".glb", ".gltf")
        return _joined(
            [
                baked(mesh, max(limit * len(mesh.faces) // total, len(mesh.faces)), linear)
                for mesh in meshes
            ]
        )
    except (*_READ_ERRORS, struct.error) as error:
        raise InputError(
            f"{file.path}: it cannot be read as a mesh ({type(error).__name__}: {error})".replace(
                "\n", " "
            )
        ) from error


def _has_faces(geometry: object) -> bool:
    return isinstance(geometry, trimesh.Trimesh) and len(geometry.faces) > 0


def _joined(soups: list[Soup]) -> Soup:
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in soups])
    vertices, colors = (np.concatenate([soup[i] for soup in soups]) for i in (0, 2))
    return (
        vertices,
        np.concatenate([faces + start for (_, faces, _), start in zip(soups, starts)]),
        colors,
    )


def _cleaned(soup: Soup) -> Soup:
    """Merge vertices of equal place and colour; drop faces without area or with broken numbers, and
    vertices without faces.
    """
    vertices, faces, colors = soup
    faces = faces[np.isfinite(vertices).all(1)[faces].all(1)]
    keys, faces = weld(np.concatenate([np.nan_to_num(vertices), colors], axis=1), faces)
    vertices = keys[:, :3]
    colors = keys[:, 3:].astype(np.uint8)
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    faces = faces[
        area
        > 1e-14 * max(float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.0, 1e-30) ** 2
    ]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3), colors[used]


def _normalised(vertices: np.ndarray) -> np.ndarray:
    low = vertices.min(0)
    high = vertices.max(0)
    return (vertices - (low + high) / 2) / (high - low).max()


def _oriented(soup: Soup) -> Soup:
    """Turn faces so that each component is consistent; closed ones look outward."""
    vertices, faces, colors = soup
    welded, topology = weld(vertices, faces)
    turn = flipped(welded, topology)
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
    fewer = fewer[(fewer != np.roll(fewer, 1, axis=1)).all(1)]
    if not len(fewer):
        return soup
    corners = points[fewer]
    beside = (0.8 * corners + 0.2 * corners.mean(1, keepdims=True)).reshape(-1, 3)
    _, face, place = igl.point_mesh_squared_distance(beside, raised, topology)
    seen = _interpolated(raised[topology[face]], colors[faces[face]].astype(np.float64), place)
    _, face, place = igl.point_mesh_squared_distance(points, raised, topology)
    lowered = _interpolated(raised[topology[face]], welded[topology[face]], place)
    return _merged_corners(lowered, fewer, seen)


def _relief(
    welded: np.ndarray, topology: np.ndarray, faces: np.ndarray, colors: np.ndarray
) -> np.ndarray:
    """(U, 3) offsets along the vertex normals, proportional to the brightness of the colours that
    meet in a vertex.
    """
    a, b, c = (welded[topology[:, i]] for i in range(3))
    normal = np.zeros_like(welded)
    brightness = np.zeros(len(welded))
    count = np.zeros(len(welded))
    for corner in range(3):
        np.add.at(normal, topology[:, corner], np.cross(b - a, c - a))
        np.add.at(brightness, topology[:, corner], colors[faces[:, corner]].mean(1) / 255 - 0.5)
        np.add.at(count, topology[:, corner], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return _RELIEF * (brightness / np.maximum(count, 1))[:, None] * normal


def _interpolated(triangle: np.ndarray, values: np.ndarray, point: np.ndarray) -> np.ndarray:
    weights = np.clip(trimesh.triangles.points_to_barycentric(triangle, point), 0.0, 1.0)
    weights = np.nan_to_num(weights, nan=1 / 3)
    return np.einsum(
        "nk,nkc->nc", weights / np.maximum(weights.sum(1, keepdims=True), 1e-9), values
    )


def _merged_corners(points: np.ndarray, faces: np.ndarray, corner_colors: np.ndarray) -> Soup:
    """Corners (3F, 3) at one point share a vertex when their colours are alike (same 32-step bin),
    and get their mean.
    """
    bins = (corner_colors // 32).astype(np.int64) @ [64, 8, 1]
    source, corner, _ = split_by_label(faces.reshape(-1, 1), bins)
    index = corner.reshape(-1)
    count = np.bincount(index)
    mean = np.stack(
        [np.bincount(index, weights=corner_colors[:, i]) / count for i in range(3)], axis=1
    )
    return points[source], corner.reshape(faces.shape), np.rint(mean).astype(np.uint8)
