"""Rigid bodies in MuJoCo, in memory: where they overlap, how they come apart, where they come to
rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from maquette.geometry.transforms import similarity
from maquette.simulation.assets import BodyFiles
from maquette.simulation.bodies import Bodies
from maquette.simulation.mjcf import collision_mjcf
from maquette.simulation.pictures import part_obj_bytes

SECONDS = 4.0  # at most, until all is at rest
CHECK = 100  # steps between two looks whether all is at rest
STILL = 0.01  # m/s, and rad/s over ten
PUSHES = 60  # steps of moving apart
SHARE = 0.6  # of an overlap that a push takes away
ENOUGH = 5e-4  # overlap that may stay, in spans of the scene


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PartOverlap:
    """Two convex parts that overlap, each as the label of its object and its number there; None is
    the ground.
    """

    first: tuple[int, int] | None
    second: tuple[int, int] | None
    middle: np.ndarray  # (3,) of the overlap, in the scene
    direction: np.ndarray  # (3,) of length 1, from the first to the second
    depth: float  # in scene units


@dataclass(eq=False)
class PhysicsWorld:
    """A model of MuJoCo and its state; the bodies in the order of the scene's."""

    bodies: Bodies
    library: Any  # mujoco
    model: Any
    data: Any

    @property
    def start(self) -> dict[int, np.ndarray]:
        """Label -> (4, 4) pose as the scene has it."""
        return {body.label: body.file_from_body for body in self.bodies.bodies}

    def poses(self) -> dict[int, np.ndarray]:
        """Label -> (4, 4) pose of the body as it is now."""
        self.library.mj_kinematics(self.model, self.data)
        labels = [body.label for body in self.bodies.bodies]
        turns = self.data.xmat[1:].reshape(-1, 3, 3)  # the first is the world
        places = self.data.xpos[1:]
        made = [similarity(1.0, turn, place) for turn, place in zip(turns, places)]
        return dict(zip(labels, made))

    def scene_motion(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(4, 4) in the scene's frame of a motion between two poses."""
        scene_from_file = np.linalg.inv(self.bodies.file_from_scene)
        return scene_from_file @ after @ np.linalg.inv(before) @ self.bodies.file_from_scene

    def penetrations(self) -> dict[int, float]:
        """Label -> deepest overlap with anything, in scene units."""
        deepest = {body.label: 0.0 for body in self.bodies.bodies}
        for first, second, _, depth in self._overlaps():
            for body in (first, second):
                if body > 0:
                    label = self.bodies.bodies[body - 1].label
                    found = depth / self.bodies.metres_per_unit
                    deepest[label] = max(deepest[label], float(found))
        return deepest

    def pair_overlaps(self) -> list[tuple[int, int, np.ndarray]]:
        """Labels of two bodies, and the way (3,) in the scene by which the first is in the second,
        at its deepest; overlaps that may stay are left out.
        """
        labels = [body.label for body in self.bodies.bodies]
        back = np.linalg.inv(self.bodies.file_from_scene)[:3, :3]
        return [
            (labels[first - 1], labels[second - 1], back @ direction * depth)
            for first, second, direction, depth in self._overlaps()
            if min(first, second) > 0 and depth > ENOUGH
        ]

    def part_overlaps(self) -> list[PartOverlap]:
        """Of all pairs of convex parts, but for overlaps that may stay."""
        self.library.mj_forward(self.model, self.data)
        unit = self.bodies.metres_per_unit
        back = np.linalg.inv(self.bodies.file_from_scene)
        found = []
        for contact in self.data.contact:
            if -contact.dist > ENOUGH:
                owners = self._part(contact.geom[0]), self._part(contact.geom[1])
                middle = back[:3, :3] @ contact.pos + back[:3, 3]
                direction = back[:3, :3] @ contact.frame[:3] * unit
                found.append(PartOverlap(*owners, middle, direction, -contact.dist / unit))
        return found

    def _part(self, geom: int) -> tuple[int, int] | None:
        """Label of a body and number of its part; None for the ground."""
        body = int(self.model.geom_bodyid[geom])
        if body == 0:
            return None
        return self.bodies.bodies[body - 1].label, int(geom - self.model.body_geomadr[body])

    def _overlaps(self) -> list[tuple[int, int, np.ndarray, float]]:
        """Bodies, the direction (3,) from the first to the second, and the depth, of each pair at
        its deepest.
        """
        self.library.mj_forward(self.model, self.data)
        deepest: dict[tuple[int, int], tuple[np.ndarray, float]] = {}
        for contact in self.data.contact:
            first, second = (int(self.model.geom_bodyid[geom]) for geom in contact.geom)
            pair = (first, second)
            depth = -contact.dist
            if depth > (deepest[pair][1] if pair in deepest else 0.0):
                deepest[pair] = (np.array(contact.frame[:3]), depth)
        return [(*pair, *found) for pair, found in deepest.items()]

    def move_apart(self) -> None:
        """Push overlapping bodies apart without turning them, the heavier one less; what is static
        stays.
        """
        self.library.mj_forward(self.model, self.data)
        for _ in range(PUSHES):
            overlaps = [found for found in self._overlaps() if found[3] > ENOUGH]
            if not overlaps:
                return
            for first, second, direction, depth in overlaps:
                shares = self._mobility(first), self._mobility(second)
                if sum(shares) > 0:
                    step = SHARE * depth / sum(shares) * direction
                    self._shift(first, -shares[0] * step)
                    self._shift(second, shares[1] * step)

    def _mobility(self, body: int) -> float:
        has_joint = self.model.body_jntnum[body] > 0
        return 1.0 / self.model.body_mass[body] if has_joint else 0.0

    def _shift(self, body: int, step: np.ndarray) -> None:
        if self.model.body_jntnum[body]:
            joint = self.model.body_jntadr[body]
            at = self.model.jnt_qposadr[joint]
            self.data.qpos[at : at + 3] += step

    def come_to_rest(self) -> frozenset[int]:
        """Let time pass until nothing moves; returns the labels of what still does."""
        self.data.qvel[:] = 0
        moving: frozenset[int] = frozenset()
        for _ in range(int(SECONDS / self.model.opt.timestep / CHECK)):
            for _ in range(CHECK):
                self.library.mj_step(self.model, self.data)
            moving = self._moving()
            if not moving:
                break
        return moving

    def _moving(self) -> frozenset[int]:
        found = set()
        for k, body in enumerate(self.bodies.bodies, 1):
            if self.model.body_jntnum[k]:
                at = self.model.jnt_dofadr[self.model.body_jntadr[k]]
                speed = self.data.qvel[at : at + 6] * [1, 1, 1, 0.1, 0.1, 0.1]
                if np.abs(speed).max() > STILL:
                    found.add(body.label)
        return frozenset(found)


def world_of(bodies: Bodies) -> PhysicsWorld:
    """The bodies as the scene has them, nothing moving."""
    import mujoco  # of the extra "sim"

    files = []
    contents = {}
    for k, body in enumerate(bodies.bodies):
        names = tuple(f"{k}_{part}.obj" for part in range(len(body.parts)))
        files.append(BodyFiles("", "", names))
        for name, part in zip(names, body.parts):
            contents[name] = part_obj_bytes(part.vertices, part.faces)
    text = collision_mjcf(bodies, files).decode()
    if mujoco.get_mju_user_warning() is None:  # it would write MUJOCO_LOG.TXT where the user is
        mujoco.set_mju_user_warning(logger.info)
    model = mujoco.MjModel.from_xml_string(text, assets=contents)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return PhysicsWorld(bodies, mujoco, model, data)
