"""Furniture: chairs, stools, tables, shelves, cabinets, sofas, beds, benches. Lengths in metres,
floor at y = 0.
"""

from __future__ import annotations

import numpy as np

from maquette.data.procedural.paints import (
    FABRIC,
    METAL,
    PLASTIC,
    WOOD,
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
    cylinder,
    mirrored,
    moved,
    painted,
    torus,
    union,
)
from maquette.geometry.transforms import rotation_x


def _frame_paint(rng: np.random.Generator) -> Paint | np.ndarray:
    material = rng.integers(4)
    return (
        pick(rng, METAL)
        if material == 0
        else pick(rng, PLASTIC)
        if material == 1
        else grained(rng, pick(rng, WOOD), 0, 1.0)
    )


def _legs(
    rng: np.random.Generator, width: float, depth: float, height: float, thickness: float
) -> Solid:
    """Four legs under a rectangle, square or round, straight or splayed."""
    x = width / 2 - thickness
    z = depth / 2 - thickness
    t = thickness
    if rng.random() < 0.5:
        leg = box((t, height, t), (x, height / 2, z), 0.15 * t)
    else:
        splay = rng.uniform(0, 0.08)
        leg = capsule((x, height, z), (x + splay, t * 0.4, z + splay), 0.6 * t, 0.4 * t)
    return mirrored(mirrored(leg, 0), 2)


def chair(rng: np.random.Generator) -> Solid:
    """A dining chair: seat, four legs, and a slatted, solid or barred back."""
    width = rng.uniform(0.4, 0.52)
    depth = rng.uniform(0.38, 0.5)
    seat = rng.uniform(0.42, 0.5)
    height = rng.uniform(0.78, 1.05)
    t = rng.uniform(0.028, 0.05)
    paint = _frame_paint(rng)
    cushion = pick(rng, FABRIC) if rng.random() < 0.5 else paint
    lean = rotation_x(-rng.uniform(0.02, 0.2))
    rise = height - seat
    posts = mirrored(box((t, rise, t), (width / 2 - t, rise / 2, 0), 0.2 * t), 0)
    style = rng.integers(3)
    if style == 0:
        filling = box((width - 2 * t, 0.6 * rise, 0.7 * t), (0, 0.62 * rise, 0), 0.3 * t)
    elif style == 1:
        filling = union(
            *(
                box((width - 2 * t, 0.14 * rise, 0.6 * t), (0, rise * y, 0), 0.2 * t)
                for y in (0.38, 0.65, 0.92)
            )
        )
    else:
        bars = [
            box((0.55 * t, rise, 0.55 * t), (x, rise / 2, 0), 0.1 * t)
            for x in np.linspace(-0.32, 0.32, 4) * width
        ]
        filling = union(box((width - t, 0.12 * rise, t), (0, 0.94 * rise, 0), 0.3 * t), *bars)
    back = moved(
        union(painted(posts, paint), painted(filling, cushion if style == 0 else paint)),
        (0, seat, -depth / 2 + t),
        lean,
    )
    top = painted(box((width, rng.uniform(0.035, 0.08), depth), (0, seat, 0), 0.02), cushion)
    parts = [painted(_legs(rng, width, depth, seat, t), paint), top, back]
    if rng.random() < 0.3:
        arm = union(
            box((t, t, depth), (width / 2, seat + 0.22, 0), 0.3 * t),
            box((t, 0.22, t), (width / 2, seat + 0.11, depth / 2 - t), 0.2 * t),
        )
        parts.append(painted(mirrored(arm), paint))
    return union(*parts)


def stool(rng: np.random.Generator) -> Solid:
    """A round stool on splayed legs with a ring, or on one column."""
    height = rng.uniform(0.4, 0.78)
    radius = rng.uniform(0.15, 0.22)
    paint = _frame_paint(rng)
    seat = painted(
        cylinder(radius, rng.uniform(0.04, 0.09), (0, height, 0), rounding=0.018),
        pick(rng, FABRIC) if rng.random() < 0.5 else paint,
    )
    if rng.random() < 0.3:
        column = union(
            cylinder(0.03, height, (0, height / 2, 0)),
            cylinder(radius, 0.03, (0, 0.015, 0), top=0.8 * radius, rounding=0.008),
        )
        return union(seat, painted(column, paint))
    count = int(rng.integers(3, 5))
    foot = radius * rng.uniform(0.95, 1.3)
    angles = np.arange(count) * 2 * np.pi / count
    legs = [
        capsule(
            (0.7 * radius * c, height, 0.7 * radius * s), (foot * c, 0.02, foot * s), 0.024, 0.017
        )
        for c, s in zip(np.cos(angles), np.sin(angles))
    ]
    ring = torus(0.45 * foot + 0.45 * radius, 0.011, (0, 0.35 * height, 0))
    return union(seat, painted(union(*legs, ring), paint))


