"""Vehicles and free-form things: cars, trucks, buses, boats, and random unions of primitives. They
drive along +X.
"""

from __future__ import annotations

import numpy as np

from maquette.data.procedural.paints import (
    CERAMIC,
    DARK,
    FABRIC,
    GLASS,
    METAL,
    PLASTIC,
    WOOD,
    pick,
    shaded,
    spotted,
    striped,
)
from maquette.data.procedural.shapes import (
    Solid,
    box,
    capsule,
    cut,
    cylinder,
    ellipsoid,
    mirrored,
    moved,
    painted,
    prism,
    smooth_union,
    torus,
    union,
)
from maquette.geometry.transforms import rotation_x, rotation_y


def _wheels(
    rng: np.random.Generator, stations: tuple[float, ...], radius: float, track: float, width: float
) -> tuple[Solid, Solid]:
    """Painted pairs of wheels at x = ``stations``, and the solid to cut out of the body for them."""
    turn = rotation_x(np.pi / 2)
    rim = pick(rng, METAL)
    tyre = pick(rng, DARK)
    room = []
    parts = []
    for x in stations:
        z = track / 2 - width / 2
        parts.append(
            painted(
                mirrored(
                    moved(cylinder(radius, width, rounding=0.18 * width), (x, radius, z), turn), 2
                ),
                tyre,
            )
        )
        parts.append(
            painted(
                mirrored(
                    moved(
                        cylinder(0.58 * radius, 1.12 * width, rounding=0.03), (x, radius, z), turn
                    ),
                    2,
                ),
                rim,
            )
        )
        room.append(moved(cylinder(1.18 * radius, 2 * track, (0, 0, 0)), (x, radius, 0), turn))
    return union(*parts), union(*room)


def _lights(front: float, rear: float, y: float, z: float) -> tuple[Solid, Solid]:
    return (
        painted(mirrored(ellipsoid((0.06, 0.09, 0.13), (front, y, z)), 2), (250, 244, 214)),
        painted(mirrored(box((0.08, 0.12, 0.22), (rear, y, z), 0.03), 2), (196, 40, 38)),
    )


def car(rng: np.random.Generator) -> Solid:
    """A car: hatchback, saloon or van by its outline; glazed cabin, wheels in arches, lights,
    bumpers.
    """
    length = rng.uniform(3.3, 4.8)
    width = rng.uniform(1.6, 1.9)
    low = rng.uniform(0.2, 0.32)
    waist = rng.uniform(0.8, 0.95)
    roof = rng.uniform(1.35, 1.75)
    radius = rng.uniform(0.3, 0.38)
    h = length / 2
    color = pick(rng, PLASTIC + METAL)
    bonnet = h - rng.uniform(0.7, 1.2)
    tail = -h + rng.choice([0.08, rng.uniform(0.5, 0.9)])
    body = prism([(-h, low), (h, low), (h, waist - 0.18), (bonnet, waist), (-h, waist)], width, 0.1)
    slope = roof - waist
    outline = [
        (tail, waist - 0.05),
        (bonnet + 0.05, waist - 0.05),
        (bonnet - 0.85 * slope, roof - 0.08),
        (tail + 0.45 * slope, roof - 0.08),
    ]
    glass = prism(outline, width - 0.16, 0.09)
    x0 = tail + 0.4 * slope
    x1 = bonnet - 0.8 * slope
    top = box((x1 - x0 + 0.1, 0.1, width - 0.14), ((x0 + x1) / 2, roof, 0), 0.05)
    pillars = [
        box((0.09, slope, width - 0.1), (x, (waist + roof) / 2, 0), 0.03)
        for x in ((x0 + x1) / 2, x0 + 0.1)
    ]
    wheels, room = _wheels(rng, (h - 0.75, -h + 0.7), radius, width + 0.04, 0.24)
    bumpers = union(
        *(
            box((0.2, 0.16, width - 0.05), (side * (h + 0.04), low + 0.12, 0), 0.07)
            for side in (1, -1)
        )
    )
    parts = [
        painted(cut(body, room), color),
        painted(glass, pick(rng, GLASS)),
        painted(union(top, *pillars), color if rng.random() < 0.7 else pick(rng, PLASTIC)),
    ]
    parts += [
        wheels,
        painted(bumpers, pick(rng, DARK) if rng.random() < 0.6 else shaded(color, 0.7)),
    ]
    return union(*parts, *_lights(h + 0.08, -h - 0.09, waist - 0.25, width / 2 - 0.3))


