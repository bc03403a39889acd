"""Furnished rooms, the curated counterpart of random layouts: furniture along the walls, a set
table, a rug, things on tables.

Used for the ablation "trained on rooms instead of random scenes" and as one of the compositions.
What an asset is good for is read from its name; a library without such names gets roles from shapes
alone. Walls and rug are background, not instances.

World frame: metres, +Y up, floor y = 0, the room's box centred on the origin. Assets face +Z (their
front), as is usual in +Y-up files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from maquette.data.catalogue import Catalogue, LibraryLike
from maquette.data.layout import Placement, any_yaw, placed_asset, stack_on
from maquette.data.scenes import ComposedScene, SceneConfig, Shell, draw_assets
from maquette.types import Arrays

FloorBox = tuple[float, float, float, float]  # low x, low z, high x, high z

MARGIN = 0.04  # metres between furniture and walls
TALLEST = 2.2  # metres, of furniture
TABLE_HEIGHT = 0.85  # metres, at most
SMALLEST_HALF, LARGEST_HALF = (1.5, 1.4), (2.6, 2.4)  # metres, half sides of a floor
SKIRTING_SIZE = (0.09, 0.012)  # metres, height and thickness
SKIRTING = np.array([235, 232, 226])  # sRGB of most skirting boards
WORDS: dict[str, tuple[str, ...]] = {  # which words of a name give an asset a role
    "chair": ("chair", "stool"),
    "table": ("table", "desk"),
    "wall": (
        "sofa",
        "couch",
        "bed",
        "shelf",
        "cabinet",
        "wardrobe",
        "drawer",
        "dresser",
        "fridge",
        "oven",
        "stove",
        "bench",
        "bookcase",
    ),
    "floor": ("plant", "lamp", "trash", "box", "barrel", "speaker", "bin"),
}
SIZES: dict[str, tuple[float, float]] = {  # longest side in metres
    "chair": (0.8, 1.0),
    "table": (1.1, 1.8),
    "wall": (0.9, 2.1),
    "floor": (0.35, 1.2),
}


def roles_of(catalogue: Catalogue) -> Arrays:
    """Assets (indices, never none) of each role, remembered in the catalogue.

    By name, else by shape: flat tops are tables, upright things are chairs, and everything may
    stand at a wall or on the floor.
    """
    if not catalogue.roles:
        every = np.arange(len(catalogue))
        named = {role: _named(catalogue, words) for role, words in WORDS.items()}
        heights = catalogue.extents[:, 1]
        narrowest = catalogue.extents[:, ::2].min(1)
        upright = every[(heights > 0.8) & (narrowest > 0.3)]
        chairs = np.setdiff1d(named["chair"], catalogue.tables)
        tables = np.intersect1d(named["table"], catalogue.tables)
        catalogue.roles["chair"] = _first_of(chairs, upright, every)
        catalogue.roles["table"] = _first_of(tables, catalogue.tables, every)
        catalogue.roles["wall"] = _first_of(named["wall"], every)
        catalogue.roles["floor"] = _first_of(named["floor"], every)
    return catalogue.roles


def _named(catalogue: Catalogue, words: tuple[str, ...]) -> np.ndarray:
    """(N,) int64, the assets in whose name one of the words stands."""
    hits = [any(word in name.lower() for word in words) for name in catalogue.names]
    return np.flatnonzero(hits)


def _first_of(*candidates: np.ndarray) -> np.ndarray:
    """The first of the candidates that is not empty."""
    return next(c for c in candidates if len(c))


def compose_room(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Furnish a room with two or three walls: furniture along them facing inwards, a table with
    chairs, things on tables and around.
    """
    catalogue = Catalogue.of(library)
    most = (config or SceneConfig()).layout.count[1]
    roles_of(catalogue)
    half = rng.uniform(SMALLEST_HALF, LARGEST_HALF)
    room = _Room(catalogue, half)
    placements: list[Placement] = []
    if rng.random() < 0.75:
        placements += _set_table(room, rng)
    placements += _along_walls(room, rng, int(rng.integers(1, 5)))
    placements += _scattered(room, rng, int(rng.integers(0, 4)))
    tables = [placement for placement in placements if placement.asset in catalogue.tables]
    for table in tables[:2]:
        small = draw_assets(catalogue, rng, int(rng.integers(1, 4)))
        placements += stack_on(catalogue, table, small, rng)
    while len(placements) < 2:
        placements += _scattered(room, rng, 2)
    return ComposedScene(tuple(placements[:most]), "room", room_shell(half, rng))


@dataclass(frozen=True, eq=False)
class _Furniture:
    """A piece of furniture, chosen and turned but not placed yet."""

    asset: int
    size: float  # longest side, metres
    yaw: float
    half_x: float  # half sides of the box around it, as it is turned
    half_z: float


