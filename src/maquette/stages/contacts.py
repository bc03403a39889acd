"""Distances of all objects at once, such that each stands on what it stands on.

In the flow: part of ``perceive``; takes the place of moving objects onto a common ground when
supports are known. Unknown are a factor of each object's distance, the ground's height and the
height of each supporter's top; objects only move along their rays, so their picture stays. Chains
need no special case. Nonlinear least squares with Huber's loss; the heights are logarithms of the
depth below the eye, in which moving along a ray is adding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from maquette.stages.frame import DepthPicture, bottom_height
from maquette.types import GROUND, Support

# standard deviations, all of logarithms
DISTANCE = 0.035  # of an object's estimated distance
ON_GROUND = 0.012  # of a lower end from the ground
ON_TOP = 0.008  # of a lower end from the top that it stands on
TOP = 0.03  # of a supporter's visible surface below a foot from its top
OUTLIER = 1.5  # deviations; beyond, an error counts linearly
LEVEL = 0.12  # log height; tops that are this near are one
LEAST_BELOW = 1e-3  # scene units below the eye; what is not even that has no ratio


@dataclass(frozen=True, eq=False)
class _Contact:
    """One object on its supporter."""

    label: int
    on: int | str
    bottom: float  # log depth below the eye of its lower end
    top: float  # log depth below the eye of the supporter's surface below its foot; 0 on the ground
    level: int = 0  # of the supporter's tops, counted over all supporters


def in_contact(
    raw: DepthPicture, boxed: DepthPicture, supports: Mapping[int, Support]
) -> DepthPicture:
    """The depth map with every object on its supporter, as far as its own distance admits.

    raw: as estimated; boxed: with objects in their boxes, of which the supports were found. An
    object on another one starts between the two, for their errors have opposite signs.
    """
    start = _start(raw, boxed, supports)
    contacts = _with_levels(_contacts(start, supports))
    if not contacts:
        return start
    labels = sorted({c.label for c in contacts} | {c.on for c in contacts if isinstance(c.on, int)})
    system = _System(tuple(contacts), {label: k for k, label in enumerate(labels)})
    solved = least_squares(system.errors, system.guess(), loss="huber", f_scale=OUTLIER)
    depth = start.depth.copy()
    for label, k in system.column.items():
        depth[start.picture.labels == label] *= np.exp(solved.x[k])
    return replace(start, depth=depth)


@dataclass(frozen=True, eq=False)
class _System:
    """Unknowns: a log factor per object, the ground, and the tops of all levels."""

    contacts: tuple[_Contact, ...]
    column: dict[int | str, int]  # of an object's factor

    @property
    def ground(self) -> int:
        """Column of the ground's log depth below the eye."""
        return len(self.column)

    def guess(self) -> np.ndarray:
        """No object moved, ground and tops where they are on average."""
        grounded = [c.bottom for c in self.contacts if c.on == GROUND]
        values = np.zeros(self.ground + 1 + max(c.level for c in self.contacts) + 1)
        values[self.ground] = np.median(grounded) if grounded else 0.0
        for contact in self.contacts:
            if contact.on != GROUND:
                values[self._top(contact)] = contact.top
        return values

    def _top(self, contact: _Contact) -> int:
        return self.ground + 1 + contact.level

    def errors(self, values: np.ndarray) -> np.ndarray:
        """In standard deviations."""
        found = [values[: self.ground] / DISTANCE]
        children = np.bincount([c.level for c in self.contacts if c.on != GROUND], minlength=1)
        for contact in self.contacts:
            bottom = contact.bottom + values[self.column[contact.label]]
            if contact.on == GROUND:
                found.append(np.array([(bottom - values[self.ground]) / ON_GROUND]))
                continue
            height = values[self._top(contact)]
            surface = contact.top + values[self.column[contact.on]]
            spread = TOP * np.sqrt(children[contact.level])
            found.append(np.array([(bottom - height) / ON_TOP, (height - surface) / spread]))
        return np.concatenate(found)


def _start(raw: DepthPicture, boxed: DepthPicture, supports: Mapping[int, Support]) -> DepthPicture:
    """Depths to begin with: of what stands on another, between the raw and the boxed ones."""
    depth = boxed.depth.copy()
    for label, support in supports.items():
        if isinstance(support.on, int):
            own = boxed.picture.labels == label
            depth[own] = np.sqrt(raw.depth[own] * boxed.depth[own])
    return replace(boxed, depth=depth)


def _contacts(seen: DepthPicture, supports: Mapping[int, Support]) -> list[_Contact]:
    """Those that are below the eye."""
    points = seen.points
    eye = seen.camera.position[1]
    found = []
    for label, support in supports.items():
        own = seen.picture.labels == label
        if support.on is None or not own.any():
            continue
        top = 0.0
        if support.on != GROUND:
            surface = _below_foot(seen, points, label, int(support.on))
            if surface is None or eye - surface < LEAST_BELOW:
                continue
            top = float(np.log(eye - surface))
        below = eye - bottom_height(points[own])
        if below > LEAST_BELOW:
            found.append(_Contact(label, support.on, float(np.log(below)), top))
    return found


def _below_foot(
    seen: DepthPicture,
    points: np.ndarray,
    label: int,
    on: int,
) -> float | None:
    """Median height of the supporter's surface right below an object's mask."""
    labels = seen.picture.labels
    below = np.zeros(labels.shape, bool)
    for step in range(1, 5):
        below[step:] |= labels[:-step] == label
    seen_there = points[below & (labels == on), 1]
    return float(np.median(seen_there)) if len(seen_there) else None


def _with_levels(contacts: list[_Contact]) -> list[_Contact]:
    """The contacts with their supporter's tops numbered: those that are near are one."""
    numbered = [contact for contact in contacts if contact.on == GROUND]
    level = -1
    before: tuple[int | str, float] | None = None
    stacked = [contact for contact in contacts if contact.on != GROUND]
    for contact in sorted(stacked, key=lambda c: (c.on, c.top)):
        if before is None or before[0] != contact.on or contact.top - before[1] > LEVEL:
            level += 1
        before = (contact.on, contact.top)
        numbered.append(replace(contact, level=level))
    return numbered
