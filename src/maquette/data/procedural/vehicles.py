"""Vehicles and free-form things: cars, trucks, buses, boats, and random unions of primitives. They
drive along +X.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

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
    Paint,
    PaintedSolid,
    Y,
    Z,
    box,
    capsule,
    cylinder,
    ellipsoid,
    painted,
    prism,
    smooth_union,
    subtracted,
    torus,
    transformed,
    union,
    with_mirror_image,
)
from maquette.geometry.transforms import any_angle, rotation_x, rotation_y

ACROSS = rotation_x(np.pi / 2)  # a column becomes an axle
LENGTHWAYS = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # a column lies down


def _wheels(
    rng: Generator,
    stations: tuple[float, ...],
    radius: float,
    track: float,
    width: float,
) -> tuple[PaintedSolid, PaintedSolid]:
    """Painted pairs of wheels at x = ``stations``, and what to cut out of the body for them."""
    rim_paint = pick(rng, METAL)
    tyre_paint = pick(rng, DARK)
    tyre = painted(cylinder(radius, width, rounding=0.18 * width), paint=tyre_paint)
    rim = painted(cylinder(0.58 * radius, 1.12 * width, rounding=0.03), paint=rim_paint)
    arch = cylinder(1.18 * radius, 2 * track)
    side = track / 2 - width / 2
    wheels = []
    arches = []
    for x in stations:
        for disc in (tyre, rim):
            wheel = transformed(
                disc,
                x=x,
                y=radius,
                z=side,
                rotation=ACROSS,
            )
            wheels.append(with_mirror_image(wheel, Z))
        arches.append(
            transformed(
                arch,
                x=x,
                y=radius,
                rotation=ACROSS,
            )
        )
    return union(*wheels), union(*arches)


def _lights(
    front: float,
    rear: float,
    y: float,
    z: float,
) -> tuple[PaintedSolid, PaintedSolid]:
    """Headlights and tail lights at x = ``front`` and ``rear``."""
    head = with_mirror_image(
        ellipsoid(
            0.06,
            0.09,
            0.13,
            x=front,
            y=y,
            z=z,
        ),
        Z,
    )
    tail = with_mirror_image(
        box(
            0.08,
            0.12,
            0.22,
            x=rear,
            y=y,
            z=z,
            rounding=0.03,
        ),
        Z,
    )
    return painted(head, paint=(250, 244, 214)), painted(tail, paint=(196, 40, 38))


def car(rng: Generator) -> PaintedSolid:
    """A car: hatchback, saloon or van by its outline; glazed cabin, wheels in arches, lights,
    bumpers.
    """
    length = rng.uniform(3.3, 4.8)
    width = rng.uniform(1.6, 1.9)
    low = rng.uniform(0.2, 0.32)
    waist = rng.uniform(0.8, 0.95)
    roof = rng.uniform(1.35, 1.75)
    radius = rng.uniform(0.3, 0.38)
    nose = length / 2
    colour = pick(rng, PLASTIC + METAL)
    bonnet = nose - rng.uniform(0.7, 1.2)
    tail = -nose + rng.choice([0.08, rng.uniform(0.5, 0.9)])
    front = [(nose, low), (nose, waist - 0.18), (bonnet, waist)]
    body = prism([(-nose, low), *front, (-nose, waist)], width, 0.1)
    glass, roof_and_pillars = _cabin(width, waist, roof, bonnet, tail)
    wheels, arches = _wheels(rng, (nose - 0.75, -nose + 0.7), radius, width + 0.04, 0.24)
    bumper = box(
        0.2,
        0.16,
        width - 0.05,
        x=nose + 0.04,
        y=low + 0.12,
        rounding=0.07,
    )
    body = painted(subtracted(body, arches), paint=colour)
    glass = painted(glass, paint=pick(rng, GLASS))
    paint = colour if rng.random() < 0.7 else pick(rng, PLASTIC)
    roof_and_pillars = painted(roof_and_pillars, paint=paint)
    paint = pick(rng, DARK) if rng.random() < 0.6 else shaded(colour, 0.7)
    bumpers = painted(with_mirror_image(bumper), paint=paint)
    lights = _lights(nose + 0.08, -nose - 0.09, y=waist - 0.25, z=width / 2 - 0.3)
    return union(body, glass, roof_and_pillars, wheels, bumpers, *lights)


def _cabin(
    width: float,
    waist: float,
    roof: float,
    bonnet: float,
    tail: float,
) -> tuple[PaintedSolid, PaintedSolid]:
    """The glass of a car from x = ``tail`` to ``bonnet``; its roof with two pairs of pillars."""
    rise = roof - waist
    sill = [(tail, waist - 0.05), (bonnet + 0.05, waist - 0.05)]
    y = roof - 0.08
    lintel = [(bonnet - 0.85 * rise, y), (tail + 0.45 * rise, y)]
    glass = prism(sill + lintel, width - 0.16, 0.09)
    rear = tail + 0.4 * rise
    front = bonnet - 0.8 * rise
    middle = (rear + front) / 2
    top = box(
        front - rear + 0.1,
        0.1,
        width - 0.14,
        x=middle,
        y=roof,
        rounding=0.05,
    )
    pillar = (0.09, rise, width - 0.1)
    y = (waist + roof) / 2
    pillars = [
        box(
            *pillar,
            x=x,
            y=y,
            rounding=0.03,
        )
        for x in (middle, rear + 0.1)
    ]
    return glass, union(top, *pillars)


def truck(rng: Generator) -> PaintedSolid:
    """A truck: cab, bed with a box, a tank, a tipper or logs on it."""
    length = rng.uniform(4.8, 6.5)
    width = rng.uniform(1.9, 2.2)
    radius = rng.uniform(0.42, 0.5)
    nose = length / 2
    deck = 2.1 * radius
    cab_length = rng.uniform(1.4, 1.8)
    roof = rng.uniform(2.1, 2.5)
    colour = pick(rng, PLASTIC)
    load_paint = pick(rng, PLASTIC + METAL)
    cab_rear = nose - cab_length
    cab, screen = _cab(cab_rear, nose, roof, width)
    frame = box(length, 0.25, 0.5 * width, y=deck - 0.2, rounding=0.03)
    rear = -nose + 0.7
    axles = (nose - 0.75, rear, rear + 2.25 * radius)
    wheels, arches = _wheels(rng, axles, radius, width, 0.36)
    style = int(rng.integers(4))
    cargo = length - cab_length - 0.15
    load = _load(style, cargo, width, x=-nose + cargo / 2, deck=deck)
    cab = painted(subtracted(cab, arches), paint=colour)
    screen = painted(screen, paint=pick(rng, GLASS))
    frame = painted(frame, paint=pick(rng, DARK))
    parts = [cab, screen, frame, painted(load, paint=load_paint), wheels]
    if style == 3:
        logs = _logs(-nose + 0.4, cab_rear - 0.5, deck + 0.4)
        parts.append(painted(*logs, paint=pick(rng, WOOD)))
    lights = _lights(nose + 0.06, -nose - 0.02, y=0.95, z=width / 2 - 0.35)
    return union(*parts, *lights)


def _cab(
    rear: float,
    front: float,
    roof: float,
    width: float,
) -> tuple[PaintedSolid, PaintedSolid]:
    """The cab of a truck and its windscreen."""
    front_edges = [(front, 0.5), (front, 1.25), (front - 0.3, roof - 0.1)]
    cab = prism([(rear, 0.5), *front_edges, (rear, roof - 0.1)], width - 0.1, 0.09)
    sill = [(front - 0.62, 1.35), (front + 0.02, 1.35)]
    lintel = [(front - 0.24, roof - 0.25), (front - 0.62, roof - 0.25)]
    return cab, prism(sill + lintel, width - 0.05, 0.06)


def _load(
    style: int,
    length: float,
    width: float,
    *,
    x: float,
    deck: float,
) -> PaintedSolid:
    """A closed box, a tank, or an open tipper on the deck of a truck."""
    if style == 0:
        return box(
            length,
            1.7,
            width,
            x=x,
            y=deck + 0.9,
            rounding=0.05,
        )
    if style == 1:
        tank = cylinder(0.48 * width, length, rounding=0.2)
        return transformed(
            tank,
            x=x,
            y=deck + 0.52 * width,
            rotation=LENGTHWAYS,
        )
    tipper = box(
        length,
        0.8,
        width,
        x=x,
        y=deck + 0.4,
        rounding=0.03,
    )
    return subtracted(tipper, box(length - 0.25, 0.9, width - 0.25, x=x, y=deck + 0.62))


def _logs(rear: float, front: float, floor: float) -> list[PaintedSolid]:
    """Three logs, and two on top of them."""
    places = ((0, -0.55), (0, 0), (0, 0.55), (1.4, -0.28), (1.4, 0.28))
    logs = []
    for level, z in places:
        y = floor + 0.33 * level
        logs.append(capsule((rear, y, z), (front, y, z), 0.27))
    return logs


def bus(rng: Generator) -> PaintedSolid:
    """A bus with a row of windows, two-coloured sides, sometimes two decks."""
    length = rng.uniform(5.5, 8.0)
    width = 2.2
    decks = 2 if rng.random() < 0.3 else 1
    nose = length / 2
    height = 1.3 + 1.25 * decks - 0.4
    colour = pick(rng, PLASTIC)
    body = box(length, height, width, y=0.4 + height / 2, rounding=rng.uniform(0.12, 0.3))
    lower = shaded(colour, 0.65) if rng.random() < 0.5 else pick(rng, PLASTIC + CERAMIC)
    split = rng.uniform(0.9, 1.2)
    wheels, arches = _wheels(rng, (nose - 1.1, -nose + 1.3), 0.45, width + 0.04, 0.3)
    count = int(length / 1.1)
    places = [(i + 0.5) * length / count - nose for i in range(count)]
    pane = (0.72 * length / count, 0.72, width + 0.07)
    panes = []
    for deck in range(decks):
        y = 1.85 + 1.2 * deck
        panes += [
            box(
                *pane,
                x=x,
                y=y,
                rounding=0.02,
            )
            for x in places
        ]
        panes.append(box(length + 0.07, 0.8, 0.8 * width, y=y, rounding=0.02))

    def paint(p: np.ndarray) -> np.ndarray:
        return np.where((p[:, Y] < split)[:, None], lower, colour)

    body = painted(subtracted(body, arches), paint=paint)
    windows = painted(*panes, paint=pick(rng, GLASS))
    lights = _lights(nose + 0.02, -nose - 0.01, y=0.85, z=width / 2 - 0.4)
    return union(body, windows, wheels, *lights)


def boat(rng: Generator) -> PaintedSolid:
    """A boat: hollow hull, deck house or mast with a sail."""
    length = rng.uniform(2.6, 4.0)
    width = rng.uniform(1.0, 1.4)
    height = rng.uniform(0.6, 0.85)
    bow = length / 2
    paint = pick(rng, PLASTIC + WOOD)
    hull, trim = _hull(bow, height, width)
    hull = painted(hull, paint=paint)
    trim = painted(trim, paint=pick(rng, WOOD + CERAMIC))
    if rng.random() < 0.5:
        mast_height = 2.2 * height + 1.0
        clew = (rng.uniform(0.9, 1.2), height + 0.45)
        sail = prism([(0.06, height + 0.35), clew, (0.06, mast_height)], 0.07, 0.03)
        mast = capsule((0, 0.3 * height, 0), (0, mast_height + 0.1, 0), 0.055)
        mast = painted(mast, paint=pick(rng, WOOD))
        return union(hull, trim, mast, painted(sail, paint=pick(rng, FABRIC + PLASTIC)))
    x = -0.2 * bow
    house = box(
        0.7 * bow,
        0.6,
        0.55 * width,
        x=x,
        y=height + 0.2,
        rounding=0.05,
    )
    panes = box(
        0.5 * bow,
        0.22,
        0.58 * width,
        x=x,
        y=height + 0.28,
        rounding=0.02,
    )
    roof = box(
        0.85 * bow,
        0.07,
        0.68 * width,
        x=x,
        y=height + 0.52,
        rounding=0.03,
    )
    house = painted(house, paint=(232, 230, 222))
    panes = painted(panes, paint=pick(rng, GLASS))
    return union(hull, trim, house, panes, painted(roof, paint=pick(rng, PLASTIC)))


def _hull(bow: float, height: float, width: float) -> tuple[PaintedSolid, PaintedSolid]:
    """A hollow hull from x = -``bow`` to ``bow``, and the plank along its upper edge."""
    above = box(4 * bow, height, 2 * width, y=1.5 * height)
    hull = subtracted(ellipsoid(bow, height, width / 2, y=height), above)
    stem = (0.75 * bow, 0.35 * height, 0)
    keel = capsule((-0.6 * bow, 0.2 * height, 0), stem, 0.12)
    floor = box(2 * bow, 0.4, width, y=0.1 * height)
    hold = subtracted(ellipsoid(0.86 * bow, 0.75 * height, 0.38 * width, y=height), floor)
    shell = ellipsoid(1.04 * bow, 1.02 * height, 0.54 * width, y=height)
    band = [box(3 * bow, height, 9, y=share * height) for share in (1.52, 0.4)]
    trim = subtracted(shell, union(*band))
    return subtracted(smooth_union(0.15, hull, keel), hold), subtracted(trim, hold)


def _primitive(rng: Generator) -> PaintedSolid:
    """One solid of the simplest kinds, some 0.3 to 0.6 across."""
    a, b, c = rng.uniform(0.14, 0.32, 3)
    kind = rng.integers(6)
    if kind == 0:
        return box(2 * a, 2 * b, 2 * c, rounding=rng.uniform(0, 0.08))
    if kind == 1:
        return ellipsoid(a, b, c)
    if kind == 2:
        return cylinder(a, 2.5 * b, top=rng.choice([a, 0.4 * a, 0.03]), rounding=0.01)
    if kind == 3:
        return torus(a + 0.08, 0.35 * b)
    if kind == 4:
        return capsule((0, -a, 0), (0, b, 0), 0.5 * c, 0.35 * a)
    count = int(rng.integers(3, 8))
    angle = np.arange(count) * 2 * np.pi / count
    reach = a * np.where(np.arange(count) % 2, rng.uniform(0.6, 1.0), 1.0)
    star = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    return prism(star, 1.6 * b, 0.02)


def _scattered(rng: Generator) -> list[PaintedSolid]:
    """Two to six painted primitives at random places, some turned about the vertical only."""
    shapes = []
    for _ in range(int(rng.integers(2, 7))):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn = turn * np.sign(np.linalg.det(turn))
        if rng.random() >= 0.5:
            turn = rotation_y(any_angle(rng))
        colour = pick(rng, PLASTIC + CERAMIC + FABRIC)
        paint: Paint | np.ndarray = colour
        shape = _primitive(rng)
        style = rng.integers(4)
        if style == 0:
            other = pick(rng, PLASTIC)
            paint = striped(colour, other, int(rng.integers(3)), rng.uniform(0.1, 0.25))
        elif style == 1:
            paint = spotted(rng, colour, pick(rng, CERAMIC), 0.7)
        x, y, z = rng.uniform(-0.26, 0.26, 3)
        shapes.append(
            transformed(
                painted(shape, paint=paint),
                x=x,
                y=y,
                z=z,
                rotation=turn,
            )
        )
    return shapes


def blocks(rng: Generator) -> PaintedSolid:
    """A hard union of random primitives, sometimes with one more taken away."""
    shapes = _scattered(rng)
    body = union(*shapes)
    if rng.random() >= 0.3 or len(shapes) <= 2:
        return body
    tool = _primitive(rng)
    x, y, z = rng.uniform(-0.3, 0.3, 3)
    return subtracted(
        body,
        transformed(
            tool,
            x=x,
            y=y,
            z=z,
            scale=0.8,
        ),
    )


def blob(rng: Generator) -> PaintedSolid:
    """A smooth union of random primitives."""
    return smooth_union(rng.uniform(0.08, 0.2), *_scattered(rng))