def truck(rng: np.random.Generator) -> Solid:
    """A truck: cab, bed with a box, a tank, a tipper or nothing on it."""
    length = rng.uniform(4.8, 6.5)
    width = rng.uniform(1.9, 2.2)
    radius = rng.uniform(0.42, 0.5)
    h = length / 2
    deck = 2.1 * radius
    cab = rng.uniform(1.4, 1.8)
    roof = rng.uniform(2.1, 2.5)
    color = pick(rng, PLASTIC)
    load = pick(rng, PLASTIC + METAL)
    cargo = length - cab - 0.15
    middle = -h + cargo / 2
    cabin = prism(
        [(h - cab, 0.5), (h, 0.5), (h, 1.25), (h - 0.3, roof - 0.1), (h - cab, roof - 0.1)],
        width - 0.1,
        0.09,
    )
    screen = prism(
        [(h - 0.62, 1.35), (h + 0.02, 1.35), (h - 0.24, roof - 0.25), (h - 0.62, roof - 0.25)],
        width - 0.05,
        0.06,
    )
    frame = box((length, 0.25, 0.5 * width), (0, deck - 0.2, 0), 0.03)
    wheels, room = _wheels(rng, (h - 0.75, -h + 0.7, -h + 0.7 + 2.25 * radius), radius, width, 0.36)
    style = rng.integers(4)
    if style == 0:
        body = box((cargo, 1.7, width), (middle, deck + 0.9, 0), 0.05)
    elif style == 1:
        body = moved(
            cylinder(0.48 * width, cargo, rounding=0.2),
            (middle, deck + 0.52 * width, 0),
            np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        )
    else:
        body = cut(
            box((cargo, 0.8, width), (middle, deck + 0.4, 0), 0.03),
            box((cargo - 0.25, 0.9, width - 0.25), (middle, deck + 0.62, 0)),
        )
    parts = [
        painted(cut(cabin, room), color),
        painted(screen, pick(rng, GLASS)),
        painted(frame, pick(rng, DARK)),
        painted(body, load),
        wheels,
    ]
    if style == 3:
        logs = [
            capsule(
                (-h + 0.4, deck + 0.4 + 0.33 * r, z),
                (h - cab - 0.5, deck + 0.4 + 0.33 * r, z),
                0.27,
            )
            for r, z in ((0, -0.55), (0, 0), (0, 0.55), (1.4, -0.28), (1.4, 0.28))
        ]
        parts.append(painted(union(*logs), pick(rng, WOOD)))
    return union(*parts, *_lights(h + 0.06, -h - 0.02, 0.95, width / 2 - 0.35))


def bus(rng: np.random.Generator) -> Solid:
    """A bus with a row of windows, two-coloured sides, sometimes two decks."""
    length = rng.uniform(5.5, 8.0)
    width = 2.2
    radius = 0.45
    decks = 2 if rng.random() < 0.3 else 1
    h = length / 2
    roof = 1.3 + 1.25 * decks
    color = pick(rng, PLASTIC)
    body = box((length, roof - 0.4, width), (0, 0.4 + (roof - 0.4) / 2, 0), rng.uniform(0.12, 0.3))
    second = shaded(color, 0.65) if rng.random() < 0.5 else pick(rng, PLASTIC + CERAMIC)
    split = rng.uniform(0.9, 1.2)
    wheels, room = _wheels(rng, (h - 1.1, -h + 1.3), radius, width + 0.04, 0.3)
    count = int(length / 1.1)
    glass = []
    for deck in range(decks):
        y = 1.85 + 1.2 * deck
        glass += [
            box(
                (0.72 * length / count, 0.72, width + 0.07),
                ((i + 0.5) * length / count - h, y, 0),
                0.02,
            )
            for i in range(count)
        ]
        glass.append(box((length + 0.07, 0.8, 0.8 * width), (0, y, 0), 0.02))

    def paint(p: np.ndarray) -> np.ndarray:
        return np.where((p[:, 1] < split)[:, None], second, color)

    parts = [painted(cut(body, room), paint), painted(union(*glass), pick(rng, GLASS)), wheels]
    return union(*parts, *_lights(h + 0.02, -h - 0.01, 0.85, width / 2 - 0.4))