@dataclass(frozen=True, eq=False)
class _Room:
    """A room while it is furnished, and the boxes of its floor that are taken."""

    catalogue: Catalogue
    half: np.ndarray  # (2,) half sides along x and z, metres
    boxes: list[FloorBox] = field(default_factory=list)  # low, high x/z

    def draw(self, role: str, rng: Generator) -> tuple[int, float]:
        """Draw an asset of a role and its longest side, no taller than TALLEST."""
        asset = int(rng.choice(self.catalogue.roles[role]))
        wanted = rng.uniform(*SIZES[role])
        return asset, float(min(wanted, TALLEST / max(self.catalogue.extents[asset, 1], 1e-3)))

    def turned(
        self,
        asset: int,
        size: float,
        yaw: float,
    ) -> _Furniture:
        """An asset turned by ``yaw``, with the box around it."""
        c = abs(math.cos(yaw))
        s = abs(math.sin(yaw))
        width, _, depth = self.catalogue.extents[asset]
        half_x = 0.5 * size * float(c * width + s * depth)
        half_z = 0.5 * size * float(s * width + c * depth)
        return _Furniture(asset, size, yaw, half_x, half_z)

    def stand(
        self,
        piece: _Furniture,
        x: float,
        z: float,
    ) -> list[Placement]:
        """Put a piece at (x, z); nothing when it would leave the room or meet another."""
        box = (x - piece.half_x, z - piece.half_z, x + piece.half_x, z + piece.half_z)
        outside_x = abs(x) + piece.half_x > self.half[0]
        outside_z = abs(z) + piece.half_z > self.half[1]
        if outside_x or outside_z or any(_overlap(box, other) for other in self.boxes):
            return []
        self.boxes.append(box)
        return [placed_asset(self.catalogue, piece.asset, piece.size, piece.yaw, (x, 0.0, z))]


def _overlap(a: FloorBox, b: FloorBox) -> bool:
    """Whether two rectangles (low x, low z, high x, high z) share an area."""
    in_x = a[0] < b[2] and b[0] < a[2]
    in_z = a[1] < b[3] and b[1] < a[3]
    return in_x and in_z


def _set_table(room: _Room, rng: Generator) -> list[Placement]:
    """Place a table near the middle and up to four identical chairs that face it."""
    asset, size = room.draw("table", rng)
    size = min(size, TABLE_HEIGHT / max(room.catalogue.extents[asset, 1], 0.2))
    table = room.turned(asset, size, _quarter_turns(rng.integers(0, 2)))
    x, z = (rng.uniform(-0.3, 0.3, 2) * room.half).tolist()
    placed = room.stand(table, x, z)
    if not placed:
        return []
    asset, size = room.draw("chair", rng)
    for side in rng.permutation(4)[: int(rng.integers(1, 5))]:
        angle = _quarter_turns(side)
        # the front (+Z) looks back at the table
        chair = room.turned(asset, size, angle + math.pi + float(rng.normal(0.0, 0.08)))
        gap = float(rng.uniform(0.02, 0.15))
        foot_x = x + math.sin(angle) * (table.half_x + chair.half_x + gap)
        foot_z = z + math.cos(angle) * (table.half_z + chair.half_z + gap)
        placed += room.stand(chair, foot_x, foot_z)
    return placed


def _quarter_turns(count: np.integer) -> float:
    """Of so many quarter turns, in radians."""
    return float(count) * 0.5 * math.pi


def _along_walls(room: _Room, rng: Generator, count: int) -> list[Placement]:
    """Up to ``count`` pieces of furniture with their backs to a wall."""
    placed: list[Placement] = []
    for _ in range(4 * count):
        if len(placed) < count:
            asset, size = room.draw("wall", rng)
            # the front looks along (sin yaw, cos yaw), into the room
            piece = room.turned(asset, size, _quarter_turns(rng.integers(0, 4)))
            sides = np.array([piece.half_x, piece.half_z])
            front = np.array([round(math.sin(piece.yaw)), round(math.cos(piece.yaw))])
            along = rng.uniform(-1.0, 1.0, 2) * (room.half - sides)
            at_wall = -front * (room.half - (sides + MARGIN))
            placed += room.stand(piece, *np.where(front == 0, along, at_wall).tolist())
    return placed


def _scattered(room: _Room, rng: Generator, count: int) -> list[Placement]:
    """Up to ``count`` smaller things anywhere on the free floor."""
    placed: list[Placement] = []
    for _ in range(6 * count):
        if len(placed) < count:
            asset, size = room.draw("floor", rng)
            piece = room.turned(asset, size, any_yaw(rng))
            spot = rng.uniform(-1.0, 1.0, 2) * room.half
            placed += room.stand(piece, *spot.tolist())
    return placed


# ---- what is around


