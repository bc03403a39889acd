"""An object -> convex parts, by approximate convex decomposition: CoACD (Wei et al., SIGGRAPH
2022), in a process of its own, for on some meshes it fails in ways that end the process.

Parts are kept in the user's cache under the sum of the mesh and of the settings, so a scene is
decomposed once. The surface is decomposed as it is, for closing it first takes five times as long
and makes it thicker; where that fails or its parts do not hold all of the surface, it is closed.
What fails all the same or takes too long becomes a hull; a remark says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import trimesh
from scipy.spatial import ConvexHull

from maquette.errors import require_extra
from maquette.output import atomic_write
from maquette.simulation.cuts import cut_parts
from maquette.simulation.hulls import (
    THINNEST,
    ConvexPart,
    box_part,
    convex_part,
    least_thickness,
)
from maquette.types import JsonObject

SECONDS = 30  # of the processor that one object may take, so that a busy machine makes the same
PATIENCE = 600.0  # seconds until a process that gets no processor is ended
TRIANGLES = 1200  # of the surface that is decomposed; more only cost time
FEW_TRIANGLES = 600  # of one that is cut
CUTS = "cuts"  # besides options.COLLISIONS: parts that take no time, for settling
NEARLY_CONVEX = 0.92  # of its hull that an object fills: the hull is good enough
LEAST_PART = 1e-4  # of the object's hull: smaller parts are crumbs
SETTINGS = {
    "threshold": 0.08,
    "resolution": 400,
    "mcts_iterations": 20,
    "mcts_max_depth": 2,
    "max_convex_hull": 12,
    "decimate": True,
    "max_ch_vertex": 64,
}
UNREADABLE = (OSError, ValueError, KeyError, zipfile.BadZipFile)  # not there, or not whole
RETRIES = ("off", "on")  # whether the surface is closed before it is decomposed
DIGITS = 6  # of corners in a document
SAME = 1e-4  # of its side by which the box of a mesh may differ from what a document tells
OUTSIDE = 0.02  # of the object's side that its surface may be outside of all parts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The convex parts of one object in its mesh's frame."""

    parts: tuple[ConvexPart, ...]
    remark: str = ""


def decomposed(meshes: Sequence[trimesh.Trimesh], collision: str) -> list[Decomposition]:
    """Convex parts of meshes, as ``options.COLLISIONS`` names the ways, or by CUTS.
    MissingExtraError when CoACD is needed and not there.
    """
    if collision == "box":
        return [_boxed(np.asarray(mesh.vertices)) for mesh in meshes]
    if collision == "hull":
        return [_hulled(np.asarray(mesh.vertices)) for mesh in meshes]
    if collision == CUTS:
        return [_cut(_surface(mesh, FEW_TRIANGLES)) for mesh in meshes]
    surfaces = [_surface(mesh) for mesh in meshes]  # one after the other: not safe in threads
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_remembered, surfaces))
    return [_assembled(surface, corners) for surface, corners in zip(surfaces, found)]


@dataclass(frozen=True, eq=False)
class _ObjectSurface:
    """What is decomposed of one object."""

    original: np.ndarray  # (V, 3) vertices of the mesh
    hull: ConvexPart
    vertices: np.ndarray  # in a cube of side 1 about the origin, fewer than the mesh has
    faces: np.ndarray
    middle: np.ndarray  # (3,) of that cube in the mesh's frame
    side: float
    is_nearly_convex: bool


def _boxed(points: np.ndarray) -> Decomposition:
    return Decomposition((box_part(points, least_thickness(points)),))


def _hulled(points: np.ndarray) -> Decomposition:
    return Decomposition((convex_part(points, least_thickness(points)),))


def _cut(surface: _ObjectSurface) -> Decomposition:
    found = [] if surface.is_nearly_convex else cut_parts(surface.vertices, surface.faces)
    return _assembled(surface, _large(surface, found))


def _surface(mesh: trimesh.Trimesh, triangles: int = TRIANGLES) -> _ObjectSurface:
    original = np.asarray(mesh.vertices, dtype=np.float64)
    hull = convex_part(original, least_thickness(original))
    welded = trimesh.Trimesh(original, mesh.faces, process=False)
    welded.merge_vertices()
    is_nearly_convex = abs(float(welded.volume)) >= NEARLY_CONVEX * hull.volume
    low, high = welded.bounds
    middle = (low + high) / 2
    side = float((high - low).max())
    points = (np.asarray(welded.vertices) - middle) / side
    vertices, faces = _simplified(points, np.asarray(welded.faces), triangles)
    return _ObjectSurface(original, hull, vertices, faces, middle, side, is_nearly_convex)


def _assembled(surface: _ObjectSurface, found: list[np.ndarray] | None) -> Decomposition:
    """The parts in the mesh's frame."""
    if not found and surface.is_nearly_convex:
        return Decomposition((surface.hull,))
    if not found:
        remark = "no convex parts were found in time, so it collides as its convex hull"
        return Decomposition((surface.hull,), remark)
    thickness = least_thickness(surface.original)
    placed = [corners * surface.side + surface.middle for corners in found]
    return Decomposition(tuple(convex_part(corners, thickness) for corners in placed))


