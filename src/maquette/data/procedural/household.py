"""Household things: vessels turned on a lathe, lamps, books and boxes. Lengths in metres, standing
on y = 0.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from maquette.data.procedural.paints import (
    CERAMIC,
    FABRIC,
    GLASS,
    METAL,
    PLASTIC,
    WOOD,
    blended,
    grained,
    pick,
    shaded,
    striped,
)
from maquette.data.procedural.shapes import (
    Paint,
    Solid,
    box,
    capsule,
    cut,
    cylinder,
    ellipsoid,
    lathe,
    mirrored,
    moved,
    painted,
    smooth_union,
    torus,
    union,
)
from maquette.geometry.transforms import rotation_x, rotation_y


def _glaze(rng: np.random.Generator, height: float, bands: bool = True) -> Paint | np.ndarray:
    color = pick(rng, CERAMIC)
    style = rng.integers(4)
    if style == 0 and bands:
        return striped(
            color,
            shaded(pick(rng, CERAMIC), 1.0),
            1,
            height / rng.integers(2, 5),
            rng.uniform(0.25, 0.6),
        )
    if style == 1:
        return blended(color, pick(rng, CERAMIC), 1, 0.3 * height, 0.8 * height)
    return color


def _smooth_profile(points: list[tuple[float, float]], samples: int = 18) -> np.ndarray:
    """(samples, 2) curve through (radius, y) points, monotone in y and without overshoot."""
    radius, y = np.asarray(points, np.float64).T
    at = np.linspace(y[0], y[-1], samples)
    return np.stack([PchipInterpolator(y, radius)(at), at], axis=1)


def _vessel(points: list[tuple[float, float]], wall: float, floor: float) -> Solid:
    """A hollow turned vessel with this outer profile, open at the top, with a rounded rim."""
    outer = _smooth_profile(points)
    inner = np.stack([np.maximum(outer[:, 0] - wall, 0.25 * wall), outer[:, 1]], axis=1)
    inner = inner[inner[:, 1] > floor]
    bottom = (np.interp(floor, outer[:, 1], outer[:, 0]) - wall, floor)
    profile = [
        (0.0, outer[0, 1]),
        *map(tuple, outer),
        *map(tuple, inner[::-1]),
        bottom,
        (0.0, floor),
    ]
    return lathe(profile, 0.15 * wall)


def mug(rng: np.random.Generator) -> Solid:
    """A mug with a handle."""
    radius = rng.uniform(0.035, 0.05)
    height = rng.uniform(0.075, 0.12)
    wall = 0.0055
    flare = rng.uniform(0.85, 1.15)
    body = _vessel(
        [(radius * 0.92, 0), (radius, 0.2 * height), (radius * flare, height)], wall, wall
    )
    ring = torus(0.3 * height, rng.uniform(0.0045, 0.0065))
    grip = moved(ring, (radius * 0.95, 0.52 * height, 0), rotation_x(np.pi / 2))
    inside = cylinder(radius * max(flare, 1) - 0.5 * wall, 4 * height, (0, wall + 2 * height, 0))
    glaze = _glaze(rng, height)
    return union(
        painted(body, glaze),
        painted(
            cut(grip, inside),
            shaded(pick(rng, CERAMIC), 1.0) if rng.random() < 0.3 or callable(glaze) else glaze,
        ),
    )


def bowl(rng: np.random.Generator) -> Solid:
    """An open bowl on a foot ring."""
    radius = rng.uniform(0.07, 0.13)
    height = rng.uniform(0.05, 0.09)
    foot = radius * rng.uniform(0.4, 0.55)
    points = [
        (foot, 0),
        (foot * 1.02, 0.08 * height),
        (0.8 * radius, 0.45 * height),
        (0.96 * radius, 0.8 * height),
        (radius, height),
    ]
    return painted(
        _vessel(points, 0.007, 0.012), _glaze(rng, height, bands=False)
    )  # bands are ragged on its flat floor


def plate(rng: np.random.Generator) -> Solid:
    """A plate with a raised rim, sometimes with a ring of colour."""
    radius = rng.uniform(0.1, 0.15)
    height = rng.uniform(0.018, 0.03)
    t = 0.006
    well = radius * rng.uniform(0.6, 0.75)
    profile = [
        (0, 0),
        (well, 0),
        (radius, height - t),
        (radius, height),
        (well * 0.97, t + 0.25 * (height - t)),
        (well * 0.9, t),
        (0, t),
    ]
    base = pick(rng, CERAMIC)
    ring = pick(rng, CERAMIC)

    def paint(p: np.ndarray) -> np.ndarray:
        return np.where((np.hypot(p[:, 0], p[:, 2]) > 0.88 * radius)[:, None], ring, base)

    return painted(lathe(profile, 0.0015), paint)


def bottle(rng: np.random.Generator) -> Solid:
    """A bottle with shoulder, neck, cap and often a label."""
    radius = rng.uniform(0.03, 0.045)
    height = rng.uniform(0.18, 0.32)
    shoulder = height * rng.uniform(0.45, 0.65)
    neck = radius * rng.uniform(0.28, 0.45)
    points = [
        (radius * 0.9, 0),
        (radius, 0.04 * height),
        (radius, shoulder),
        (neck, shoulder + 0.22 * height),
        (neck, height),
    ]
    body = lathe([(0, 0), *map(tuple, _smooth_profile(points)), (0, height)], 0.002)
    parts = [
        painted(body, pick(rng, CERAMIC + PLASTIC)),
        painted(
            cylinder(neck * 1.25, 0.08 * height, (0, height, 0), rounding=0.002),
            pick(rng, METAL + PLASTIC),
        ),
    ]
    if rng.random() < 0.7:
        parts.append(
            painted(
                cylinder(radius * 1.04, 0.3 * height, (0, shoulder - 0.2 * height, 0)),
                pick(rng, FABRIC),
            )
        )
    return union(*parts)


def vase(rng: np.random.Generator) -> Solid:
    """A vase of random profile."""
    height = rng.uniform(0.18, 0.4)
    radius = rng.uniform(0.05, 0.1)
    belly = rng.uniform(0.25, 0.6)
    neck = rng.uniform(0.3, 0.7)
    lip = radius * neck * rng.uniform(1.0, 1.5)
    points = [
        (radius * rng.uniform(0.4, 0.75), 0),
        (radius, belly * height),
        (radius * neck, 0.84 * height),
        (lip, height),
    ]
    return painted(_vessel(points, 0.008, 0.015), _glaze(rng, height))


def teapot(rng: np.random.Generator) -> Solid:
    """A teapot: round body, lid with a knob, spout, handle."""
    radius = rng.uniform(0.07, 0.09)
    height = rng.uniform(0.1, 0.13)
    glaze = pick(rng, CERAMIC)
    body = lathe(
        [
            (0, 0),
            *map(
                tuple,
                _smooth_profile(
                    [(0.6 * radius, 0), (radius, 0.45 * height), (0.55 * radius, height)]
                ),
            ),
            (0, height),
        ],
        0.003,
    )
    spout = capsule((0.6 * radius, 0.3 * height, 0), (1.55 * radius, 0.9 * height, 0), 0.022, 0.011)
    grip = moved(
        torus(0.33 * height, 0.0085), (-1.02 * radius, 0.52 * height, 0), rotation_x(np.pi / 2)
    )
    lid = union(
        ellipsoid((0.5 * radius, 0.022, 0.5 * radius), (0, height + 0.004, 0)),
        ellipsoid((0.016, 0.014, 0.016), (0, height + 0.035, 0)),
    )
    accent = shaded(glaze, 0.7) if rng.random() < 0.5 else pick(rng, WOOD + METAL)
    return union(
        painted(smooth_union(0.02, body, spout), glaze), painted(grip, accent), painted(lid, accent)
    )


def lamp(rng: np.random.Generator) -> Solid:
    """A table or floor lamp: foot, stem, conical shade; or a bent desk lamp."""
    metal = pick(rng, METAL + WOOD)
    shade = pick(rng, FABRIC + PLASTIC)
    height = rng.choice([rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.4)])
    radius = rng.uniform(0.11, 0.2) * (1 if height < 0.8 else 1.3)
    foot = cylinder(0.75 * radius, 0.03, (0, 0.015, 0), top=0.6 * radius, rounding=0.008)
    if height < 0.8 and rng.random() < 0.4:
        knee = (-0.12, 0.5 * height, 0.0)
        head = (0.1, 0.92 * height, 0.0)
        arms = union(
            capsule((0, 0, 0), knee, 0.014),
            capsule(knee, head, 0.014),
            ellipsoid((0.022,) * 3, knee),
        )
        hood = moved(
            cylinder(0.09, 0.14, (0, -0.03, 0), top=0.035, rounding=0.006),
            head,
            rotation_y(0.0) @ _tilt(0.5),
        )
        return union(painted(union(foot, arms), metal), painted(hood, shade))
    stem = capsule((0, 0, 0), (0, 0.75 * height, 0), rng.uniform(0.012, 0.02))
    if rng.random() < 0.5 and height < 0.8:
        stem = union(
            stem, ellipsoid((0.5 * radius, 0.22 * height, 0.5 * radius), (0, 0.24 * height, 0))
        )
    rise = rng.uniform(0.9, 1.4) * radius
    top = radius * rng.uniform(0.45, 0.95)
    cone = cut(
        cylinder(radius, rise, (0, height - rise / 2, 0), top=top),
        cylinder(radius - 0.02, rise, (0, height - rise / 2 - 0.02, 0), top=top - 0.02),
    )
    bulb = ellipsoid((0.035, 0.045, 0.035), (0, height - 0.62 * rise, 0))
    return union(
        painted(union(foot, stem), metal), painted(cone, shade), painted(bulb, (250, 240, 205))
    )


def _tilt(angle: float) -> np.ndarray:
    """(3, 3) rotation about +Z."""
    c = np.cos(angle)
    s = np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def books(rng: np.random.Generator) -> Solid:
    """One to five books in a pile: covers around a block of paper."""
    parts = []
    y = 0.0
    for _ in range(int(rng.integers(1, 6))):
        size = np.array([rng.uniform(0.13, 0.2), rng.uniform(0.022, 0.05), rng.uniform(0.19, 0.27)])
        cover = painted(
            cut(
                box(tuple(size), rounding=0.003),
                box((size[0], size[1] - 0.009, size[2] + 0.1), (0.006, 0, 0)),
            ),
            pick(rng, FABRIC + PLASTIC),
        )
        paper = painted(box((size[0] - 0.012, size[1] - 0.006, size[2] - 0.012)), (234, 226, 204))
        parts.append(
            moved(
                union(cover, paper),
                (rng.normal(0, 0.006), y + size[1] / 2, rng.normal(0, 0.006)),
                rotation_y(rng.normal(0, 0.25)),
            )
        )
        y += size[1]
    return union(*parts)


def crate(rng: np.random.Generator) -> Solid:
    """A wooden crate, a cardboard box with tape, or a gift with a ribbon."""
    size = np.array([rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.5)])
    w, h, d = size
    style = rng.integers(3)
    if style == 0:
        wood = grained(rng, pick(rng, WOOD), 0, 0.8)
        dark = grained(rng, pick(rng, WOOD), 1, 0.8)
        t = 0.035
        rails = [
            mirrored(mirrored(box((w + t, 0.07, t), (0, h / 2 - 0.035, d / 2)), 1), 2),
            mirrored(mirrored(box((0.07, h, t), (w / 2 - 0.035, 0, d / 2)), 0), 2),
        ]
        rails += [mirrored(mirrored(box((t, 0.07, d), (w / 2, h / 2 - 0.035, 0)), 1), 0)]
        return union(painted(box(tuple(size)), wood), painted(union(*rails), dark))
    color, band = (
        (pick(rng, ((186, 148, 104),)), pick(rng, ((214, 196, 160),)))
        if style == 1
        else (pick(rng, PLASTIC), pick(rng, PLASTIC))
    )
    tape = box((0.06 if style == 1 else 0.045, h + 0.008, d + 0.008))
    parts = [painted(box(tuple(size), rounding=0.008), color), painted(tape, band)]
    if style == 2:
        parts.append(painted(box((w + 0.008, h + 0.008, 0.045)), band))
        bow = moved(
            torus(0.045, 0.014), (0.055, h / 2 + 0.045, 0), _tilt(0.6) @ rotation_x(np.pi / 2)
        )
        parts.append(painted(mirrored(bow), band))
    return union(*parts)


def clock(rng: np.random.Generator) -> Solid:
    """A round alarm clock on two feet with bells."""
    r = rng.uniform(0.05, 0.08)
    color = pick(rng, PLASTIC + METAL)
    turn = rotation_x(np.pi / 2)
    case = moved(cylinder(r, 0.8 * r, rounding=0.08 * r), (0, 0, 0), turn)
    face = moved(cylinder(0.85 * r, 0.1 * r, rounding=0.02 * r), (0, 0, 0.4 * r), turn)
    hands = union(
        capsule((0, 0, 0.47 * r), (0, 0.6 * r, 0.47 * r), 0.045 * r),
        capsule((0, 0, 0.47 * r), (0.4 * r, 0.1 * r, 0.47 * r), 0.055 * r),
    )
    feet = mirrored(capsule((0.5 * r, -0.7 * r, 0), (0.75 * r, -1.15 * r, 0), 0.13 * r, 0.09 * r))
    bells = mirrored(ellipsoid((0.38 * r, 0.3 * r, 0.38 * r), (0.55 * r, 1.05 * r, 0)))
    return union(
        painted(case, color),
        painted(face, (244, 242, 234)),
        painted(hands, pick(rng, GLASS)),
        painted(feet, shaded(color, 0.6)),
        painted(bells, pick(rng, METAL)),
    )
