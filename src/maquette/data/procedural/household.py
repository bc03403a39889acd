"""Household things: vessels turned on a lathe, lamps, books and boxes. Lengths in metres, standing
on y = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.interpolate import PchipInterpolator

from maquette.data.procedural.paints import (
    CERAMIC,
    FABRIC,
    GLASS,
    METAL,
    PLASTIC,
    WOOD,
    blended,
    pick,
    shaded,
    striped,
    wooden,
)
from maquette.data.procedural.shapes import (
    Paint,
    PaintedSolid,
    X,
    Y,
    Z,
    at_corners,
    ball,
    box,
    capsule,
    cylinder,
    ellipsoid,
    lathe,
    painted,
    smooth_union,
    subtracted,
    torus,
    transformed,
    union,
    with_mirror_image,
)
from maquette.geometry.transforms import from_upright, rotation_x, rotation_y, rotation_z

UPRIGHT = rotation_x(np.pi / 2)  # a flat ring becomes a wheel that faces +Z
PAPER = (234, 226, 204)

Profile = list[tuple[float, float]]  # (radius, y), from the foot to the rim


def _glaze(rng: Generator, height: float, bands: bool = True) -> Paint | np.ndarray:
    """Bands, a gradient of two glazes or, as often as both, one colour."""
    colour = pick(rng, CERAMIC)
    style = rng.integers(4)
    if style == 0 and bands:
        other = pick(rng, CERAMIC)
        return striped(colour, other, Y, height / rng.integers(2, 5), rng.uniform(0.25, 0.6))
    if style == 1:
        return blended(colour, pick(rng, CERAMIC), Y, 0.3 * height, 0.8 * height)
    return colour


def _smooth(profile: Profile) -> np.ndarray:
    """(18, 2) curve through the profile, monotone in y and without overshoot."""
    radius, y = np.asarray(profile, np.float64).T
    heights = np.linspace(y[0], y[-1], 18)
    return np.stack([PchipInterpolator(y, radius)(heights), heights], axis=1)


def _scaled(radius: float, height: float, *shares: tuple[float, float]) -> Profile:
    """A profile given as shares of the radius and of the height."""
    return [(radius * across, height * up) for across, up in shares]


def _turned(profile: Profile, height: float, rounding: float) -> PaintedSolid:
    """A full turned body with a flat top at ``height``."""
    return lathe([(0, 0), *_smooth(profile), (0, height)], rounding)


def _vessel(profile: Profile, wall: float, floor: float) -> PaintedSolid:
    """A hollow turned vessel with this outer profile, open at the top, with a rounded rim."""
    outer = _smooth(profile)
    radius, y = outer.T
    inner = np.stack([np.maximum(radius - wall, 0.25 * wall), y], axis=1)
    inner = inner[y > floor]
    bottom = np.interp(floor, y, radius) - wall
    hollow = [*inner[::-1], (bottom, floor), (0.0, floor)]
    return lathe([(0.0, y[0]), *outer, *hollow], 0.15 * wall)


def mug(rng: Generator) -> PaintedSolid:
    """A mug with a handle."""
    radius = rng.uniform(0.035, 0.05)
    height = rng.uniform(0.075, 0.12)
    flare = rng.uniform(0.85, 1.15)
    wall = 0.0055
    profile = _scaled(radius, height, (0.92, 0), (1, 0.2), (flare, 1))
    body = _vessel(profile, wall, wall)
    ring = torus(0.3 * height, rng.uniform(0.0045, 0.0065))
    grip = transformed(
        ring,
        x=0.95 * radius,
        y=0.52 * height,
        rotation=UPRIGHT,
    )
    widest = radius * max(flare, 1)
    inside = cylinder(widest - 0.5 * wall, 4 * height, y=wall + 2 * height)
    glaze = _glaze(rng, height)
    grip_paint = pick(rng, CERAMIC) if rng.random() < 0.3 or callable(glaze) else glaze
    return union(painted(body, paint=glaze), painted(subtracted(grip, inside), paint=grip_paint))


def bowl(rng: Generator) -> PaintedSolid:
    """An open bowl on a foot ring."""
    radius = rng.uniform(0.07, 0.13)
    height = rng.uniform(0.05, 0.09)
    foot = radius * rng.uniform(0.4, 0.55)
    ring = [(foot, 0), (1.02 * foot, 0.08 * height)]
    wall = _scaled(radius, height, (0.8, 0.45), (0.96, 0.8), (1, 1))
    glaze = _glaze(rng, height, bands=False)  # bands are ragged on its flat floor
    return painted(_vessel(ring + wall, wall=0.007, floor=0.012), paint=glaze)


def plate(rng: Generator) -> PaintedSolid:
    """A plate with a raised rim, sometimes with a ring of colour."""
    radius = rng.uniform(0.1, 0.15)
    height = rng.uniform(0.018, 0.03)
    thickness = 0.006
    rise = height - thickness
    well = radius * rng.uniform(0.6, 0.75)
    underside = [(0, 0), (well, 0), (radius, rise)]
    rim = [(radius, height), (0.97 * well, thickness + 0.25 * rise)]
    floor = [(0.9 * well, thickness), (0, thickness)]
    base = pick(rng, CERAMIC)
    ring = pick(rng, CERAMIC)

    def paint(p: np.ndarray) -> np.ndarray:
        on_rim = from_upright(p) > 0.88 * radius
        return np.where(on_rim[:, None], ring, base)

    return painted(lathe(underside + rim + floor, 0.0015), paint=paint)


def bottle(rng: Generator) -> PaintedSolid:
    """A bottle with shoulder, neck, cap and often a label."""
    radius = rng.uniform(0.03, 0.045)
    height = rng.uniform(0.18, 0.32)
    shoulder = height * rng.uniform(0.45, 0.65)
    neck = radius * rng.uniform(0.28, 0.45)
    base = _scaled(radius, height, (0.9, 0), (1, 0.04))
    throat = [(radius, shoulder), (neck, shoulder + 0.22 * height), (neck, height)]
    body = _turned(base + throat, height, 0.002)
    body = painted(body, paint=pick(rng, CERAMIC + PLASTIC))
    cap = cylinder(1.25 * neck, 0.08 * height, y=height, rounding=0.002)
    parts = [body, painted(cap, paint=pick(rng, METAL + PLASTIC))]
    if rng.random() < 0.7:
        label = cylinder(1.04 * radius, 0.3 * height, y=shoulder - 0.2 * height)
        parts.append(painted(label, paint=pick(rng, FABRIC)))
    return union(*parts)


def vase(rng: Generator) -> PaintedSolid:
    """A vase of random profile."""
    height = rng.uniform(0.18, 0.4)
    radius = rng.uniform(0.05, 0.1)
    belly = rng.uniform(0.25, 0.6)
    neck = radius * rng.uniform(0.3, 0.7)
    lip = neck * rng.uniform(1.0, 1.5)
    foot = radius * rng.uniform(0.4, 0.75)
    profile = [(foot, 0), (radius, belly * height), (neck, 0.84 * height), (lip, height)]
    return painted(_vessel(profile, wall=0.008, floor=0.015), paint=_glaze(rng, height))


def teapot(rng: Generator) -> PaintedSolid:
    """A teapot: round body, lid with a knob, spout, handle."""
    radius = rng.uniform(0.07, 0.09)
    height = rng.uniform(0.1, 0.13)
    glaze = pick(rng, CERAMIC)
    profile = _scaled(radius, height, (0.6, 0), (1, 0.45), (0.55, 1))
    body = _turned(profile, height, 0.003)
    root = (0.6 * radius, 0.3 * height, 0)
    spout = capsule(root, (1.55 * radius, 0.9 * height, 0), 0.022, 0.011)
    ring = torus(0.33 * height, 0.0085)
    grip = transformed(
        ring,
        x=-1.02 * radius,
        y=0.52 * height,
        rotation=UPRIGHT,
    )
    lid = ellipsoid(0.5 * radius, 0.022, 0.5 * radius, y=height + 0.004)
    knob = ellipsoid(0.016, 0.014, 0.016, y=height + 0.035)
    accent = shaded(glaze, 0.7) if rng.random() < 0.5 else pick(rng, WOOD + METAL)
    body = painted(smooth_union(0.02, body, spout), paint=glaze)
    return union(body, painted(grip, paint=accent), painted(lid, knob, paint=accent))


def lamp(rng: Generator) -> PaintedSolid:
    """A table or floor lamp: foot, stem, conical shade; or a bent desk lamp."""
    metal = pick(rng, METAL + WOOD)
    shade_paint = pick(rng, FABRIC + PLASTIC)
    height = rng.choice([rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.4)])
    on_table = height < 0.8
    radius = rng.uniform(0.11, 0.2) * (1 if on_table else 1.3)
    foot = cylinder(
        0.75 * radius,
        0.03,
        y=0.015,
        top=0.6 * radius,
        rounding=0.008,
    )
    if on_table and rng.random() < 0.4:
        stand, hood = _bent_arm(height)
        return union(painted(foot, stand, paint=metal), painted(hood, paint=shade_paint))
    stem = capsule((0, 0, 0), (0, 0.75 * height, 0), rng.uniform(0.012, 0.02))
    if rng.random() < 0.5 and on_table:
        belly = ellipsoid(0.5 * radius, 0.22 * height, 0.5 * radius, y=0.24 * height)
        stem = union(stem, belly)
    rise = rng.uniform(0.9, 1.4) * radius
    top = radius * rng.uniform(0.45, 0.95)
    middle = height - rise / 2
    hollow = cylinder(radius - 0.02, rise, y=middle - 0.02, top=top - 0.02)
    shade = subtracted(cylinder(radius, rise, y=middle, top=top), hollow)
    bulb = ellipsoid(0.035, 0.045, 0.035, y=height - 0.62 * rise)
    stand = painted(foot, stem, paint=metal)
    shade = painted(shade, paint=shade_paint)
    return union(stand, shade, painted(bulb, paint=(250, 240, 205)))


def _bent_arm(height: float) -> tuple[PaintedSolid, PaintedSolid]:
    """The two arms of a desk lamp with their joint, and its hood."""
    knee = (-0.12, 0.5 * height, 0.0)
    head_x = 0.1
    head_y = 0.92 * height
    lower = capsule((0, 0, 0), knee, 0.014)
    upper = capsule(knee, (head_x, head_y, 0.0), 0.014)
    joint = ball(0.022, x=knee[X], y=knee[Y])
    hood = cylinder(
        0.09,
        0.14,
        y=-0.03,
        top=0.035,
        rounding=0.006,
    )
    hood = transformed(
        hood,
        x=head_x,
        y=head_y,
        rotation=rotation_z(0.5),
    )
    return union(lower, upper, joint), hood


def books(rng: Generator) -> PaintedSolid:
    """One to five books in a pile: covers around a block of paper."""
    parts = []
    y = 0.0
    for _ in range(int(rng.integers(1, 6))):
        width = rng.uniform(0.13, 0.2)
        thickness = rng.uniform(0.022, 0.05)
        length = rng.uniform(0.19, 0.27)
        block = box(width, thickness, length, rounding=0.003)
        gap = box(width, thickness - 0.009, length + 0.1, x=0.006)
        cover = painted(subtracted(block, gap), paint=pick(rng, FABRIC + PLASTIC))
        paper = painted(box(width - 0.012, thickness - 0.006, length - 0.012), paint=PAPER)
        shift_x = rng.normal(0, 0.006)
        shift_z = rng.normal(0, 0.006)
        turn = rotation_y(rng.normal(0, 0.25))
        book = union(cover, paper)
        parts.append(
            transformed(
                book,
                x=shift_x,
                y=y + thickness / 2,
                z=shift_z,
                rotation=turn,
            )
        )
        y += thickness
    return union(*parts)


def crate(rng: Generator) -> PaintedSolid:
    """A wooden crate, a cardboard box with tape, or a gift with a ribbon."""
    width = rng.uniform(0.3, 0.6)
    height = rng.uniform(0.2, 0.5)
    depth = rng.uniform(0.3, 0.5)
    style = rng.integers(3)
    if style == 0:
        return _wooden_crate(rng, width, height, depth)
    gift = style == 2
    colour = pick(rng, PLASTIC if gift else ((186, 148, 104),))
    band = pick(rng, PLASTIC if gift else ((214, 196, 160),))
    tape = box(0.045 if gift else 0.06, height + 0.008, depth + 0.008)
    body = box(width, height, depth, rounding=0.008)
    parts = [painted(body, paint=colour), painted(tape, paint=band)]
    if gift:
        ribbon = box(width + 0.008, height + 0.008, 0.045)
        turn = rotation_z(0.6) @ UPRIGHT
        bow = transformed(
            torus(0.045, 0.014),
            x=0.055,
            y=height / 2 + 0.045,
            rotation=turn,
        )
        parts += [painted(ribbon, paint=band), painted(with_mirror_image(bow), paint=band)]
    return union(*parts)


def _wooden_crate(
    rng: Generator,
    width: float,
    height: float,
    depth: float,
) -> PaintedSolid:
    """A box with rails along all of its edges."""
    wood = wooden(rng, X, 0.8)
    dark = wooden(rng, Y, 0.8)
    body = painted(box(width, height, depth), paint=wood)
    rail = 0.07
    thickness = 0.035
    top = height / 2 - 0.035
    side = width / 2 - 0.035
    along = box(width + thickness, rail, thickness, y=top, z=depth / 2)
    post = box(rail, height, thickness, x=side, z=depth / 2)
    across = box(thickness, rail, depth, x=width / 2, y=top)
    along = with_mirror_image(with_mirror_image(along, Y), Z)
    across = with_mirror_image(with_mirror_image(across, Y), X)
    return union(body, painted(along, at_corners(post), across, paint=dark))


def clock(rng: Generator) -> PaintedSolid:
    """A round alarm clock on two feet with bells."""
    r = rng.uniform(0.05, 0.08)  # all lengths are shares of the radius
    colour = pick(rng, PLASTIC + METAL)
    case = transformed(cylinder(r, 0.8 * r, rounding=0.08 * r), rotation=UPRIGHT)
    face = transformed(cylinder(0.85 * r, 0.1 * r, rounding=0.02 * r), z=0.4 * r, rotation=UPRIGHT)
    before = 0.47 * r  # the face
    minutes = capsule((0, 0, before), (0, 0.6 * r, before), 0.045 * r)
    hours = capsule((0, 0, before), (0.4 * r, 0.1 * r, before), 0.055 * r)
    toe = (0.75 * r, -1.15 * r, 0)
    foot = capsule((0.5 * r, -0.7 * r, 0), toe, 0.13 * r, 0.09 * r)
    bell = ellipsoid(0.38 * r, 0.3 * r, 0.38 * r, x=0.55 * r, y=1.05 * r)
    case = painted(case, paint=colour)
    face = painted(face, paint=(244, 242, 234))
    hands = painted(minutes, hours, paint=pick(rng, GLASS))
    feet = painted(with_mirror_image(foot), paint=shaded(colour, 0.6))
    bells = painted(with_mirror_image(bell), paint=pick(rng, METAL))
    return union(case, face, hands, feet, bells)
