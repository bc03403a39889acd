"""Animals and plants: smooth unions of ellipsoids and tapered sticks. Units are free, facing +Z,
standing on y = 0.
"""

from __future__ import annotations

import numpy as np

from maquette.data.procedural.paints import (
    CERAMIC,
    FUR,
    LEAF,
    PLASTIC,
    WOOD,
    blended,
    pick,
    shaded,
    spotted,
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
    union,
)
from maquette.geometry.transforms import rotation_x, rotation_y

_EYE = (24, 22, 24)


def _coat(rng: np.random.Generator, scale: float) -> tuple[Paint | np.ndarray, np.ndarray]:
    """A coat and its base colour: plain, spotted, striped along the body, or with a pale belly."""
    color = pick(rng, FUR)
    style = rng.integers(4)
    if style == 0:
        return spotted(rng, color, pick(rng, FUR), scale), color
    if style == 1:
        return striped(color, shaded(color, 0.55), 2, scale * rng.uniform(0.1, 0.2), 0.4), color
    if style == 2:
        return blended(shaded(color, 1.35), color, 1, 0.35 * scale, 0.5 * scale), color
    return color, color


def quadruped(rng: np.random.Generator) -> Solid:
    """A dog, horse, cow, bear or giraffe, by proportions."""
    length = rng.uniform(0.5, 0.8)
    girth = rng.uniform(0.12, 0.2)
    leg = rng.uniform(0.2, 0.5)
    thick = girth * rng.uniform(0.28, 0.42)
    neck = rng.uniform(0.08, 0.4)
    head = rng.uniform(0.085, 0.13)
    coat, color = _coat(rng, leg + girth)
    y = leg + 0.7 * girth
    front = length / 2 - 0.6 * girth
    chest = (0, y, front)
    hip = (0, y * 0.99, -front)
    crown = (0, y + 0.6 * neck + 0.5 * girth, front + 0.6 * girth + 0.45 * neck)
    muzzle = (0, crown[1] - 0.25 * head, crown[2] + head * rng.uniform(0.9, 1.4))
    trunk = smooth_union(
        0.1,
        capsule(chest, hip, girth, girth * rng.uniform(0.8, 1.0)),
        capsule(chest, crown, 0.7 * girth, 0.6 * head),
    )
    skull = smooth_union(
        0.04,
        ellipsoid((0.85 * head, head, head), crown),
        capsule(crown, muzzle, 0.6 * head, 0.42 * head),
    )
    x = 0.6 * girth
    legs = [
        capsule(
            (x, y - 0.1 * girth, z), (x * 1.05, 0.6 * thick, z + 0.02), 1.35 * thick, 0.8 * thick
        )
        for z in (front, -front)
    ]
    ear_tip = (
        head * rng.uniform(0.7, 1.3),
        crown[1] + head * rng.uniform(0.7, 1.8),
        crown[2] - 0.2 * head,
    )
    ears = mirrored(
        capsule(
            (0.5 * head, crown[1] + 0.6 * head, crown[2] - 0.1 * head),
            ear_tip,
            0.3 * head,
            0.16 * head,
        )
    )
    tail_end = (0, y - rng.uniform(-0.3, 0.8) * leg, -length / 2 - rng.uniform(0.1, 0.25))
    tail = capsule(
        (0, y + 0.4 * girth, -length / 2 + 0.2 * girth), tail_end, 0.035, rng.uniform(0.02, 0.05)
    )
    body = smooth_union(0.05, trunk, skull, *(mirrored(part) for part in legs), ears, tail)
    hooves = union(
        *(
            mirrored(
                ellipsoid((thick, 0.7 * thick, 1.2 * thick), (x * 1.05, 0.6 * thick, z + 0.03))
            )
            for z in (front, -front)
        )
    )
    eyes = mirrored(
        ellipsoid((0.17 * head,) * 3, (0.62 * head, crown[1] + 0.3 * head, crown[2] + 0.65 * head))
    )
    nose = ellipsoid(
        (0.25 * head, 0.2 * head, 0.2 * head), (0, muzzle[1] + 0.12 * head, muzzle[2] + 0.34 * head)
    )
    return union(
        painted(body, coat), painted(hooves, shaded(color, 0.5)), painted(union(eyes, nose), _EYE)
    )