Quad = tuple[np.ndarray, np.ndarray]  # corners (4, 3), colour (3,) sRGB in 0..255


@dataclass(frozen=True, eq=False)
class _Wall:
    """One wall of a room."""

    foot: np.ndarray  # (3,) the middle of its lower edge
    along: np.ndarray  # (3,) unit
    inwards: np.ndarray  # (3,) unit, into the room
    reach: float  # half its length

    def rectangle(
        self,
        across: tuple[float, float],
        up: tuple[float, float],
        lift: float,
    ) -> np.ndarray:
        """(4, 3) corners of a rectangle between two places along it and two heights, ``lift``
        metres in front of it.
        """
        left, right = across
        low, high = up
        spots = ((left, low), (right, low), (right, high), (left, high))
        front = lift * self.inwards
        corners = [self.foot + u * self.along + (0.0, v, 0.0) for u, v in spots]
        return np.array(corners) + front


def room_shell(half: np.ndarray, rng: Generator) -> Shell:
    """Two or three walls with skirting boards, a window or a picture, and sometimes a rug, around a
    floor of half sides `half` (2,).
    """
    height = float(rng.uniform(2.3, 2.9))
    paint = _paint(rng)
    quads: list[Quad] = []
    for side in rng.permutation(4)[: int(rng.integers(2, 4))].tolist():
        quads += _decorated(_wall(side, half), height, paint, rng)
    if rng.random() < 0.5:
        quads += _rug(half, rng)
    return _shell(quads, np.stack([-half, half]))


def _decorated(
    wall: _Wall,
    height: float,
    paint: np.ndarray,
    rng: Generator,
) -> Iterator[Quad]:
    """A wall, its skirting board, and up to two windows or pictures on it."""
    across = (-wall.reach, wall.reach)
    colour = paint if rng.random() < 0.7 else _paint(rng)
    yield wall.rectangle(across, (0.0, height), 0.0), colour
    skirting = SKIRTING if rng.random() < 0.6 else paint * 0.7
    tall, thick = SKIRTING_SIZE
    yield wall.rectangle(across, (0.0, tall), thick), skirting
    for _ in range(int(rng.integers(0, 3))):
        centre = rng.uniform(-0.7, 0.7) * wall.reach
        low = rng.uniform(0.9, 1.3)
        wide = rng.uniform(0.15, 0.5)
        high = low + rng.uniform(0.3, 0.9)
        for rim, lift in ((0.04, 0.01), (0.0, 0.02)):  # a frame and what is in it
            across = (centre - wide - rim, centre + wide + rim)
            corners = wall.rectangle(across, (low - rim, high + rim), lift)
            yield corners, rng.uniform(20, 250, 3)


def _rug(half: np.ndarray, rng: Generator) -> Iterator[Quad]:
    """A rug with a border."""
    half_x, half_z = rng.uniform(0.3, 0.7, 2) * half
    x, z = rng.uniform(-0.3, 0.3, 2) * half
    for grow, lift in ((0.0, 0.004), (-0.08, 0.006)):
        dx = half_x + grow
        dz = half_z + grow
        front = [[-dx, lift, dz], [dx, lift, dz]]
        back = [[dx, lift, -dz], [-dx, lift, -dz]]
        yield np.array(front + back) + (x, 0.0, z), rng.uniform(30, 230, 3)


def _paint(rng: Generator) -> np.ndarray:
    """Draw a wall colour: mostly pale and warm, sometimes strong."""
    if rng.random() < 0.7:
        brightness = rng.uniform(175, 245)
        return brightness * np.array([1.0, rng.uniform(0.93, 1.0), rng.uniform(0.82, 1.0)])
    return rng.uniform(40, 220, 3)


def _wall(side: int, half: np.ndarray) -> _Wall:
    """Wall number ``side`` of four around a floor of half sides ``half`` (2,)."""
    angle = 0.5 * math.pi * side
    inwards = np.array([round(math.sin(angle)), 0.0, round(math.cos(angle))])
    along = np.array([inwards[2], 0.0, -inwards[0]])
    across_x, across_z = half
    if side % 2:
        return _Wall(-inwards * across_x, along, inwards, float(across_z))
    return _Wall(-inwards * across_z, along, inwards, float(across_x))


def _shell(quads: list[Quad], box: np.ndarray) -> Shell:
    """Two triangles and one colour for each quad."""
    vertices = np.concatenate([corners for corners, _ in quads]).astype(np.float32)
    colors = np.clip([colour for _, colour in quads], 0, 255)
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    faces = (halves + 4 * np.arange(len(quads))[:, None, None]).reshape(-1, 3)
    colors_of_corners = np.repeat(colors, 4, axis=0).astype(np.uint8)
    return Shell(vertices, faces.astype(np.int32), colors_of_corners, box)
