"""Does the scene stay where it is? What papers on physically stable scenes report, measured in
MuJoCo: how deep objects are in each other, how far time moves them, how fast they ever are.

The three measures of Tetris3D (arXiv 2610.10539, after SimuScene and phi-Scene): the mean depth of
surface samples in other objects at the start; the mean displacement of the same samples after a
time; the highest kinetic energy per mass on the way, in steps of a millisecond. Ours, for the paper
does not say it: objects collide as their convex hulls, which is what MuJoCo makes of a mesh; even
density; the lowest vertex is the ground; time ends early once everything has been at rest for a
while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.errors import InputError, require_extra
from maquette.evaluate.solids import contains, solid_of
from maquette.evaluate.surfaces import (
    Meshes,
    SampledSurface,
    longest_side,
    sample_mesh,
    stream,
    why_no_surface,
)
from maquette.geometry.boxes import bounding_box
from maquette.geometry.nearest import build_tree, nearest
from maquette.geometry.transforms import similarity, transform_points
from maquette.simulation.bodies import Bodies, RigidBody
from maquette.simulation.hulls import convex_part, least_thickness
from maquette.simulation.mass import mesh_mass
from maquette.simulation.world import PhysicsWorld, world_of

SAMPLES = 20_480  # of each object's surface
SECONDS = 300.0
STEP = 0.001  # seconds
DENSITY = 600.0  # kg/m^3; what is measured does not depend on it
STILL = 1e-5  # J/kg; less kinetic energy is rest
WILDEST = 1e6  # J/kg; more is no motion of a scene, but a simulation that diverges
RESTED = 1000  # steps of rest after which time ends


@dataclass(frozen=True)
class SceneDynamics:
    """Lengths in units of the meshes, which count as metres."""

    depth: float  # mean of all samples, in the object that they are deepest in
    # None, both, where the simulation diverged
    displacement: float | None  # mean of all samples, at the end
    peak_energy: float | None  # J/kg, of all objects together
    seconds: float  # that were simulated


def scene_dynamics(
    meshes: Meshes,
    *,
    seconds: float = SECONDS,
    points: int = SAMPLES,
    seed: int = 0,
) -> SceneDynamics:
    """Let time pass for objects given as name -> mesh in one world frame, +Y up.

    Meshes without surface are left out. InputError when nothing is left; MissingExtraError without
    MuJoCo.
    """
    require_extra("mujoco", "the dynamics of a scene", "sim")
    solid = {name: mesh for name, mesh in meshes.items() if not why_no_surface(mesh, name)}
    if not solid:
        raise InputError(f"none of {len(meshes)} objects has a surface; physics needs one")
    samples = [
        sample_mesh(mesh, points, stream(seed, "dynamics", name)) for name, mesh in solid.items()
    ]
    depth = float(np.mean(penetration_depths(list(solid.values()), samples)))
    world = _world(solid)
    start = world.poses()
    peak, spent = _peak_energy(world, seconds)
    if peak is None:
        return SceneDynamics(depth, None, None, spent)
    moved = []
    for label, (pose, own) in enumerate(zip(world.poses().values(), samples)):
        motion = pose @ np.linalg.inv(start[label])
        steps = transform_points(motion, own.points) - own.points
        moved.append(np.linalg.norm(steps, axis=1).mean())
    return SceneDynamics(depth, float(np.mean(moved)), peak, spent)


def penetration_depths(
    meshes: Sequence[trimesh.Trimesh], samples: Sequence[SampledSurface]
) -> np.ndarray:
    """(M, N) how deep the N samples of each mesh are in another one, 0 outside of all: the distance
    to that one's surface, as its nearest sample and the normal there tell it.
    """
    solids = [solid_of(mesh) for mesh in meshes]
    trees = [build_tree(own.points) for own in samples]
    depths = np.zeros((len(meshes), len(samples[0].points)))
    for mine, own in enumerate(samples):
        for other, solid in enumerate(solids):
            if other == mine:
                continue
            inside = contains(solid, own.points)
            surface = samples[other]
            _, found = nearest(trees[other], own.points[inside])
            offsets = own.points[inside] - surface.points[found]
            distance = np.abs((offsets * surface.normals[found]).sum(1))
            depths[mine, inside] = np.maximum(depths[mine, inside], distance)
    return depths


def _world(meshes: Meshes) -> PhysicsWorld:
    """The objects as bodies, labelled by their position, each with its frame in its centre of mass:
    MuJoCo integrates the motion of the frame, so one that is far away circles the body when it
    spins, and each step along the tangent adds energy.
    """
    bodies = []
    for label, (name, mesh) in enumerate(meshes.items()):
        vertices = np.asarray(mesh.vertices, dtype=np.float64)
        hull = convex_part(vertices, least_thickness(vertices))
        found, _ = mesh_mass(vertices, np.asarray(mesh.faces), hull, DENSITY)
        mass, _ = found.acceptable()
        place = similarity(1.0, None, mass.centre)
        hull = replace(hull, vertices=hull.vertices - mass.centre)
        mass = replace(mass, centre=np.zeros(3))
        bodies.append(RigidBody(label, name, "", mesh, (hull,), mass, place, False))
    box = bounding_box(np.concatenate([mesh.vertices for mesh in meshes.values()]))
    floor = float(box[0, 1])
    world = world_of(Bodies(tuple(bodies), floor, longest_side(box), "y", 1.0, True, ()))
    world.model.opt.timestep = STEP
    world.model.opt.enableflags |= int(world.library.mjtEnableBit.mjENBL_ENERGY)
    world.model.opt.disableflags |= int(world.library.mjtDisableBit.mjDSBL_AUTORESET)
    return world


def _peak_energy(world: PhysicsWorld, seconds: float) -> tuple[float | None, float]:
    """J/kg at its highest, None where the simulation diverged, and the seconds that passed."""
    mass = float(world.model.body_mass.sum())
    peak = 0.0
    rested = 0
    for step in range(round(seconds / STEP)):
        world.library.mj_step(world.model, world.data)
        energy = float(world.data.energy[1]) / mass
        if not energy < WILDEST:  # or no number
            return None, step * STEP
        peak = max(peak, energy)
        rested = rested + 1 if energy < STILL else 0
        if rested > RESTED:
            return peak, (step + 1) * STEP
    return peak, seconds