def bird(rng: np.random.Generator) -> Solid:
    """A standing bird: body, head, beak, folded or spread wings, tail, two legs."""
    size = rng.uniform(0.13, 0.19)
    color = pick(rng, PLASTIC + FUR)
    leg = rng.uniform(0.08, 0.3)
    y = leg + 0.95 * size
    head = 0.62 * size
    neck = rng.uniform(0.7, 1.8) * size
    crown = (0, y + neck * 0.9, 0.75 * size)
    wing_paint = shaded(color, rng.uniform(0.5, 0.8))
    beak_color = pick(rng, ((236, 166, 52), (70, 62, 56), (214, 112, 58)))
    body = smooth_union(
        0.5 * size,
        moved(ellipsoid((0.8 * size, 0.85 * size, 1.35 * size)), (0, y, 0), rotation_x(-0.35)),
        capsule((0, y + 0.3 * size, 0.6 * size), crown, 0.5 * size, 0.5 * head),
        ellipsoid((head,) * 3, crown),
    )
    if rng.random() < 0.5:
        wings = mirrored(
            moved(
                ellipsoid((0.2 * size, 0.6 * size, 1.2 * size)),
                (0.78 * size, y + 0.1 * size, -0.25 * size),
                rotation_x(-0.45),
            )
        )
    else:
        wings = mirrored(
            moved(
                ellipsoid((1.9 * size, 0.14 * size, 0.7 * size)),
                (1.9 * size, y + 0.75 * size, -0.1),
                _bank(0.35),
            )
        )
    tail = moved(
        box((0.7 * size, 0.12, 1.3 * size), rounding=0.05),
        (0, y - 0.25 * size, -1.7 * size),
        rotation_x(-0.25),
    )
    beak = capsule(
        (0, crown[1], crown[2] + 0.8 * head),
        (0, crown[1] - 0.15 * head, crown[2] + head * rng.uniform(1.5, 2.3)),
        0.3 * head,
        0.06 * head,
    )
    shin = capsule((0.4 * size, y - 0.5 * size, 0), (0.4 * size, 0.02, 0), 0.026)
    foot = capsule((0.4 * size, 0.025, -0.03), (0.45 * size, 0.025, 0.1), 0.025)
    eyes = mirrored(
        ellipsoid((0.2 * head,) * 3, (0.72 * head, crown[1] + 0.25 * head, crown[2] + 0.6 * head))
    )
    belly = blended(shaded(color, 1.4), color, 1, y - 0.7 * size, y + 0.2 * size)
    legs = painted(union(beak, mirrored(shin), mirrored(foot)), beak_color)
    return union(
        painted(body, belly), painted(union(wings, tail), wing_paint), legs, painted(eyes, _EYE)
    )


def _bank(angle: float) -> np.ndarray:
    """(3, 3) rotation about +Z."""
    c = np.cos(angle)
    s = np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def fish(rng: np.random.Generator) -> Solid:
    """A fish: flattened body, tail fin, back, belly and side fins."""
    length = rng.uniform(0.45, 0.7)
    height = rng.uniform(0.1, 0.22)
    width = rng.uniform(0.07, 0.13)
    color = pick(rng, PLASTIC + CERAMIC)
    fin = pick(rng, PLASTIC + CERAMIC)
    half = length / 2
    skin: Paint | np.ndarray = color
    if rng.random() < 0.6:
        skin = striped(
            color, shaded(fin, 1.1), 2, length / rng.integers(4, 8), rng.uniform(0.25, 0.5)
        )
    body = smooth_union(
        0.1,
        ellipsoid((width, height, half)),
        capsule((0, 0, -0.6 * half), (0, 0, -1.15 * half), 0.5 * width, 0.3 * width),
    )
    spread = rng.uniform(0.8, 1.3) * height
    t = 0.026
    tail = mirrored(capsule((0, 0, -1.05 * half), (0, spread, -1.5 * half), t, t * 0.8), 1)
    tail = smooth_union(
        0.12, tail, ellipsoid((t, 0.6 * spread, 0.13 * length), (0, 0, -1.22 * half))
    )
    top = moved(
        ellipsoid((t, 0.45 * height, 0.45 * half)), (0, height, -0.1 * half), rotation_x(-0.25)
    )
    below = moved(
        ellipsoid((t, 0.3 * height, 0.22 * half)),
        (0, -0.95 * height, -0.25 * half),
        rotation_x(0.4),
    )
    sides = mirrored(
        moved(
            ellipsoid((0.1, 0.02, 0.05)),
            (width + 0.02, -0.25 * height, 0.3 * half),
            _bank(-0.5) @ rotation_y(0.5),
        )
    )
    x = 0.5 * width
    y = 0.25 * height
    z = 0.72 * half
    eyes = mirrored(ellipsoid((0.032,) * 3, (x, y, z)))
    pupils = mirrored(ellipsoid((0.018,) * 3, (x + 0.02, y, z + 0.01)))
    return union(
        painted(body, skin),
        painted(union(tail, top, below, sides), fin),
        painted(eyes, (240, 240, 236)),
        painted(pupils, _EYE),
    )


