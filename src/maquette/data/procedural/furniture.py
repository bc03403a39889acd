"""Furniture: chairs, stools, tables, shelves, cabinets, sofas, beds, benches. Lengths in metres,
floor at y = 0, fronts look along +Z.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.random import Generator

from maquette.data.procedural.paints import (
    FABRIC,
    METAL,
    PLASTIC,
    WOOD,
    pick,
    shaded,
    striped,
    wooden,
)
from maquette.data.procedural.shapes import (
    Paint,
    PaintedSolid,
    Point,
    X,
    Y,
    Z,
    at_corners,
    box,
    capsule,
    cylinder,
    painted,
    torus,
    transformed,
    union,
    with_mirror_image,
)
from maquette.geometry.transforms import rotation_x


def _frame_paint(rng: Generator) -> Paint | np.ndarray:
    """Metal, plastic or, as often as both together, wood."""
    material = rng.integers(4)
    if material == 0:
        return pick(rng, METAL)
    return pick(rng, PLASTIC) if material == 1 else wooden(rng, X, 1.0)


def _legs(
    rng: Generator,
    width: float,
    depth: float,
    height: float,
    thickness: float,
) -> PaintedSolid:
    """Four legs under a rectangle, square or round, straight or splayed."""
    x = width / 2 - thickness
    z = depth / 2 - thickness
    if rng.random() < 0.5:
        edge = 0.15 * thickness
        return at_corners(
            box(
                thickness,
                height,
                thickness,
                x=x,
                y=height / 2,
                z=z,
                rounding=edge,
            )
        )
    splay = rng.uniform(0, 0.08)
    foot = (x + splay, 0.4 * thickness, z + splay)
    return at_corners(capsule((x, height, z), foot, 0.6 * thickness, 0.4 * thickness))


def chair(rng: Generator) -> PaintedSolid:
    """A dining chair: seat, four legs, and a slatted, solid or barred back."""
    width = rng.uniform(0.4, 0.52)
    depth = rng.uniform(0.38, 0.5)
    seat_height = rng.uniform(0.42, 0.5)
    rise = rng.uniform(0.78, 1.05) - seat_height  # of the back above the seat
    post = rng.uniform(0.028, 0.05)  # thickness of posts and legs
    frame = _frame_paint(rng)
    cushion = pick(rng, FABRIC) if rng.random() < 0.5 else frame
    lean = rotation_x(-rng.uniform(0.02, 0.2))
    posts = with_mirror_image(
        box(
            post,
            rise,
            post,
            x=width / 2 - post,
            y=rise / 2,
            rounding=0.2 * post,
        )
    )
    style = int(rng.integers(3))
    filling = _back_filling(style, width, rise, post)
    filling = painted(filling, paint=cushion if style == 0 else frame)
    back = union(painted(posts, paint=frame), filling)
    back = transformed(
        back,
        y=seat_height,
        z=-depth / 2 + post,
        rotation=lean,
    )
    seat = box(width, rng.uniform(0.035, 0.08), depth, y=seat_height, rounding=0.02)
    seat = painted(seat, paint=cushion)
    parts = [painted(_legs(rng, width, depth, seat_height, post), paint=frame), seat, back]
    if rng.random() < 0.3:
        arm = box(
            post,
            post,
            depth,
            x=width / 2,
            y=seat_height + 0.22,
            rounding=0.3 * post,
        )
        front = depth / 2 - post
        stay = box(
            post,
            0.22,
            post,
            x=width / 2,
            y=seat_height + 0.11,
            z=front,
            rounding=0.2 * post,
        )
        parts.append(painted(with_mirror_image(union(arm, stay)), paint=frame))
    return union(*parts)


def _back_filling(
    style: int,
    width: float,
    rise: float,
    post: float,
) -> PaintedSolid:
    """Between the posts of a chair's back: a panel, three slats, or four bars and a rail."""
    inner = width - 2 * post
    if style == 0:
        return box(inner, 0.6 * rise, 0.7 * post, y=0.62 * rise, rounding=0.3 * post)
    if style == 1:
        slat = (inner, 0.14 * rise, 0.6 * post)
        return union(*(box(*slat, y=rise * y, rounding=0.2 * post) for y in (0.38, 0.65, 0.92)))
    rail = box(width - post, 0.12 * rise, post, y=0.94 * rise, rounding=0.3 * post)
    bar = (0.55 * post, rise, 0.55 * post)
    places = np.linspace(-0.32, 0.32, 4) * width
    return union(
        rail,
        *(
            box(
                *bar,
                x=x,
                y=rise / 2,
                rounding=0.1 * post,
            )
            for x in places
        ),
    )