def table(rng: np.random.Generator) -> Solid:
    """A table: rectangular on four legs, or round on a column; sometimes with an apron or a shelf."""
    height = rng.choice([rng.uniform(0.68, 0.78), rng.uniform(0.35, 0.5)])
    paint = _frame_paint(rng)
    top_paint = paint if rng.random() < 0.6 else grained(rng, pick(rng, WOOD), 0, 1.0)
    thickness = rng.uniform(0.03, 0.06)
    if rng.random() < 0.3:
        radius = rng.uniform(0.35, 0.6)
        top = cylinder(radius, thickness, (0, height, 0), rounding=0.012)
        foot = union(
            cylinder(0.05, height, (0, height / 2, 0), top=0.035),
            cylinder(0.6 * radius, 0.05, (0, 0.025, 0), top=0.35 * radius, rounding=0.01),
        )
        return union(painted(top, top_paint), painted(foot, paint))
    width = rng.uniform(0.7, 1.6)
    depth = rng.uniform(0.5, 0.85)
    t = rng.uniform(0.045, 0.08)
    parts = [
        painted(
            box((width, thickness, depth), (0, height, 0), rng.uniform(0.004, 0.015)), top_paint
        )
    ]
    parts.append(painted(_legs(rng, width, depth, height, t), paint))
    if rng.random() < 0.5:
        parts.append(
            painted(box((width - 2 * t, 0.09, depth - 2 * t), (0, height - 0.05, 0)), paint)
        )
    if rng.random() < 0.3:
        parts.append(painted(box((width - t, 0.03, depth - t), (0, 0.3 * height, 0)), paint))
    return union(*parts)


def shelf(rng: np.random.Generator) -> Solid:
    """An open shelf with boards and uprights, often with rows of books."""
    width = rng.uniform(0.5, 1.1)
    depth = rng.uniform(0.24, 0.4)
    height = rng.uniform(0.8, 1.9)
    t = rng.uniform(0.03, 0.045)
    paint = grained(rng, pick(rng, WOOD), 1, 1.5)
    rows = int(rng.integers(3, 6))
    levels = np.linspace(t / 2, height - t / 2, rows)
    frame = [mirrored(box((t, height, depth), (width / 2, height / 2, 0)))]
    frame += [box((width, t, depth), (0, y, 0)) for y in levels]
    if rng.random() < 0.6:
        frame.append(box((width, height, 0.6 * t), (0, height / 2, -depth / 2 + 0.3 * t)))
    parts = [painted(union(*frame), paint)]
    for low, high in zip(levels[:-1], levels[1:]):
        x = -width / 2 + 0.06
        stop = -width / 2 + rng.uniform(0.0, 0.95) * width
        while x < stop:
            size = (
                rng.uniform(0.05, 0.09),
                (high - low) * rng.uniform(0.5, 0.8),
                depth * rng.uniform(0.6, 0.85),
            )
            parts.append(
                painted(
                    box(size, (x + size[0] / 2, low + t / 2 + size[1] / 2, 0), 0.004),
                    pick(rng, FABRIC + PLASTIC),
                )
            )
            x += size[0]
    return union(*parts)


def cabinet(rng: np.random.Generator) -> Solid:
    """A cabinet or chest of drawers on short legs, fronts with handles."""
    width = rng.uniform(0.4, 1.3)
    depth = rng.uniform(0.35, 0.55)
    height = rng.uniform(0.45, 1.5)
    columns = max(1, round(width / 0.5))
    rows = max(1, round(height / rng.uniform(0.25, 0.6)))
    paint = grained(rng, pick(rng, WOOD), 0, 1.2)
    front = paint if rng.random() < 0.4 else pick(rng, PLASTIC + FABRIC)
    metal = pick(rng, METAL)
    lift = rng.uniform(0.03, 0.15)
    front_z = depth / 2
    parts = [painted(box((width, height, depth), (0, lift + height / 2, 0), 0.01), paint)]
    parts.append(painted(_legs(rng, width, depth, lift + 0.03, 0.05), metal))
    w = width / columns
    h = height / rows
    for i in range(columns):
        for j in range(rows):
            x = -width / 2 + (i + 0.5) * w
            y = lift + (j + 0.5) * h
            parts.append(painted(box((w - 0.035, h - 0.035, 0.04), (x, y, front_z), 0.008), front))
            parts.append(
                painted(
                    capsule(
                        (x - 0.2 * w, y + 0.2 * h, front_z + 0.04),
                        (x + 0.2 * w, y + 0.2 * h, front_z + 0.04),
                        0.013,
                    ),
                    metal,
                )
            )
    return union(*parts)