def tree(rng: np.random.Generator) -> Solid:
    """A tree: trunk with boughs and a crown of lobes, or a conifer of stacked cones."""
    bark = pick(rng, WOOD)
    leaf = pick(rng, LEAF)
    height = rng.uniform(0.9, 1.3)
    if rng.random() < 0.35:
        count = int(rng.integers(3, 6))
        base = 0.2 * height
        radius = rng.uniform(0.22, 0.34)
        step = (height - base) / count
        tiers = []
        for i in range(count):
            r = radius * (1 - 0.8 * i / count)
            cone = cylinder(
                r, 1.7 * step, (0, base + (i + 0.75) * step, 0), top=0.02, rounding=0.012
            )
            tiers.append(painted(cone, shaded(leaf, 0.85 + 0.3 * i / count)))
        return union(painted(cylinder(0.05, 0.5, (0, 0.25, 0), top=0.035), bark), *tiers)
    split = height * rng.uniform(0.4, 0.55)
    spread = rng.uniform(0.18, 0.3)
    wood = [capsule((0, 0.03, 0), (0, split, 0), rng.uniform(0.045, 0.07), 0.04)]
    lobes = []
    count = int(rng.integers(4, 8))
    for i in range(count):
        angle = 2 * np.pi * i / count + rng.normal(0, 0.3)
        tip = (
            spread * np.cos(angle),
            split + rng.uniform(0.12, 0.42) * height,
            spread * np.sin(angle),
        )
        wood.append(capsule((0, split - 0.05, 0), tip, 0.03, 0.02))
        lobes.append(ellipsoid(tuple(rng.uniform(0.13, 0.2, 3)), tip))
    lobes.append(ellipsoid((0.2, 0.18, 0.2), (0, split + 0.38 * height, 0)))
    crown = painted(
        smooth_union(0.06, *lobes), blended(shaded(leaf, 0.8), shaded(leaf, 1.2), 1, split, height)
    )
    return union(painted(smooth_union(0.05, *wood), bark), crown)


def _pot(rng: np.random.Generator, radius: float, height: float) -> Solid:
    clay = pick(rng, CERAMIC)
    soil = (74, 54, 42)
    wall = 0.1 * radius
    outer = [
        (0, 0),
        (0.72 * radius, 0),
        (radius, height),
        (radius - wall, height),
        (radius - 1.3 * wall, 0.82 * height),
        (0, 0.82 * height),
    ]
    earth = cylinder(radius - 1.3 * wall, 0.1 * height, (0, 0.8 * height, 0))
    return union(painted(lathe(outer, 0.01), clay), painted(earth, soil))


def plant(rng: np.random.Generator) -> Solid:
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
        tilt = np.arctan2(high, far)
        blade = ellipsoid((0.55 * np.hypot(far, high), 0.014, rng.uniform(0.035, 0.06)))
        turn = rotation_y(-angle) @ _bank(tilt)
        leaves.append(
            painted(
                moved(
                    blade,
                    (
                        0.55 * far * np.cos(angle),
                        0.85 * height + 0.5 * high,
                        0.55 * far * np.sin(angle),
                    ),
                    turn,
                ),
                pick(rng, (tuple(leaf),), 6),
            )
        )
    return union(_pot(rng, radius, height), *leaves)


def cactus(rng: np.random.Generator) -> Solid:
    """A potted cactus with ribs, arms and sometimes a flower."""
    radius = rng.uniform(0.07, 0.1)
    height = rng.uniform(0.35, 0.6)
    ribs = int(rng.integers(8, 13))
    green = pick(rng, LEAF)
    base = 0.15

    def paint(p: np.ndarray) -> np.ndarray:
        return green * (0.95 + 0.16 * np.cos(ribs * np.arctan2(p[:, 2], p[:, 0])))[:, None]

    parts = [capsule((0, base, 0), (0, height, 0), radius, 0.8 * radius)]
    for side in (1, -1):
        if rng.random() < 0.7:
            y = base + rng.uniform(0.25, 0.6) * (height - base)
            x = side * rng.uniform(1.9, 2.6) * radius
            top = rng.uniform(0.1, 0.25)
            parts += [
                capsule((0, y, 0), (x, y + 0.03, 0), 0.5 * radius),
                capsule((x, y + 0.03, 0), (x, y + top, 0), 0.5 * radius, 0.42 * radius),
            ]
    body = painted(smooth_union(0.04, *parts), paint)
    flower = painted(
        ellipsoid((0.5 * radius, 0.3 * radius, 0.5 * radius), (0, height + 0.8 * radius, 0)),
        pick(rng, PLASTIC),
    )
    return union(_pot(rng, 1.7 * radius, 0.18), body, *((flower,) if rng.random() < 0.5 else ()))


def mushroom(rng: np.random.Generator) -> Solid:
    """A toadstool with a spotted cap."""
    height = rng.uniform(0.35, 0.6)
    radius = rng.uniform(0.2, 0.34)
    cap = cut(
        ellipsoid((radius, 0.7 * radius, radius), (0, height, 0)),
        box((2, 1, 2), (0, height - 0.56, 0)),
    )
    color = pick(rng, PLASTIC + FUR)
    dots = []
    for _ in range(int(rng.integers(4, 9))):
        angle = rng.uniform(0, 2 * np.pi)
        up = rng.uniform(0.35, 1.4)
        at = (
            radius * np.cos(up) * np.cos(angle),
            height + 0.7 * radius * np.sin(up),
            radius * np.cos(up) * np.sin(angle),
        )
        dots.append(ellipsoid((rng.uniform(0.12, 0.2) * radius,) * 3, at))
    stem = smooth_union(
        0.05,
        capsule((0, 0.06, 0), (0, height, 0), 0.1, 0.065),
        ellipsoid((0.13, 0.07, 0.13), (0, 0.06, 0)),
    )
    return union(
        painted(stem, (232, 222, 200)), painted(cap, color), painted(union(*dots), (244, 240, 228))
    )
