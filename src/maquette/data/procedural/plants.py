"""Plants and mushrooms: smooth unions of ellipsoids and tapered sticks. Units are free, standing on
y = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from maquette.data.procedural.paints import (
    CERAMIC,
    FUR,
    LEAF,
    PLASTIC,
    WOOD,
    blended,
    pick,
    shaded,
)
from maquette.data.procedural.shapes import (
    PaintedSolid,
    X,
    Y,
    Z,
    ball,
    box,
    capsule,
    cylinder,
    ellipsoid,
    lathe,
    painted,
    smooth_union,
    subtracted,
    transformed,
    union,
)
from maquette.geometry.transforms import any_angle, rotation_y, rotation_z

EARTH = (74, 54, 42)


def tree(rng: Generator) -> PaintedSolid:
    """A tree: trunk with boughs and a crown of lobes, or a conifer of stacked cones."""
    bark = pick(rng, WOOD)
    leaf = pick(rng, LEAF)
    height = rng.uniform(0.9, 1.3)
    if rng.random() < 0.35:
        trunk = cylinder(0.05, 0.5, y=0.25, top=0.035)
        return union(painted(trunk, paint=bark), *_cones(rng, height, leaf))
    fork = height * rng.uniform(0.4, 0.55)
    spread = rng.uniform(0.18, 0.3)
    boughs = [capsule((0, 0.03, 0), (0, fork, 0), rng.uniform(0.045, 0.07), 0.04)]
    lobes = []
    count = int(rng.integers(4, 8))
    for i in range(count):
        angle = 2 * np.pi * i / count + rng.normal(0, 0.3)
        x = spread * np.cos(angle)
        y = fork + rng.uniform(0.12, 0.42) * height
        z = spread * np.sin(angle)
        boughs.append(capsule((0, fork - 0.05, 0), (x, y, z), 0.03, 0.02))
        lobes.append(
            ellipsoid(
                *rng.uniform(0.13, 0.2, 3),
                x=x,
                y=y,
                z=z,
            )
        )
    lobes.append(ellipsoid(0.2, 0.18, 0.2, y=fork + 0.38 * height))
    crown = smooth_union(0.06, *lobes)
    foliage = blended(shaded(leaf, 0.8), shaded(leaf, 1.2), Y, fork, height)
    wood = smooth_union(0.05, *boughs)
    return union(painted(wood, paint=bark), painted(crown, paint=foliage))


def _cones(rng: Generator, height: float, leaf: np.ndarray) -> list[PaintedSolid]:
    """Three to five tiers of a conifer, each narrower and brighter than the one below."""
    count = int(rng.integers(3, 6))
    base = 0.2 * height
    radius = rng.uniform(0.22, 0.34)
    step = (height - base) / count
    tiers = []
    for i in range(count):
        y = base + (i + 0.75) * step
        width = radius * (1 - 0.8 * i / count)
        cone = cylinder(
            width,
            1.7 * step,
            y=y,
            top=0.02,
            rounding=0.012,
        )
        tiers.append(painted(cone, paint=shaded(leaf, 0.85 + 0.3 * i / count)))
    return tiers


def _pot(rng: Generator, radius: float, height: float) -> PaintedSolid:
    """A flower pot, filled with earth."""
    wall = 0.1 * radius
    inside = radius - 1.3 * wall
    floor = 0.82 * height
    outer = [(0, 0), (0.72 * radius, 0), (radius, height)]
    inner = [(radius - wall, height), (inside, floor), (0, floor)]
    pot = painted(lathe(outer + inner, 0.01), paint=pick(rng, CERAMIC))
    earth = cylinder(inside, 0.1 * height, y=0.8 * height)
    return union(pot, painted(earth, paint=EARTH))


def plant(rng: Generator) -> PaintedSolid:
    """A potted plant with arching leaves."""
    radius = rng.uniform(0.11, 0.17)
    height = rng.uniform(0.16, 0.28)
    count = int(rng.integers(6, 12))
    leaf = pick(rng, LEAF)
    leaves = []
    reach = rng.uniform(0.15, 0.35)
    rise = rng.uniform(0.2, 0.5)
    for i in range(count):
        angle = 2 * np.pi * i / count + rng.normal(0, 0.25)
        far = reach * rng.uniform(0.5, 1.1)
        high = rise * rng.uniform(0.6, 1.2)
        blade = ellipsoid(0.55 * np.hypot(far, high), 0.014, rng.uniform(0.035, 0.06))
        turn = rotation_y(-angle) @ rotation_z(np.arctan2(high, far))
        x = 0.55 * far * np.cos(angle)
        z = 0.55 * far * np.sin(angle)
        blade = transformed(
            blade,
            x=x,
            y=0.85 * height + 0.5 * high,
            z=z,
            rotation=turn,
        )
        leaves.append(painted(blade, paint=pick(rng, (tuple(leaf),), 6)))
    return union(_pot(rng, radius, height), *leaves)


def cactus(rng: Generator) -> PaintedSolid:
    """A potted cactus with ribs, arms and sometimes a flower."""
    radius = rng.uniform(0.07, 0.1)
    height = rng.uniform(0.35, 0.6)
    ribs = int(rng.integers(8, 13))
    green = pick(rng, LEAF)
    base = 0.15

    def paint(p: np.ndarray) -> np.ndarray:
        rib = np.cos(ribs * np.arctan2(p[:, Z], p[:, X]))
        return green * (0.95 + 0.16 * rib)[:, None]

    limbs = [capsule((0, base, 0), (0, height, 0), radius, 0.8 * radius)]
    thick = 0.5 * radius
    for side in (1, -1):
        if rng.random() < 0.7:
            y = base + rng.uniform(0.25, 0.6) * (height - base)
            x = side * rng.uniform(1.9, 2.6) * radius
            elbow = (x, y + 0.03, 0)
            tip = (x, y + rng.uniform(0.1, 0.25), 0)
            limbs.append(capsule((0, y, 0), elbow, thick))
            limbs.append(capsule(elbow, tip, thick, 0.42 * radius))
    body = painted(smooth_union(0.04, *limbs), paint=paint)
    flower = ellipsoid(thick, 0.3 * radius, thick, y=height + 0.8 * radius)
    flower = painted(flower, paint=pick(rng, PLASTIC))
    pot = _pot(rng, 1.7 * radius, 0.18)
    return union(pot, body, flower) if rng.random() < 0.5 else union(pot, body)


def mushroom(rng: Generator) -> PaintedSolid:
    """A toadstool with a spotted cap."""
    height = rng.uniform(0.35, 0.6)
    radius = rng.uniform(0.2, 0.34)
    cap = ellipsoid(radius, 0.7 * radius, radius, y=height)
    cap = subtracted(cap, box(2, 1, 2, y=height - 0.56))
    colour = pick(rng, PLASTIC + FUR)
    dots = []
    for _ in range(int(rng.integers(4, 9))):
        angle = any_angle(rng)
        up = rng.uniform(0.35, 1.4)
        x = radius * np.cos(up) * np.cos(angle)
        y = height + 0.7 * radius * np.sin(up)
        z = radius * np.cos(up) * np.sin(angle)
        dots.append(
            ball(
                rng.uniform(0.12, 0.2) * radius,
                x=x,
                y=y,
                z=z,
            )
        )
    stem = capsule((0, 0.06, 0), (0, height, 0), 0.1, 0.065)
    stem = smooth_union(0.05, stem, ellipsoid(0.13, 0.07, 0.13, y=0.06))
    stem = painted(stem, paint=(232, 222, 200))
    return union(stem, painted(cap, paint=colour), painted(*dots, paint=(244, 240, 228)))