def sofa(rng: np.random.Generator) -> Solid:
    """An armchair or sofa: base, back, arms, seat cushions, feet."""
    seats = int(rng.integers(1, 4))
    color = pick(rng, FABRIC)
    width = 0.35 + 0.6 * seats
    depth = rng.uniform(0.75, 0.95)
    seat = rng.uniform(0.36, 0.44)
    back = rng.uniform(0.7, 0.95)
    soft = rng.uniform(0.03, 0.08)
    arm = rng.uniform(0.12, 0.2)
    body = union(
        box((width, seat - 0.18, depth), (0, (seat - 0.18) / 2 + 0.08, 0), 0.03),
        box((width, back - 0.1, 0.2), (0, 0.08 + (back - 0.1) / 2, -depth / 2 + 0.1), soft),
        mirrored(
            box((arm, seat + 0.1, depth), (width / 2 - arm / 2, 0.08 + (seat + 0.1) / 2, 0), soft)
        ),
    )
    parts = [painted(body, color), painted(_legs(rng, width, depth, 0.12, 0.06), pick(rng, WOOD))]
    cushion = shaded(color, rng.uniform(0.85, 1.2))
    room = (width - 2 * arm) / seats
    for i in range(seats):
        x = -width / 2 + arm + (i + 0.5) * room
        parts.append(
            painted(box((room - 0.01, 0.16, depth - 0.22), (x, seat - 0.04, 0.1), 0.05), cushion)
        )
        parts.append(
            painted(
                moved(
                    box((room - 0.03, 0.4, 0.15), (0, 0.2, 0), 0.06),
                    (x, seat + 0.03, -depth / 2 + 0.27),
                    rotation_x(-0.15),
                ),
                cushion,
            )
        )
    if rng.random() < 0.5:
        pillow = painted(box((0.36, 0.36, 0.14), (0, 0, 0), 0.07), pick(rng, PLASTIC))
        parts.append(
            moved(
                pillow, (width / 2 - arm - 0.2, seat + 0.24, -depth / 2 + 0.42), rotation_x(-0.35)
            )
        )
    return union(*parts)


def bed(rng: np.random.Generator) -> Solid:
    """A bed: frame, mattress, blanket, pillows, headboard."""
    width = rng.choice([rng.uniform(0.9, 1.1), rng.uniform(1.4, 1.8)])
    length = rng.uniform(1.9, 2.1)
    lift = rng.uniform(0.2, 0.35)
    wood = grained(rng, pick(rng, WOOD), 0, 2.0)
    cover = pick(rng, FABRIC + PLASTIC)
    blanket = (
        striped(cover, shaded(cover, 0.75), 2, rng.uniform(0.2, 0.5))
        if rng.random() < 0.4
        else cover
    )
    head = rng.uniform(0.8, 1.2)
    frame = union(
        box((width, 0.14, length), (0, lift, 0), 0.02),
        box((width, head - 0.05, 0.07), (0, head / 2, -length / 2), 0.025),
    )
    parts = [painted(frame, wood), painted(_legs(rng, width, length, lift, 0.08), wood)]
    parts.append(
        painted(
            box((width - 0.06, 0.22, length - 0.08), (0, lift + 0.16, 0.01), 0.06), (232, 230, 224)
        )
    )
    parts.append(
        painted(
            box((width + 0.02, 0.26, 0.68 * length), (0, lift + 0.165, 0.155 * length), 0.07),
            blanket,
        )
    )
    for x in (0.0,) if width < 1.3 else (-0.25 * width, 0.25 * width):
        pillow = box((0.55, 0.16, 0.36), (x, lift + 0.33, -length / 2 + 0.32), 0.075)
        parts.append(painted(pillow, (240, 238, 230)))
    return union(*parts)


def bench(rng: np.random.Generator) -> Solid:
    """A slatted park bench."""
    width = rng.uniform(1.1, 1.7)
    depth = rng.uniform(0.4, 0.5)
    seat = rng.uniform(0.42, 0.48)
    count = int(rng.integers(3, 5))
    wood = grained(rng, pick(rng, WOOD), 0, 1.5)
    metal = pick(rng, METAL)
    board = 0.8 * depth / count
    slats = [
        box((width, 0.045, board), (0, seat, (i + 0.5) * depth / count - depth / 2), 0.008)
        for i in range(count)
    ]
    if rng.random() < 0.7:
        backs = [
            box((width, board, 0.045), (0, 0.1 + (i + 0.6) * 0.16, 0), 0.008) for i in range(2)
        ]
        post = box((0.05, 0.45, 0.05), (0.38 * width, 0.2, -0.04))
        back = moved(
            union(painted(union(*backs), wood), painted(mirrored(post), metal)),
            (0, seat, -depth / 2),
            rotation_x(-0.2),
        )
    else:
        back = painted(box((width, 0.05, 0.05), (0, 0.3 * seat, 0)), metal)
    side = union(
        box((0.06, 0.05, depth), (0.38 * width, seat - 0.05, 0)),
        mirrored(box((0.06, seat, 0.06), (0.38 * width, seat / 2, depth / 2 - 0.04)), 2),
    )
    return union(painted(union(*slats), wood), painted(mirrored(side), metal), back)
