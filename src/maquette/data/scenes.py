"""Scenes to train and to measure on: which assets, how large, and where they stand.

Second step of a training scene (layout -> scene -> views). `compose_random` is the random
non-semantic scene of I-Scene (arXiv 2512.13683); the other compositions stress what it leaves rare:
small objects on large ones, identical objects, crowds and set tables. Rooms (rooms.py) are another;
compose.py draws one of all.

World frame: +Y up, floor y = 0. The `library` of every function is a Catalogue; a plain library is
measured first, which is slow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from maquette.data.catalogue import Catalogue, LibraryLike
from maquette.data.layout import (
    LayoutConfig,
    Placement,
    any_yaw,
    layout_on_floor,
    placed_asset,
    stack_on,
)
from maquette.geometry.transforms import transform_points


@dataclass(frozen=True, eq=False)
class Shell:
    """The walls around a room: background, not an instance."""

    vertices: np.ndarray  # (V, 3) float32, world frame
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray  # (V, 3) uint8, sRGB
    box: np.ndarray  # (2, 2) float64, lower and upper x/z corner of the room; cameras stay inside


@dataclass(frozen=True, eq=False)
class ComposedScene:
    """What stands where. Light, ground and cameras are drawn per view, not here."""

    placements: tuple[Placement, ...]
    kind: str
    shell: Shell | None = None
    focus: tuple[int, ...] = ()  # placements that the camera is fitted to; empty = all


@dataclass(frozen=True)
class SceneConfig:
    """Which compositions, how often, and their ranges."""

    layout: LayoutConfig = field(default_factory=LayoutConfig)
    mix: tuple[tuple[str, float], ...] = (
        ("random", 0.40),
        ("small-on-large", 0.12),
        ("duplicates", 0.12),
        ("dense", 0.12),
        ("tabletop", 0.12),
        ("room", 0.12),
    )


@dataclass(frozen=True, eq=False)
class SceneGeometry:
    """All objects of a scene as one mesh in the world frame."""

    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray  # (V, 3) uint8, sRGB
    normals: np.ndarray  # (V, 3) float32, unit, smooth; 0 on the shell, which is flat
    face_instance: np.ndarray  # (F,) int32, index of the placement; -1 = shell
    starts: np.ndarray  # (P + 1,) int64, the vertices of placement p are starts[p]:starts[p + 1]


def compose_random(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Random assets on random discs; sometimes a table comes first and carries some of them."""
    catalogue = Catalogue.of(library)
    layout = (config or SceneConfig()).layout
    count = draw_count(rng, layout.count)
    assets = draw_assets(catalogue, rng, count)
    sizes = draw_sizes(rng, count, layout.size)
    stacked = 0
    if len(catalogue.tables) and rng.random() < layout.table_probability:
        assets[0] = rng.choice(catalogue.tables)
        sizes[0] = rng.uniform(*layout.table_size)
        if rng.random() < layout.stack_probability:
            stacked = min(draw_count(rng, layout.stacked), count - 1)
    standing = count - stacked
    placed = layout_on_floor(catalogue, assets[:standing], sizes[:standing], rng, layout)
    if stacked:
        placed += stack_on(catalogue, placed[0], assets[standing:], rng)
    return ComposedScene(placed, "random")