def stool(rng: Generator) -> PaintedSolid:
    """A round stool on splayed legs with a ring, or on one column."""
    height = rng.uniform(0.4, 0.78)
    radius = rng.uniform(0.15, 0.22)
    frame = _frame_paint(rng)
    seat = cylinder(radius, rng.uniform(0.04, 0.09), y=height, rounding=0.018)
    seat = painted(seat, paint=pick(rng, FABRIC) if rng.random() < 0.5 else frame)
    if rng.random() < 0.3:
        column = cylinder(0.03, height, y=height / 2)
        foot = cylinder(
            radius,
            0.03,
            y=0.015,
            top=0.8 * radius,
            rounding=0.008,
        )
        return union(seat, painted(column, foot, paint=frame))
    count = int(rng.integers(3, 5))
    spread = radius * rng.uniform(0.95, 1.3)
    angles = np.arange(count) * 2 * np.pi / count
    legs = []
    for c, s in zip(np.cos(angles), np.sin(angles)):
        top = (0.7 * radius * c, height, 0.7 * radius * s)
        legs.append(capsule(top, (spread * c, 0.02, spread * s), 0.024, 0.017))
    ring = torus(0.45 * spread + 0.45 * radius, 0.011, y=0.35 * height)
    return union(seat, painted(*legs, ring, paint=frame))


def table(rng: Generator) -> PaintedSolid:
    """A table, rectangular on four legs or round on a column, perhaps with an apron or a shelf."""
    height = rng.choice([rng.uniform(0.68, 0.78), rng.uniform(0.35, 0.5)])
    frame = _frame_paint(rng)
    top_paint = frame if rng.random() < 0.6 else wooden(rng, X, 1.0)
    thickness = rng.uniform(0.03, 0.06)
    if rng.random() < 0.3:
        radius = rng.uniform(0.35, 0.6)
        top = cylinder(radius, thickness, y=height, rounding=0.012)
        column = cylinder(0.05, height, y=height / 2, top=0.035)
        foot = cylinder(
            0.6 * radius,
            0.05,
            y=0.025,
            top=0.35 * radius,
            rounding=0.01,
        )
        return union(painted(top, paint=top_paint), painted(column, foot, paint=frame))
    width = rng.uniform(0.7, 1.6)
    depth = rng.uniform(0.5, 0.85)
    leg = rng.uniform(0.045, 0.08)
    top = box(width, thickness, depth, y=height, rounding=rng.uniform(0.004, 0.015))
    legs = _legs(rng, width, depth, height, leg)
    parts = [painted(top, paint=top_paint), painted(legs, paint=frame)]
    if rng.random() < 0.5:
        apron = box(width - 2 * leg, 0.09, depth - 2 * leg, y=height - 0.05)
        parts.append(painted(apron, paint=frame))
    if rng.random() < 0.3:
        board = box(width - leg, 0.03, depth - leg, y=0.3 * height)
        parts.append(painted(board, paint=frame))
    return union(*parts)


def shelf(rng: Generator) -> PaintedSolid:
    """An open shelf with boards and uprights, often with rows of books."""
    width = rng.uniform(0.5, 1.1)
    depth = rng.uniform(0.24, 0.4)
    height = rng.uniform(0.8, 1.9)
    board = rng.uniform(0.03, 0.045)  # thickness
    wood = wooden(rng, Y, 1.5)
    levels = np.linspace(board / 2, height - board / 2, int(rng.integers(3, 6)))
    frame = [with_mirror_image(box(board, height, depth, x=width / 2, y=height / 2))]
    frame += [box(width, board, depth, y=y) for y in levels]
    if rng.random() < 0.6:
        wall = 0.6 * board
        frame.append(box(width, height, wall, y=height / 2, z=-depth / 2 + 0.3 * board))
    parts = [painted(*frame, paint=wood)]
    for low, high in itertools.pairwise(levels):
        left = -width / 2 + 0.06
        stop = -width / 2 + rng.uniform(0.0, 0.95) * width
        while left < stop:
            thick = rng.uniform(0.05, 0.09)
            tall = (high - low) * rng.uniform(0.5, 0.8)
            deep = depth * rng.uniform(0.6, 0.85)
            foot = low + board / 2
            book = box(
                thick,
                tall,
                deep,
                x=left + thick / 2,
                y=foot + tall / 2,
                rounding=0.004,
            )
            parts.append(painted(book, paint=pick(rng, FABRIC + PLASTIC)))
            left += thick
    return union(*parts)