def _large(surface: _ObjectSurface, found: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Without crumbs."""
    least = LEAST_PART * surface.hull.volume / surface.side**3
    return [corners for corners in found if convex_part(corners, THINNEST).volume > least]


def _simplified(
    vertices: np.ndarray, faces: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    if len(faces) <= most:
        return vertices, faces
    points, triangles = fast_simplification.simplify(
        vertices.astype(np.float32), faces.astype(np.int32), target_count=most
    )
    return points.astype(np.float64), triangles


def _remembered(surface: _ObjectSurface) -> list[np.ndarray] | None:
    """Corners (V, 3) of each part, from the cache or made and put there; None for none."""
    path = _kept(surface)
    with contextlib.suppress(*UNREADABLE):
        return _read(path)
    if surface.is_nearly_convex:
        return None
    require_extra("coacd", "finding convex parts", "sim", "; or choose collision hull or box")
    found = _large(surface, _tried(surface.vertices, surface.faces) or [])
    if found:
        with contextlib.suppress(OSError), atomic_write(path) as temporary:
            np.savez(temporary, *found)
    return found


def _kept(surface: _ObjectSurface) -> Path:
    """The file in which the parts of a surface are kept."""
    summed = hashlib.sha256(json.dumps(SETTINGS, sort_keys=True).encode())
    faces = np.asarray(surface.faces, np.int64)
    summed.update(np.round(surface.vertices, 6).tobytes() + faces.tobytes())
    return cache_folder() / f"{summed.hexdigest()[:32]}.npz"


def told(mesh: trimesh.Trimesh, was: trimesh.Trimesh, shape: Decomposition) -> JsonObject:
    """The convex parts of a mesh, given in the frame of ``was``, the same but not centred on its
    box, for the document of its scene, so that a file that is written of it collides alike.
    """
    shift = np.asarray(mesh.vertices)[0] - np.asarray(was.vertices)[0]
    corners = [np.round(part.vertices + shift, DIGITS).tolist() for part in shape.parts]
    return {"triangles": len(mesh.faces), "box": mesh.bounds.tolist(), "corners": corners}


def retold(mesh: trimesh.Trimesh, known: Any) -> Decomposition | None:
    """The convex parts that a document tells of a mesh; None where it tells none, or of another."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        low, high = np.asarray(known["box"], dtype=np.float64)
        tolerance = SAME * float((high - low).max())
        if len(mesh.faces) != known["triangles"] or not known["corners"]:
            return None
        if not np.allclose(mesh.bounds, [low, high], rtol=0.0, atol=tolerance):
            return None
        solids = [np.asarray(corners, dtype=np.float64) for corners in known["corners"]]
        if all(np.isfinite(solid).all() and solid.shape[1:] == (3,) for solid in solids):
            thickness = least_thickness(np.asarray(mesh.vertices))
            return Decomposition(tuple(convex_part(solid, thickness) for solid in solids))
    return None


def _tried(vertices: np.ndarray, faces: np.ndarray) -> list[np.ndarray] | None:
    for mode in RETRIES:
        try:
            found = _run(vertices, faces, mode)
        except TimeoutError:
            return None  # closing the surface first only takes longer
        if found and _hold(found, vertices):
            return found
    return None


def _hold(parts: Sequence[np.ndarray], points: np.ndarray) -> bool:
    """Whether each of points (N, 3) is in one of the hulls of corners, or near it."""
    outside = np.full(len(points), np.inf)
    for corners in parts:
        planes = ConvexHull(convex_part(corners, THINNEST).vertices).equations
        beyond = points @ planes[:, :3].T + planes[:, 3]
        outside = np.minimum(outside, beyond.max(1))
    return bool(outside.max() < OUTSIDE)


def cache_folder() -> Path:
    """Where parts are kept: MAQUETTE_CACHE, else the user's folder for what can be made again."""
    given = os.environ.get("MAQUETTE_CACHE")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maquette"
    return (Path(given) if given else root) / "parts"


def _run(vertices: np.ndarray, faces: np.ndarray, mode: str) -> list[np.ndarray] | None:
    """One try in a process of its own; None when it crashes or finds nothing. TimeoutError when it
    takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder:
        given = Path(folder, "given.npz")
        made = Path(folder, "made.npz")
        np.savez(given, vertices=vertices, faces=faces)
        settings = json.dumps(SETTINGS | {"preprocess_mode": mode})
        worker = ["maquette.simulation.coacd_worker", str(given), str(made), settings]
        worker.append(str(SECONDS))
        command = [sys.executable, "-m", "maquette.execute.processes", str(os.getpid()), *worker]
        one_thread = {"OMP_NUM_THREADS": "1"}
        try:
            ended = subprocess.run(
                command,
                env=os.environ | one_thread,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        if os.name == "posix" and ended.returncode == -signal.SIGXCPU:
            raise TimeoutError
        if ended.returncode == 0 and made.exists():
            return _read(made)
        logger.info("convex decomposition failed: %s", ended.stderr[-500:])
        return None


def _read(path: Path) -> list[np.ndarray]:
    with np.load(io.BytesIO(path.read_bytes())) as archive:
        return [archive[f"arr_{k}"] for k in range(len(archive.files))]
