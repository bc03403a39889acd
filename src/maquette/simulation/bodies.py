"""Scene -> rigid bodies: what every format of simulators writes, and what settling moves.

A body's frame has the axes of the file (+Z up unless asked otherwise) and its origin where the
instance has its own; the scale, and whatever else is no rotation, is in the vertices. So a body
that stands as its mesh does has no rotation. Lengths are metres, masses kilograms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import trimesh
from scipy.linalg import polar

from maquette.document.appearance import appearance_of, mesh_with
from maquette.errors import InputError
from maquette.export.space import Z_UP_FROM_Y_UP
from maquette.geometry.transforms import similarity
from maquette.options import SimulationOptions
from maquette.simulation.hulls import ConvexPart, convex_part, least_thickness
from maquette.simulation.mass import LEAST_MASS, MassProperties, mesh_mass
from maquette.simulation.parts import Decomposition, decomposed, retold
from maquette.simulation.scale import ScaledScene
from maquette.simulation.selection import assigned, labels_of
from maquette.types import Instance, Scene, check_mesh

FRICTION = 0.8  # of all surfaces, about wood on wood or rubber on stone


@dataclass(frozen=True, eq=False)
class Solid:
    """What physics asks of a mesh, in its own frame."""

    mesh: trimesh.Trimesh
    shape: Decomposition

    @cached_property
    def weighed(self) -> tuple[MassProperties, str]:
        """Its mass, of density 1, and a remark on it."""
        vertices = np.asarray(self.mesh.vertices, dtype=np.float64)
        hull = convex_part(vertices, least_thickness(vertices), most=len(vertices))
        return mesh_mass(vertices, np.asarray(self.mesh.faces), hull, density=1.0)


@dataclass(frozen=True, eq=False)
class RigidBody:
    """One object of the scene."""

    label: int
    node: str  # what the scene calls it
    meaning: str  # "chair"; empty when unknown
    visual: trimesh.Trimesh  # what is seen, in the body's frame
    parts: tuple[ConvexPart, ...]  # what collides, in the body's frame
    mass: MassProperties  # in the body's frame
    file_from_body: np.ndarray  # (4, 4) rigid
    is_static: bool


@dataclass(frozen=True, eq=False)
class Bodies:
    """A scene for a simulator."""

    bodies: tuple[RigidBody, ...]
    ground: float  # height along ``up``
    span: float  # longest side of the scene
    up: str  # "z" or "y"
    metres_per_unit: float
    scale_is_known: bool
    remarks: tuple[str, ...]  # for people

    @property
    def file_from_scene(self) -> np.ndarray:
        """(4, 4) similarity."""
        return _turn(self.up) @ similarity(self.metres_per_unit)

    @property
    def upward(self) -> np.ndarray:
        """(3,) against gravity."""
        return np.eye(3)["xyz".index(self.up)]


def solids_of(meshes: Sequence[trimesh.Trimesh], collision: str) -> list[Solid]:
    """Meshes with what collides of them, as ``options.COLLISIONS`` names the ways, and their
    masses. MissingExtraError when CoACD is needed and not there.
    """
    return [Solid(mesh, shape) for mesh, shape in zip(meshes, decomposed(meshes, collision))]


def known_solids(scene: Scene, collision: str) -> list[Solid]:
    """Those of the visible instances: with the convex parts with which the scene was settled, where
    parts are asked for, else as ``solids_of`` makes them.
    """
    rows = scene.provenance.get("settled") if collision == "parts" else None
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    settled = {str(row.get("label")): row.get("parts") for row in known}
    visible = scene.visible().instances
    shapes = {i.label: retold(i.mesh, settled.get(str(i.label))) for i in visible}
    rest = iter(solids_of([i.mesh for i in visible if shapes[i.label] is None], collision))
    kept = [(i.mesh, shapes[i.label]) for i in visible]
    return [next(rest) if shape is None else Solid(mesh, shape) for mesh, shape in kept]


def bodies_of(
    scaled: ScaledScene,
    options: SimulationOptions,
    solids: Sequence[Solid] | None = None,
) -> Bodies:
    """Rigid bodies of the visible instances; ``solids``: theirs, where they are known already.

    InputError for what names nothing or weighs nothing; MissingExtraError when convex parts are
    asked for without CoACD.
    """
    scene = scaled.scene.visible()
    if not scene.instances:
        raise InputError("the scene has no visible object; a simulator needs at least one")
    masses = assigned(scene.instances, options.mass, "--mass", _kilograms)
    static = labels_of(scene, options.static, "--static")
    for instance in scene.instances:
        check_mesh(instance.mesh, f"the mesh of instance {instance.label}")
    if solids is None:
        solids = known_solids(scene, options.collision)
    remarks = [*scaled.remarks]
    bodies = []
    for instance, solid in zip(scene.instances, solids):
        pose, body_from_mesh = _placed(scene, instance, options.up)
        parts = tuple(part.transformed(body_from_mesh) for part in solid.shape.parts)
        visual = _visual(instance, body_from_mesh)
        own_mass, remark = solid.weighed
        found = own_mass.transformed(body_from_mesh)
        kilograms = masses.get(instance.label, options.density * found.mass)
        mass, raised = found.of_mass(kilograms).acceptable()
        said = filter(None, [solid.shape.remark, remark, raised])
        remarks += [f"{instance.node_name}: {text}" for text in said]
        body = RigidBody(
            instance.label,
            instance.node_name,
            instance.name,
            visual,
            parts,
            mass,
            pose,
            instance.label in static,
        )
        bodies.append(body)
    metres = float(scene.metres_per_unit or 1.0)
    ground = metres * scene.ground_height
    span = metres * span_of(scene)
    told = scaled.is_known, tuple(remarks)
    return Bodies(tuple(bodies), ground, span, options.up, metres, *told)


def _turn(up: str) -> np.ndarray:
    return Z_UP_FROM_Y_UP if up == "z" else np.eye(4)


def span_of(scene: Scene) -> float:
    """Longest side of the box of all instances."""
    boxes = [instance.box for instance in scene.instances]
    return float(np.ptp(np.concatenate(boxes), axis=0).max())


def _placed(scene: Scene, instance: Instance, up: str) -> tuple[np.ndarray, np.ndarray]:
    """(4, 4) rigid file_from_body, and (3, 3) what the mesh's vertices are multiplied with.

    The linear part of the placement is a rotation times a stretch (polar decomposition); a mirror
    image goes to the stretch.
    """
    placed = similarity(float(scene.metres_per_unit or 1.0)) @ instance.world_from_instance
    rotation, stretch = polar(placed[:3, :3])
    if np.abs(np.linalg.eigvalsh(stretch)).min() < 1e-12:
        raise InputError(f"the transform of instance {instance.label} flattens it; give another")
    if np.linalg.det(rotation) < 0:
        rotation, stretch = -rotation, -stretch
    turn = _turn(up)[:3, :3]
    position = turn @ placed[:3, 3]
    return similarity(1.0, turn @ rotation @ turn.T, position), turn @ stretch


def _visual(instance: Instance, linear: np.ndarray) -> trimesh.Trimesh:
    vertices = np.asarray(instance.mesh.vertices, dtype=np.float64) @ linear.T
    faces = np.asarray(instance.mesh.faces)
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    return mesh_with(vertices, faces, appearance_of(instance.mesh))


def _kilograms(value: Any) -> float:
    mass = float(str(value).strip().removesuffix("kg"))
    if not LEAST_MASS <= mass < 1e9:
        raise ValueError(f"expected kilograms of at least {LEAST_MASS:g}")
    return mass