def cabinet(rng: Generator) -> PaintedSolid:
    """A cabinet or chest of drawers on short legs, fronts with handles."""
    width = rng.uniform(0.4, 1.3)
    depth = rng.uniform(0.35, 0.55)
    height = rng.uniform(0.45, 1.5)
    columns = max(1, round(width / 0.5))
    rows = max(1, round(height / rng.uniform(0.25, 0.6)))
    wood = wooden(rng, X, 1.2)
    front = wood if rng.random() < 0.4 else pick(rng, PLASTIC + FABRIC)
    metal = pick(rng, METAL)
    lift = rng.uniform(0.03, 0.15)
    body = box(width, height, depth, y=lift + height / 2, rounding=0.01)
    legs = _legs(rng, width, depth, lift + 0.03, 0.05)
    parts = [painted(body, paint=wood), painted(legs, paint=metal)]
    w = width / columns
    h = height / rows
    for i in range(columns):
        for j in range(rows):
            x = -width / 2 + (i + 0.5) * w
            y = lift + (j + 0.5) * h
            door = box(
                w - 0.035,
                h - 0.035,
                0.04,
                x=x,
                y=y,
                z=depth / 2,
                rounding=0.008,
            )
            bar = (y + 0.2 * h, depth / 2 + 0.04)
            left = (x - 0.2 * w, *bar)
            handle = capsule(left, (x + 0.2 * w, *bar), 0.013)
            parts += [painted(door, paint=front), painted(handle, paint=metal)]
    return union(*parts)


def sofa(rng: Generator) -> PaintedSolid:
    """An armchair or sofa: base, back, arms, seat cushions, feet."""
    seats = int(rng.integers(1, 4))
    fabric = pick(rng, FABRIC)
    width = 0.35 + 0.6 * seats
    depth = rng.uniform(0.75, 0.95)
    seat_height = rng.uniform(0.36, 0.44)
    back_height = rng.uniform(0.7, 0.95) - 0.1
    soft = rng.uniform(0.03, 0.08)  # radius of the edges
    arm = rng.uniform(0.12, 0.2)
    base_height = seat_height - 0.18
    arm_height = seat_height + 0.1
    rear = -depth / 2
    base = box(width, base_height, depth, y=base_height / 2 + 0.08, rounding=0.03)
    back = box(
        width,
        back_height,
        0.2,
        y=0.08 + back_height / 2,
        z=rear + 0.1,
        rounding=soft,
    )
    side = width / 2 - arm / 2
    arms = with_mirror_image(
        box(
            arm,
            arm_height,
            depth,
            x=side,
            y=0.08 + arm_height / 2,
            rounding=soft,
        )
    )
    feet = _legs(rng, width, depth, 0.12, 0.06)
    parts = [painted(base, back, arms, paint=fabric), painted(feet, paint=pick(rng, WOOD))]
    cushion = shaded(fabric, rng.uniform(0.85, 1.2))
    room = (width - 2 * arm) / seats
    for i in range(seats):
        x = -width / 2 + arm + (i + 0.5) * room
        for pillow in _cushions(room, depth, x, seat_height):
            parts.append(painted(pillow, paint=cushion))
    if rng.random() < 0.5:
        place = (width / 2 - arm - 0.2, seat_height + 0.24, rear + 0.42)
        parts.append(_pillow(rng, place))
    return union(*parts)


def _pillow(rng: Generator, place: Point) -> PaintedSolid:
    """A sofa pillow that leans back, its centre at ``place``."""
    pillow = painted(box(0.36, 0.36, 0.14, rounding=0.07), paint=pick(rng, PLASTIC))
    return transformed(pillow, at=place, rotation=rotation_x(-0.35))


