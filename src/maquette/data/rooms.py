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

import numpy as np

from maquette.data.layout import Catalogue, LibraryLike, Placement, place, stack_on
from maquette.data.scenes import ComposedScene, SceneConfig, Shell, draw_assets

MARGIN = 0.04  # metres between furniture and walls
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


def roles_of(catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Assets (indices, never none) of each role, remembered in the catalogue.

    By name, else by shape: flat tops are tables, upright things are chairs, and everything may
    stand at a wall or on the floor.
    """
    if not catalogue.roles:
        every = np.arange(len(catalogue))
        named = {role: _named(catalogue, words) for role, words in WORDS.items()}
        upright = every[(catalogue.extents[:, 1] > 0.8) & (catalogue.extents[:, ::2].min(1) > 0.3)]
        catalogue.roles.update(
            chair=_first_of(np.setdiff1d(named["chair"], catalogue.tables), upright, every),
            table=_first_of(
                np.intersect1d(named["table"], catalogue.tables), catalogue.tables, every
            ),
            wall=_first_of(named["wall"], every),
            floor=_first_of(named["floor"], every),
        )
    return catalogue.roles


def _named(catalogue: Catalogue, words: tuple[str, ...]) -> np.ndarray:
    return np.array(
        [
            i
            for i, name in enumerate(catalogue.names)
            if any(word in name.lower() for word in words)
        ],
        dtype=np.int64,
    )


def _first_of(*candidates: np.ndarray) -> np.ndarray:
    return next(c for c in candidates if len(c))


def compose_room(
    library: LibraryLike, rng: np.random.Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Furnish a room with two or three walls: furniture along them facing inwards, a table with
    chairs, things on tables and around.
    """
    catalogue = Catalogue.of(library)
    most = (config or SceneConfig()).layout.count[1]
    roles = roles_of(catalogue)
    half = rng.uniform((1.5, 1.4), (2.6, 2.4))
    taken = _Occupancy(half)
    placements: list[Placement] = []
    if rng.random() < 0.75:
        placements += _set_table(catalogue, roles, taken, rng)
    placements += _along_walls(catalogue, roles, taken, rng, int(rng.integers(1, 5)))
    placements += _scattered(catalogue, roles, taken, rng, int(rng.integers(0, 4)))
    for table in [p for p in placements if p.asset in catalogue.tables][:2]:
        placements += stack_on(
            catalogue, table, draw_assets(catalogue, rng, int(rng.integers(1, 4))), rng
        )
    while len(placements) < 2:
        placements += _scattered(catalogue, roles, taken, rng, 2)
    return ComposedScene(tuple(placements[:most]), "room", room_shell(half, rng))


class _Occupancy:
    """The free floor of a room: boxes already taken, as (x low, z low, x high, z high)."""

    def __init__(self, half: np.ndarray) -> None:
        self.half = half
        self.boxes: list[tuple[float, float, float, float]] = []

    def take(self, x: float, z: float, dx: float, dz: float) -> bool:
        """Reserve the box with half sides dx, dz at (x, z); False when it leaves the room or meets
        another.
        """
        box = (x - dx, z - dz, x + dx, z + dz)
        outside = abs(x) + dx > self.half[0] or abs(z) + dz > self.half[1]
        if outside or any(
            box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in self.boxes
        ):
            return False
        self.boxes.append(box)
        return True


def _half_sides(extent: np.ndarray, size: float, yaw: float) -> tuple[float, float]:
    """Half sides in x and z of the box around an asset turned by `yaw`."""
    c = abs(math.cos(yaw))
    s = abs(math.sin(yaw))
    return 0.5 * size * float(c * extent[0] + s * extent[2]), 0.5 * size * float(
        s * extent[0] + c * extent[2]
    )


def _pick(
    catalogue: Catalogue,
    candidates: np.ndarray,
    sizes: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, float]:
    """Draw an asset and its longest side, no taller than 2.2 m."""
    asset = int(rng.choice(candidates))
    return asset, float(min(rng.uniform(*sizes), 2.2 / max(catalogue.extents[asset, 1], 1e-3)))


def _set_table(
    catalogue: Catalogue, roles: dict[str, np.ndarray], taken: _Occupancy, rng: np.random.Generator
) -> list[Placement]:
    """Place a table near the middle and up to four identical chairs that face it."""
    table, size = _pick(catalogue, roles["table"], SIZES["table"], rng)
    size = min(size, 0.85 / max(catalogue.extents[table, 1], 0.2))
    yaw = float(rng.integers(0, 2)) * 0.5 * math.pi
    dx, dz = _half_sides(catalogue.extents[table], size, yaw)
    x, z = (rng.uniform(-0.3, 0.3, 2) * taken.half).tolist()
    if not taken.take(x, z, dx, dz):
        return []
    placed = [place(table, catalogue.extents[table], size, yaw, (x, 0.0, z))]
    chair, seat = _pick(catalogue, roles["chair"], SIZES["chair"], rng)
    for side in rng.permutation(4)[: int(rng.integers(1, 5))]:
        angle = float(side) * 0.5 * math.pi
        turn = (
            angle + math.pi + float(rng.normal(0.0, 0.08))
        )  # the front (+Z) looks back at the table
        cx, cz = _half_sides(catalogue.extents[chair], seat, turn)
        gap = float(rng.uniform(0.02, 0.15))
        foot_x = x + math.sin(angle) * (dx + cx + gap)
        foot_z = z + math.cos(angle) * (dz + cz + gap)
        if taken.take(foot_x, foot_z, cx, cz):
            placed.append(place(chair, catalogue.extents[chair], seat, turn, (foot_x, 0.0, foot_z)))
    return placed


def _along_walls(
    catalogue: Catalogue,
    roles: dict[str, np.ndarray],
    taken: _Occupancy,
    rng: np.random.Generator,
    count: int,
) -> list[Placement]:
    """Furniture with its back to a wall."""
    placed = []
    for _ in range(4 * count):
        if len(placed) == count:
            break
        asset, size = _pick(catalogue, roles["wall"], SIZES["wall"], rng)
        yaw = (
            float(rng.integers(0, 4)) * 0.5 * math.pi
        )  # the front looks along (sin yaw, cos yaw), into the room
        dx, dz = _half_sides(catalogue.extents[asset], size, yaw)
        front = np.array([round(math.sin(yaw)), round(math.cos(yaw))])
        along = rng.uniform(-1.0, 1.0, 2) * (taken.half - (dx, dz))
        x, z = np.where(
            front == 0, along, -front * (taken.half - (dx + MARGIN, dz + MARGIN))
        ).tolist()
        if taken.take(x, z, dx, dz):
            placed.append(place(asset, catalogue.extents[asset], size, yaw, (x, 0.0, z)))
    return placed


def _scattered(
    catalogue: Catalogue,
    roles: dict[str, np.ndarray],
    taken: _Occupancy,
    rng: np.random.Generator,
    count: int,
) -> list[Placement]:
    """Smaller things anywhere on the free floor."""
    placed = []
    for _ in range(6 * count):
        if len(placed) == count:
            break
        asset, size = _pick(catalogue, roles["floor"], SIZES["floor"], rng)
        yaw = float(rng.uniform(-math.pi, math.pi))
        dx, dz = _half_sides(catalogue.extents[asset], size, yaw)
        x, z = (rng.uniform(-1.0, 1.0, 2) * taken.half).tolist()
        if taken.take(x, z, dx, dz):
            placed.append(place(asset, catalogue.extents[asset], size, yaw, (x, 0.0, z)))
    return placed


def room_shell(half: np.ndarray, rng: np.random.Generator) -> Shell:
    """Two or three walls with skirting boards, a window or a picture, and sometimes a rug, around a
    floor of half sides `half` (2,).
    """
    height = float(rng.uniform(2.3, 2.9))
    paint = _paint(rng)
    quads: list[tuple[np.ndarray, np.ndarray]] = []
    sides = rng.permutation(4)[: int(rng.integers(2, 4))]
    for side in sides:
        colour = paint if rng.random() < 0.7 else _paint(rng)
        frame = _wall_frame(int(side), half)
        width = float(half[0] if side % 2 == 0 else half[1])
        quads.append((_on_wall(frame, -width, width, 0.0, height, 0.0), colour))
        quads.append(
            (
                _on_wall(frame, -width, width, 0.0, 0.09, 0.012),
                np.array([235, 232, 226]) if rng.random() < 0.6 else paint * 0.7,
            )
        )
        for _ in range(int(rng.integers(0, 3))):
            centre = rng.uniform(-0.7, 0.7) * width
            low = rng.uniform(0.9, 1.3)
            wide = rng.uniform(0.15, 0.5)
            tall = rng.uniform(0.3, 0.9)
            for rim, lift in ((0.04, 0.01), (0.0, 0.02)):  # a frame and what is in it
                corners = _on_wall(
                    frame,
                    centre - wide - rim,
                    centre + wide + rim,
                    low - rim,
                    low + tall + rim,
                    lift,
                )
                quads.append((corners, rng.uniform(20, 250, 3)))
    if rng.random() < 0.5:
        rx, rz = rng.uniform(0.3, 0.7, 2) * half
        ox, oz = rng.uniform(-0.3, 0.3, 2) * half
        for grow, lift in ((0.0, 0.004), (-0.08, 0.006)):
            x = rx + grow
            z = rz + grow
            corners = np.array([[-x, lift, z], [x, lift, z], [x, lift, -z], [-x, lift, -z]]) + (
                ox,
                0.0,
                oz,
            )
            quads.append((corners, rng.uniform(30, 230, 3)))
    return _shell(quads, np.stack([-half, half]))


def _paint(rng: np.random.Generator) -> np.ndarray:
    """Draw a wall colour: mostly pale and warm, sometimes strong."""
    if rng.random() < 0.7:
        return rng.uniform(175, 245) * np.array(
            [1.0, rng.uniform(0.93, 1.0), rng.uniform(0.82, 1.0)]
        )
    return rng.uniform(40, 220, 3)


def _wall_frame(side: int, half: np.ndarray) -> np.ndarray:
    """(3, 3) rows: origin at the foot of the wall, direction along it, direction into the room."""
    angle = 0.5 * math.pi * side
    inwards = np.array([round(math.sin(angle)), 0.0, round(math.cos(angle))])
    along = np.array([inwards[2], 0.0, -inwards[0]])
    return np.stack([-inwards * (half[0] if side % 2 else half[1]), along, inwards])


def _on_wall(
    frame: np.ndarray, left: float, right: float, low: float, high: float, lift: float
) -> np.ndarray:
    """(4, 3) corners of a rectangle on a wall, `lift` metres in front of it."""
    origin, along, inwards = frame
    spots = ((left, low), (right, low), (right, high), (left, high))
    return np.array([origin + u * along + (0.0, v, 0.0) + lift * inwards for u, v in spots])


def _shell(quads: list[tuple[np.ndarray, np.ndarray]], box: np.ndarray) -> Shell:
    """Two triangles and one colour for each quad."""
    count = len(quads)
    vertices = np.concatenate([corners for corners, _ in quads]).astype(np.float32)
    colors = np.repeat(np.clip([colour for _, colour in quads], 0, 255), 4, axis=0).astype(np.uint8)
    faces = (
        (np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(count)[:, None, None])
        .reshape(-1, 3)
        .astype(np.int32)
    )
    return Shell(vertices, faces, colors, box)