def compose_small_on_large(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """One to three large objects, as many of them tables as there are, each with up to four small
    objects on its top.
    """
    catalogue = Catalogue.of(library)
    layout = (config or SceneConfig()).layout
    large = int(rng.integers(1, 4))
    assets = draw_assets(catalogue, rng, large)
    if len(catalogue.tables):
        assets = rng.choice(catalogue.tables, large)
    floor = layout_on_floor(catalogue, assets, rng.uniform(*layout.table_size, large), rng, layout)
    placed = floor
    for table in floor:
        small = draw_assets(catalogue, rng, int(rng.integers(1, 5)))
        placed += stack_on(catalogue, table, small, rng)
    scene = ComposedScene(placed[: layout.count[1]], "small-on-large")
    return _enough(scene, catalogue, rng, config)


def compose_duplicates(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Two to six copies of one asset, of one size, in a row, in a ring or scattered, and a few
    others around them.
    """
    catalogue = Catalogue.of(library)
    layout = (config or SceneConfig()).layout
    copies = int(rng.integers(2, 7))
    asset = int(draw_assets(catalogue, rng, 1)[0])
    size = float(draw_sizes(rng, 1, layout.size)[0])
    arrangement = str(rng.choice(["row", "ring", "scattered"]))
    if arrangement == "scattered":
        others = draw_count(rng, (0, max(0, min(4, layout.count[1] - copies))))
        assets = np.append(np.full(copies, asset), draw_assets(catalogue, rng, others))
        sizes = np.append(np.full(copies, size), draw_sizes(rng, others, layout.size))
        return ComposedScene(layout_on_floor(catalogue, assets, sizes, rng, layout), "duplicates")
    diameter = 2.0 * size * float(catalogue.radii[asset])
    step = diameter * (1.02 + rng.uniform(*layout.density))
    yaw = any_yaw(rng)
    poses = _in_a_row(copies, step) if arrangement == "row" else _in_a_ring(copies, step)
    placed = tuple(placed_asset(catalogue, asset, size, yaw + angle, foot) for angle, foot in poses)
    return ComposedScene(placed, "duplicates")


def _in_a_row(copies: int, step: float) -> list[tuple[float, tuple[float, float, float]]]:
    """Angles and feet on a line along x."""
    middle = 0.5 * (copies - 1)
    return [(0.0, ((k - middle) * step, 0.0, 0.0)) for k in range(copies)]


def _in_a_ring(copies: int, step: float) -> list[tuple[float, tuple[float, float, float]]]:
    """Angles and feet on a circle, about a step from each other, facing outwards."""
    radius = 0.5 * step / math.sin(math.pi / max(copies, 2))
    angles = [2.0 * math.pi * k / copies for k in range(copies)]
    feet = [(radius * math.sin(angle), 0.0, radius * math.cos(angle)) for angle in angles]
    return list(zip(angles, feet))


def compose_dense(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Crowd objects of similar sizes so that they almost touch and most are half hidden from a low
    camera.
    """
    catalogue = Catalogue.of(library)
    most = (config or SceneConfig()).layout.count[1]
    count = draw_count(rng, (min(6, most), most))
    crowd = LayoutConfig(
        density=(0.0, 0.05),
        attempts=80,
        growth=1.03,
    )
    assets = draw_assets(catalogue, rng, count)
    sizes = draw_sizes(rng, count, (0.5, 1.1))
    return ComposedScene(layout_on_floor(catalogue, assets, sizes, rng, crowd), "dense")


def compose_tabletop(
    library: LibraryLike, rng: Generator, config: SceneConfig | None = None
) -> ComposedScene:
    """Many small objects on one table, half of the time as a close-up; without a table, or in part
    of the scenes, on the ground.
    """
    catalogue = Catalogue.of(library)
    most = (config or SceneConfig()).layout.count[1]
    count = draw_count(rng, (min(4, most), most))
    if len(catalogue.tables) and rng.random() < 0.6:
        table = int(rng.choice(catalogue.tables))
        base = placed_asset(catalogue, table, 1.5, any_yaw(rng), (0.0, 0.0, 0.0))
        assets = draw_assets(catalogue, rng, max(count - 1, 2))
        carried = stack_on(catalogue, base, assets, rng, fill=(0.25, 0.6))
        close_up = rng.random() < 0.5 and len(carried) >= 2
        focus = tuple(range(1, 1 + len(carried))) if close_up else ()
        scene = ComposedScene((base, *carried), "tabletop", focus=focus)
        return _enough(scene, catalogue, rng, config)
    assets = draw_assets(catalogue, rng, count)
    sizes = draw_sizes(rng, count, (0.4, 0.9))
    sparse = LayoutConfig(density=(0.1, 1.0))
    return ComposedScene(layout_on_floor(catalogue, assets, sizes, rng, sparse), "tabletop")


def _enough(
    scene: ComposedScene,
    catalogue: Catalogue,
    rng: Generator,
    config: SceneConfig | None,
) -> ComposedScene:
    """Return the scene, or a random one when nothing could be stacked and one object is left."""
    return scene if len(scene.placements) >= 2 else compose_random(catalogue, rng, config)


def draw_count(rng: Generator, limits: tuple[int, int]) -> int:
    """Draw a number of objects, limits included."""
    return int(rng.integers(limits[0], limits[1] + 1))


def draw_assets(catalogue: Catalogue, rng: Generator, count: int) -> np.ndarray:
    """(count,) int64 random assets, now and then repeated."""
    return rng.integers(0, len(catalogue), count)


def draw_sizes(rng: Generator, count: int, limits: tuple[float, float]) -> np.ndarray:
    """(count,) longest sides, log-uniform."""
    return np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]), count))


def placed_vertices(library: LibraryLike, placement: Placement) -> np.ndarray:
    """(V, 3) float32 vertices of a placed asset in the world frame."""
    matrix = placement.world_from_asset.astype(np.float32)
    return transform_points(matrix, library.asset(placement.asset).vertices)


def _yaw_of(placement: Placement) -> np.ndarray:
    """(3, 3) float32 rotation of a placement."""
    turn = placement.world_from_asset[:3, :3]
    return (turn / np.linalg.norm(turn[:, 0])).astype(np.float32)


def merge_geometry(scene: ComposedScene, library: LibraryLike) -> SceneGeometry:
    """Concatenate all placed assets, then the shell, into one mesh."""
    library = Catalogue.of(library)
    assets = [library.asset(p.asset) for p in scene.placements]
    starts = np.cumsum([0] + [len(a.vertices) for a in assets])
    vertices = [placed_vertices(library, p) for p in scene.placements]
    faces = [a.faces + np.int32(start) for a, start in zip(assets, starts)]
    colors = [a.colors for a in assets]
    normals = [library.normals(p.asset) @ _yaw_of(p).T for p in scene.placements]
    instances = [np.full(len(a.faces), i, np.int32) for i, a in enumerate(assets)]
    if scene.shell is not None:
        vertices.append(scene.shell.vertices)
        faces.append(scene.shell.faces + np.int32(starts[-1]))
        colors.append(scene.shell.colors)
        normals.append(np.zeros_like(scene.shell.vertices))
        instances.append(np.full(len(scene.shell.faces), -1, np.int32))
    return SceneGeometry(
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces),
        colors=np.concatenate(colors),
        normals=np.concatenate(normals),
        face_instance=np.concatenate(instances),
        starts=starts,
    )