def _cushions(
    width: float,
    depth: float,
    x: float,
    seat_height: float,
) -> tuple[PaintedSolid, PaintedSolid]:
    """One place of a sofa: what one sits on and what one leans against."""
    seat = box(
        width - 0.01,
        0.16,
        depth - 0.22,
        x=x,
        y=seat_height - 0.04,
        z=0.1,
        rounding=0.05,
    )
    rest = box(width - 0.03, 0.4, 0.15, y=0.2, rounding=0.06)
    back = -depth / 2 + 0.27
    rest = transformed(
        rest,
        x=x,
        y=seat_height + 0.03,
        z=back,
        rotation=rotation_x(-0.15),
    )
    return seat, rest


def bed(rng: Generator) -> PaintedSolid:
    """A bed: frame, mattress, blanket, pillows, headboard."""
    width = rng.choice([rng.uniform(0.9, 1.1), rng.uniform(1.4, 1.8)])
    length = rng.uniform(1.9, 2.1)
    lift = rng.uniform(0.2, 0.35)
    wood = wooden(rng, X, 2.0)
    cover = pick(rng, FABRIC + PLASTIC)
    blanket_paint: Paint | np.ndarray = cover
    if rng.random() < 0.4:
        blanket_paint = striped(cover, shaded(cover, 0.75), Z, rng.uniform(0.2, 0.5))
    head = rng.uniform(0.8, 1.2)
    frame = box(width, 0.14, length, y=lift, rounding=0.02)
    headboard = box(
        width,
        head - 0.05,
        0.07,
        y=head / 2,
        z=-length / 2,
        rounding=0.025,
    )
    legs = _legs(rng, width, length, lift, 0.08)
    mattress = box(
        width - 0.06,
        0.22,
        length - 0.08,
        y=lift + 0.16,
        z=0.01,
        rounding=0.06,
    )
    size = (width + 0.02, 0.26, 0.68 * length)
    blanket = box(
        *size,
        y=lift + 0.165,
        z=0.155 * length,
        rounding=0.07,
    )
    frame = painted(frame, headboard, paint=wood)
    mattress = painted(mattress, paint=(232, 230, 224))
    parts = [frame, painted(legs, paint=wood), mattress, painted(blanket, paint=blanket_paint)]
    for x in (0.0,) if width < 1.3 else (-0.25 * width, 0.25 * width):
        pillow = box(
            0.55,
            0.16,
            0.36,
            x=x,
            y=lift + 0.33,
            z=-length / 2 + 0.32,
            rounding=0.075,
        )
        parts.append(painted(pillow, paint=(240, 238, 230)))
    return union(*parts)


def bench(rng: Generator) -> PaintedSolid:
    """A slatted park bench."""
    width = rng.uniform(1.1, 1.7)
    depth = rng.uniform(0.4, 0.5)
    seat_height = rng.uniform(0.42, 0.48)
    count = int(rng.integers(3, 5))
    wood = wooden(rng, X, 1.5)
    metal = pick(rng, METAL)
    board = 0.8 * depth / count
    places = [(i + 0.5) * depth / count - depth / 2 for i in range(count)]
    slats = [
        box(
            width,
            0.045,
            board,
            y=seat_height,
            z=z,
            rounding=0.008,
        )
        for z in places
    ]
    side = 0.38 * width
    if rng.random() < 0.7:
        heights = [0.1 + (i + 0.6) * 0.16 for i in range(2)]
        boards = [box(width, board, 0.045, y=y, rounding=0.008) for y in heights]
        post = box(
            0.05,
            0.45,
            0.05,
            x=side,
            y=0.2,
            z=-0.04,
        )
        back = union(painted(*boards, paint=wood), painted(with_mirror_image(post), paint=metal))
        back = transformed(
            back,
            y=seat_height,
            z=-depth / 2,
            rotation=rotation_x(-0.2),
        )
    else:
        back = painted(box(width, 0.05, 0.05, y=0.3 * seat_height), paint=metal)
    bearer = box(0.06, 0.05, depth, x=side, y=seat_height - 0.05)
    leg = box(
        0.06,
        seat_height,
        0.06,
        x=side,
        y=seat_height / 2,
        z=depth / 2 - 0.04,
    )
    sides = with_mirror_image(union(bearer, with_mirror_image(leg, Z)))
    return union(painted(*slats, paint=wood), painted(sides, paint=metal), back)
