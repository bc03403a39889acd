"""A scene into any file: what ``export`` writes, and files for simulators. What ``Scene.export``
and ``maquette export`` call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maquette.containers import MEMORY
from maquette.declare import names_of, refuse_unknown
from maquette.document.files import scene_file
from maquette.document.scene_json import load
from maquette.errors import InputError
from maquette.export import DOCUMENT_SUFFIX, WRITERS, export_scene
from maquette.options import ScaleOptions, SimulationOptions
from maquette.output import clear_leftovers, refuse_overwrite, write_files
from maquette.simulation.bodies import Bodies, bodies_of
from maquette.simulation.glb_scene import scene_of_glb
from maquette.simulation.mjcf import mjcf_files
from maquette.simulation.scale import scaled_scene
from maquette.simulation.sdf import sdf_files
from maquette.simulation.urdf import urdf_files
from maquette.simulation.usd import usda_files, usdz_files
from maquette.types import Scene

Writer = Callable[[Bodies, Path], dict[Path, bytes]]
OTHERS: Mapping[str, Writer] = {
    ".urdf": urdf_files,
    ".sdf": sdf_files,
    ".usda": usda_files,
    ".usdz": usdz_files,
}
MJCF_SUFFIX = ".xml"
MESH_OPTIONS = ("formats", "separate", "overwrite", "unit", "size", "up", "ground", "room")
SIMULATION_SUFFIXES = (MJCF_SUFFIX, *OTHERS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimulationFile:
    """What was written for a simulator."""

    path: Path
    files: tuple[Path, ...]  # all of them, the scene file first
    masses: Mapping[str, float] = field(default_factory=dict)  # kilograms by node
    parts: Mapping[str, int] = field(default_factory=dict)  # convex parts by node
    metres_per_unit: float = 1.0
    remarks: tuple[str, ...] = ()


def write_scene(scene: Scene, path: str | Path, **options: Any) -> Path:
    """Write the scene to ``path``, whose suffix chooses the format; returns the path.

    Meshes (.glb, .obj, .ply, .stl) and the document (.json): see ``export.export_scene``. Files
    for simulators (.xml, .urdf, .sdf, .usda, .usdz) take the fields of SimulationOptions and of
    ScaleOptions, and ``overwrite``. Remarks, such as that the scale is unknown, go to the log.
    InputError for what the format does not take.
    """
    if Path(path).suffix.lower() not in SIMULATION_SUFFIXES:
        alien = sorted((set(options) & _names()) - set(MESH_OPTIONS))
        if alien:
            known = ", ".join(SIMULATION_SUFFIXES)
            raise InputError(f"{', '.join(alien)}: only files for simulators take it ({known})")
        refuse_unknown(options, MESH_OPTIONS, "export")
        return export_scene(scene, path, **options)
    refuse_unknown(options, [*MESH_OPTIONS, *_names()], "export")
    if options.pop("ground", None) is not None:
        raise InputError("ground: files for simulators have one anyway; leave it out")
    if options.pop("room", False):
        raise InputError("room: files for simulators have a ground and objects; leave it out")
    overwrite = options.pop("overwrite", True)
    simulation = _taken(SimulationOptions, options)
    scale = _taken(ScaleOptions, options)
    if options:
        raise InputError(f"{', '.join(options)}: files for simulators do not take it; leave it out")
    written = write_simulation(scene, path, simulation, scale, overwrite)
    for remark in written.remarks:
        logger.warning("%s: %s", written.path, remark)
    return written.path


def _names() -> set[str]:
    """Of the options of files for simulators."""
    return {name for kind in (SimulationOptions, ScaleOptions) for name in names_of(kind)}


def _taken(kind: type, options: dict[str, Any]) -> Any:
    """An instance of a dataclass of options from those that it has, which are taken out."""
    names = [name for name in names_of(kind) if name in options]
    return kind(**{name: options.pop(name) for name in names})


def write_simulation(
    scene: Scene,
    path: str | Path,
    options: SimulationOptions | None = None,
    scale: ScaleOptions | None = None,
    overwrite: bool = True,
) -> SimulationFile:
    """Write a file for simulators and what it refers to; all of it or nothing.

    Errors: InputError for what cannot be written, MissingExtraError when convex parts are asked
    for without CoACD, OutputError for a place that cannot be written or is taken.
    """
    path = refuse_overwrite(path, overwrite)
    options = options or SimulationOptions()
    bodies = bodies_of(scaled_scene(scene, scale or ScaleOptions()), options)
    suffix = path.suffix.lower()
    if suffix == MJCF_SUFFIX:
        contents = mjcf_files(bodies, path, options.mjcf_style)
    else:
        contents = OTHERS[suffix](bodies, path)
    clear_leftovers(path.parent)
    write_files(contents)
    masses = {body.node: body.mass.mass for body in bodies.bodies}
    parts = {body.node: len(body.parts) for body in bodies.bodies}
    told = bodies.metres_per_unit, bodies.remarks
    return SimulationFile(path, tuple(contents), masses, parts, *told)


def read_scene(path: str | Path, *, budget: int = MEMORY) -> Scene:
    """A scene from its folder, its document, or a GLB, ours or anyone's. InputError for anything
    else.

    budget: bytes that a document with all its meshes, arrays and pictures may take, unpacked.
    """
    path = scene_file(path)
    if path.suffix.lower() == ".glb":
        return scene_of_glb(path)
    if path.suffix.lower() == DOCUMENT_SUFFIX:
        return load(path, budget=budget)
    raise InputError(f"{path}: expected a scene's folder, its scene.json, or a .glb file")


def known_suffixes() -> tuple[str, ...]:
    """Of all files that a scene can be written to."""
    return (*WRITERS, DOCUMENT_SUFFIX, *SIMULATION_SUFFIXES)
