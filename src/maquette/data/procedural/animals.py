"""Animals: smooth unions of ellipsoids and tapered sticks. Units are free, facing +Z, standing on
y = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from maquette.data.procedural.paints import (
    CERAMIC,
    FUR,
    PLASTIC,
    blended,
    pick,
    shaded,
    spotted,
    striped,
)
from maquette.data.procedural.shapes import (
    Paint,
    PaintedSolid,
    Point,
    Y,
    Z,
    ball,
    box,
    capsule,
    ellipsoid,
    near,
    painted,
    smooth_union,
    transformed,
    union,
    with_mirror_image,
)
from maquette.geometry.transforms import rotation_x, rotation_y, rotation_z

PUPIL = (24, 22, 24)


def _coat(rng: Generator, scale: float) -> tuple[Paint | np.ndarray, np.ndarray]:
    """A coat and its base colour: plain, spotted, striped along the body, or with a pale belly."""
    colour = pick(rng, FUR)
    style = rng.integers(4)
    if style == 0:
        return spotted(rng, colour, pick(rng, FUR), scale), colour
    if style == 1:
        period = scale * rng.uniform(0.1, 0.2)
        return striped(colour, shaded(colour, 0.55), Z, period, 0.4), colour
    if style == 2:
        return blended(shaded(colour, 1.35), colour, Y, 0.35 * scale, 0.5 * scale), colour
    return colour, colour


def quadruped(rng: Generator) -> PaintedSolid:
    """A dog, horse, cow, bear or giraffe, by proportions."""
    length = rng.uniform(0.5, 0.8)
    girth = rng.uniform(0.12, 0.2)
    leg = rng.uniform(0.2, 0.5)
    thick = girth * rng.uniform(0.28, 0.42)  # radius of the legs
    neck = rng.uniform(0.08, 0.4)
    head = rng.uniform(0.085, 0.13)
    coat, colour = _coat(rng, leg + girth)
    y = leg + 0.7 * girth  # of the trunk
    front = length / 2 - 0.6 * girth
    chest = (0, y, front)
    crown_y = y + 0.6 * neck + 0.5 * girth
    crown = (0, crown_y, front + 0.6 * girth + 0.45 * neck)
    muzzle = near(crown, head, y=-0.25, z=rng.uniform(0.9, 1.4))
    torso = capsule(chest, (0, 0.99 * y, -front), girth, girth * rng.uniform(0.8, 1.0))
    trunk = smooth_union(0.1, torso, capsule(chest, crown, 0.7 * girth, 0.6 * head))
    skull = _skull(crown, muzzle, head)
    legs, hooves = _legs(0.6 * girth, y - 0.1 * girth, front, thick)
    ears = _ears(rng, crown, head)
    tail = _tail(rng, (0, y, -length / 2), leg, girth)
    body = smooth_union(0.05, trunk, skull, *legs, ears, tail)
    body = painted(body, paint=coat)
    shoes = painted(*hooves, paint=shaded(colour, 0.5))
    return union(body, shoes, painted(_face(crown, muzzle, head), paint=PUPIL))


def _legs(
    x: float,
    hip: float,
    reach: float,
    thick: float,
) -> tuple[list[PaintedSolid], list[PaintedSolid]]:
    """Pairs of legs at z = ``reach`` and -``reach`` from the height of the hips to the ground, and
    their hooves.
    """
    out = 1.05 * x
    ankle = 0.6 * thick
    legs = []
    hooves = []
    for z in (reach, -reach):
        limb = capsule((x, hip, z), (out, ankle, z + 0.02), 1.35 * thick, 0.8 * thick)
        hoof = ellipsoid(
            thick,
            0.7 * thick,
            1.2 * thick,
            x=out,
            y=ankle,
            z=z + 0.03,
        )
        legs.append(with_mirror_image(limb))
        hooves.append(with_mirror_image(hoof))
    return legs, hooves


def _tail(
    rng: Generator,
    rump: Point,
    leg: float,
    girth: float,
) -> PaintedSolid:
    """A tail that hangs to the ankles at most, or stands up."""
    _, y, z = rump
    droop = rng.uniform(-0.3, 0.8) * leg
    tip = (0, y - droop, z - rng.uniform(0.1, 0.25))
    return capsule(near(rump, girth, y=0.4, z=0.2), tip, 0.035, rng.uniform(0.02, 0.05))


def _ears(rng: Generator, crown: Point, head: float) -> PaintedSolid:
    """Two ears, short to long; lengths in heads."""
    tip = near(
        crown,
        head,
        x=rng.uniform(0.7, 1.3),
        y=rng.uniform(0.7, 1.8),
        z=-0.2,
    )
    root = near(
        crown,
        head,
        x=0.5,
        y=0.6,
        z=-0.1,
    )
    return with_mirror_image(capsule(root, tip, 0.3 * head, 0.16 * head))


def _skull(crown: Point, muzzle: Point, head: float) -> PaintedSolid:
    """A head and what grows out of it towards the muzzle."""
    brow = ellipsoid(0.85 * head, head, head, at=crown)
    snout = capsule(crown, muzzle, 0.6 * head, 0.42 * head)
    return smooth_union(0.04, brow, snout)


def _face(crown: Point, muzzle: Point, head: float) -> PaintedSolid:
    """Two eyes and a nose; lengths in heads."""
    eye = ball(
        0.17 * head,
        at=near(
            crown,
            head,
            x=0.62,
            y=0.3,
            z=0.65,
        ),
    )
    tip = near(muzzle, head, y=0.12, z=0.34)
    return union(with_mirror_image(eye), ellipsoid(0.25 * head, 0.2 * head, 0.2 * head, at=tip))


def bird(rng: Generator) -> PaintedSolid:
    """A standing bird: body, head, beak, folded or spread wings, tail, two legs."""
    size = rng.uniform(0.13, 0.19)
    colour = pick(rng, PLASTIC + FUR)
    y = rng.uniform(0.08, 0.3) + 0.95 * size
    heart = (0, y, 0)
    head = 0.62 * size
    neck = rng.uniform(0.7, 1.8) * size
    crown = (0, y + 0.9 * neck, 0.75 * size)
    wing_paint = shaded(colour, rng.uniform(0.5, 0.8))
    beak_paint = pick(rng, ((236, 166, 52), (70, 62, 56), (214, 112, 58)))
    body = _bird_body(size, heart, crown, head)
    wings = with_mirror_image(_wing(size, heart, folded=rng.random() < 0.5))
    tail = box(0.7 * size, 0.12, 1.3 * size, rounding=0.05)
    root = near(heart, size, y=-0.25, z=-1.7)
    tail = transformed(tail, at=root, rotation=rotation_x(-0.25))
    tip = near(crown, head, y=-0.15, z=rng.uniform(1.5, 2.3))
    beak = capsule(near(crown, head, z=0.8), tip, 0.3 * head, 0.06 * head)
    eye = ball(
        0.2 * head,
        at=near(
            crown,
            head,
            x=0.72,
            y=0.25,
            z=0.6,
        ),
    )
    plumage = blended(shaded(colour, 1.4), colour, Y, y - 0.7 * size, y + 0.2 * size)
    body = painted(body, paint=plumage)
    wings = painted(wings, tail, paint=wing_paint)
    legs = painted(beak, *_bird_legs(size, y - 0.5 * size), paint=beak_paint)
    return union(body, wings, legs, painted(with_mirror_image(eye), paint=PUPIL))


def _bird_body(
    size: float,
    heart: Point,
    crown: Point,
    head: float,
) -> PaintedSolid:
    """An egg-shaped trunk, a neck and a round head."""
    trunk = ellipsoid(0.8 * size, 0.85 * size, 1.35 * size)
    trunk = transformed(trunk, at=heart, rotation=rotation_x(-0.35))
    throat = capsule(near(heart, size, y=0.3, z=0.6), crown, 0.5 * size, 0.5 * head)
    return smooth_union(0.5 * size, trunk, throat, ball(head, at=crown))


def _bird_legs(size: float, hip: float) -> tuple[PaintedSolid, PaintedSolid]:
    """Two shins from the height of the hips to the ground, and two feet."""
    x = 0.4 * size
    shin = capsule((x, hip, 0), (x, 0.02, 0), 0.026)
    foot = capsule((x, 0.025, -0.03), (0.45 * size, 0.025, 0.1), 0.025)
    return with_mirror_image(shin), with_mirror_image(foot)


def _wing(size: float, heart: Point, *, folded: bool) -> PaintedSolid:
    """A right wing: along the body when folded, else spread to the side."""
    if folded:
        wing = ellipsoid(0.2 * size, 0.6 * size, 1.2 * size)
        place = near(
            heart,
            size,
            x=0.78,
            y=0.1,
            z=-0.25,
        )
        return transformed(wing, at=place, rotation=rotation_x(-0.45))
    wing = ellipsoid(1.9 * size, 0.14 * size, 0.7 * size)
    x, y, _ = near(heart, size, x=1.9, y=0.75)
    return transformed(
        wing,
        x=x,
        y=y,
        z=-0.1,
        rotation=rotation_z(0.35),
    )


def fish(rng: Generator) -> PaintedSolid:
    """A fish: flattened body, tail fin, back, belly and side fins."""
    length = rng.uniform(0.45, 0.7)
    height = rng.uniform(0.1, 0.22)
    width = rng.uniform(0.07, 0.13)
    colour = pick(rng, PLASTIC + CERAMIC)
    fin_paint = pick(rng, PLASTIC + CERAMIC)
    half = length / 2
    skin: Paint | np.ndarray = colour
    if rng.random() < 0.6:
        period = length / rng.integers(4, 8)
        skin = striped(colour, shaded(fin_paint, 1.1), Z, period, rng.uniform(0.25, 0.5))
    trunk = ellipsoid(width, height, half)
    root = (0, 0, -1.15 * half)  # of the tail
    stem = capsule((0, 0, -0.6 * half), root, 0.5 * width, 0.3 * width)
    body = smooth_union(0.1, trunk, stem)
    flat = _fins(width, height, half, spread=rng.uniform(0.8, 1.3) * height)
    x = 0.5 * width
    y = 0.25 * height
    z = 0.72 * half
    eye = ball(
        0.032,
        x=x,
        y=y,
        z=z,
    )
    pupil = ball(
        0.018,
        x=x + 0.02,
        y=y,
        z=z + 0.01,
    )
    body = painted(body, paint=skin)
    fins = painted(*flat, paint=fin_paint)
    eyes = painted(with_mirror_image(eye), paint=(240, 240, 236))
    return union(body, fins, eyes, painted(with_mirror_image(pupil), paint=PUPIL))


def _fins(
    width: float,
    height: float,
    half: float,
    spread: float,
) -> tuple[PaintedSolid, ...]:
    """Tail, back, belly and side fins of a fish from z = -``half`` to ``half``."""
    t = 0.026
    tip = (0, spread, -1.5 * half)
    fork = capsule((0, 0, -1.05 * half), tip, t, 0.8 * t)
    web = ellipsoid(t, 0.6 * spread, 0.26 * half, z=-1.22 * half)
    tail = smooth_union(0.12, with_mirror_image(fork, Y), web)
    back = ellipsoid(t, 0.45 * height, 0.45 * half)
    back = transformed(
        back,
        y=height,
        z=-0.1 * half,
        rotation=rotation_x(-0.25),
    )
    belly = ellipsoid(t, 0.3 * height, 0.22 * half)
    turn = rotation_x(0.4)
    belly = transformed(
        belly,
        y=-0.95 * height,
        z=-0.25 * half,
        rotation=turn,
    )
    side = ellipsoid(0.1, 0.02, 0.05)
    turn = rotation_z(-0.5) @ rotation_y(0.5)
    side = transformed(
        side,
        x=width + 0.02,
        y=-0.25 * height,
        z=0.3 * half,
        rotation=turn,
    )
    return tail, back, belly, with_mirror_image(side)