def boat(rng: np.random.Generator) -> Solid:
    """A boat: hollow hull, deck house or mast with a sail."""
    length = rng.uniform(2.6, 4.0)
    width = rng.uniform(1.0, 1.4)
    height = rng.uniform(0.6, 0.85)
    h = length / 2
    color = pick(rng, PLASTIC + WOOD)
    hull = cut(
        ellipsoid((h, height, width / 2), (0, height, 0)),
        box((2 * length, height, 2 * width), (0, 1.5 * height, 0)),
    )
    hull = smooth_union(
        0.15, hull, capsule((-0.6 * h, 0.2 * height, 0), (0.75 * h, 0.35 * height, 0), 0.12)
    )
    hold = cut(
        ellipsoid((0.86 * h, 0.75 * height, 0.38 * width), (0, height, 0)),
        box((length, 0.4, width), (0, 0.1 * height, 0)),
    )
    trim = cut(
        ellipsoid((1.04 * h, 1.02 * height, 0.54 * width), (0, height, 0)),
        union(
            box((3 * h, height, 9), (0, 1.52 * height, 0)),
            box((3 * h, height, 9), (0, 0.4 * height, 0)),
        ),
    )
    parts = [painted(cut(hull, hold), color), painted(cut(trim, hold), pick(rng, WOOD + CERAMIC))]
    if rng.random() < 0.5:
        mast = 2.2 * height + 1.0
        side = rng.uniform(0.9, 1.2)
        sail = prism([(0.06, height + 0.35), (side, height + 0.45), (0.06, mast)], 0.07, 0.03)
        parts += [
            painted(capsule((0, 0.3 * height, 0), (0, mast + 0.1, 0), 0.055), pick(rng, WOOD)),
            painted(sail, pick(rng, FABRIC + PLASTIC)),
        ]
    else:
        cabin = box((0.7 * h, 0.6, 0.55 * width), (-0.2 * h, height + 0.2, 0), 0.05)
        panes = box((0.5 * h, 0.22, 0.58 * width), (-0.2 * h, height + 0.28, 0), 0.02)
        roof = box((0.85 * h, 0.07, 0.68 * width), (-0.2 * h, height + 0.52, 0), 0.03)
        parts += [
            painted(cabin, (232, 230, 222)),
            painted(panes, pick(rng, GLASS)),
            painted(roof, pick(rng, PLASTIC)),
        ]
    return union(*parts)


def _primitive(rng: np.random.Generator) -> Solid:
    r = rng.uniform(0.14, 0.32, 3)
    kind = rng.integers(6)
    if kind == 0:
        return box(tuple(2 * r), rounding=float(rng.uniform(0, 0.08)))
    if kind == 1:
        return ellipsoid(tuple(r))
    if kind == 2:
        return cylinder(
            r[0], 2.5 * r[1], top=float(rng.choice([r[0], 0.4 * r[0], 0.03])), rounding=0.01
        )
    if kind == 3:
        return torus(r[0] + 0.08, 0.35 * r[1])
    if kind == 4:
        return capsule((0, -r[0], 0), (0, r[1], 0), 0.5 * r[2], 0.35 * r[0])
    count = int(rng.integers(3, 8))
    angle = np.arange(count) * 2 * np.pi / count
    reach = r[0] * np.where(np.arange(count) % 2, rng.uniform(0.6, 1.0), 1.0)
    return prism([(a * np.cos(t), a * np.sin(t)) for a, t in zip(reach, angle)], 1.6 * r[1], 0.02)


def _scattered(rng: np.random.Generator) -> list[Solid]:
    shapes = []
    for _ in range(int(rng.integers(2, 7))):
        axis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn = (
            axis * np.sign(np.linalg.det(axis))
            if rng.random() < 0.5
            else rotation_y(rng.uniform(0, 2 * np.pi))
        )
        color = pick(rng, PLASTIC + CERAMIC + FABRIC)
        shape = _primitive(rng)
        style = rng.integers(4)
        if style == 0:
            shape = painted(
                shape,
                striped(color, pick(rng, PLASTIC), int(rng.integers(3)), rng.uniform(0.1, 0.25)),
            )
        elif style == 1:
            shape = painted(shape, spotted(rng, color, pick(rng, CERAMIC), 0.7))
        else:
            shape = painted(shape, color)
        shapes.append(moved(shape, tuple(rng.uniform(-0.26, 0.26, 3)), turn))
    return shapes


def blocks(rng: np.random.Generator) -> Solid:
    """A hard union of random primitives, sometimes with one more taken away."""
    shapes = _scattered(rng)
    body = union(*shapes)
    return (
        cut(body, moved(_primitive(rng), tuple(rng.uniform(-0.3, 0.3, 3)), scale=0.8))
        if rng.random() < 0.3 and len(shapes) > 2
        else body
    )


def blob(rng: np.random.Generator) -> Solid:
    """A smooth union of random primitives."""
    return smooth_union(rng.uniform(0.08, 0.2), *_scattered(rng))
