"""The room around the objects of a photo, as far as a measured depth shows it: the floor and up to
two walls, each a node of its own. In the flow: a Scene -> the same with more surfaces around it,
right before it is written, as ``ground`` does.

The image network is trained on objects only and says nothing of what is outside of their masks, so
there is no room without ``--depth``, ``--points`` or ``--perception``. The floor is level; walls
are upright planes through many of the points above it, found by RANSAC (Fischler and Bolles, 1981),
with every object on the camera's side. A plane's texture is the photo where the photo shows it, and
filled in where something hides it (Telea, 2004).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import trimesh
from PIL import Image
from scipy.ndimage import binary_dilation

from maquette.document.appearance import Appearance, mesh_with
from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box
from maquette.geometry.cameras import lift, project
from maquette.geometry.transforms import similarity
from maquette.masks.labels import painted_labels
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.types import Instance, Scene, free_label, own_node

FLOOR, WALL = "floor", "wall"  # nodes
MOST_WALLS = 2
AT_OUTLINE = 3  # pixels around a mask, where depths are mixed
POINTS = 20_000  # that planes are looked for in
NEAR = 0.02  # scene units from a plane; nearer points are on it
LEVEL = 0.06  # scene units between the objects' ground and the floor
LEAST = 0.12  # of the points outside of all masks, for a plane to be there
TRIES = 400  # of two points for a wall
PARALLEL = np.cos(np.deg2rad(30.0))  # of two walls' normals; more alike, they are one
TRIM = 0.01  # of a plane's points on each side, which its rectangle leaves out
TEXELS = 256  # along a side of a texture
FILLED = 4  # texels around a hole that fill it


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of the room."""

    name: str
    corner: np.ndarray  # (3,) scene units
    sides: np.ndarray  # (2, 3) to the right and up, as the camera sees it
    confidence: float  # share of the points that should be on it that are


@dataclass(frozen=True, eq=False)
class _SeenBackground:
    """What the photo shows outside of all masks."""

    points: np.ndarray  # (H, W, 3) scene units
    is_seen: np.ndarray  # (H, W) bool, outside of the masks and measured
    eye: np.ndarray  # (3,)

    @property
    def chosen(self) -> np.ndarray:
        """(N, 3) at most POINTS of them, evenly."""
        points = self.points[self.is_seen]
        return points[:: max(1, len(points) // POINTS)]


def with_room(scene: Scene) -> Scene:
    """The scene with its floor and walls around it, named ``floor``, ``wall`` and ``wall_2``; each
    has a confidence. Without any plane that is clear, or with a room, it stays as it is.

    InputError for a scene without a photo and its measured depth.
    """
    if any(surface.name in (FLOOR, WALL) for surface in scene.around):
        return scene
    seen = _surroundings(scene)
    if seen is None:
        return scene
    for plane in planes(seen, scene):
        surface = _instance(scene, seen, plane)
        scene = dataclasses.replace(scene, around=(*scene.around, surface))
    return scene


def _surroundings(scene: Scene) -> _SeenBackground | None:
    """None where no object of the scene is in its mask, so that nothing tells the unit."""
    given = scene.input
    geometry = None if given is None else given.geometry
    if given is None or geometry is None or geometry.depth is None:
        raise InputError(
            "a room needs a depth map of the photo, for the image network sees objects only; "
            "make the scene with --depth, or leave room out"
        )
    labels = painted_labels(given.masks, given.image.shape[:2])
    units = _units(scene, geometry.depth, labels)
    if units is None:
        return None
    depth = geometry.depth * units
    is_seen = ~binary_dilation(labels > 0, iterations=AT_OUTLINE) & np.isfinite(depth)
    points = lift(scene.camera, np.where(np.isfinite(depth), depth, 1.0))
    return _SeenBackground(points, is_seen, scene.camera.position)


def _units(scene: Scene, depth: np.ndarray, labels: np.ndarray) -> float | None:
    """Scene units in one of the depth map's, by the objects that are in both."""
    mesh = assemble(scene.visible().instances)
    drawn = rasterize(mesh.vertices, mesh.faces, scene.camera).depth
    both = (labels > 0) & np.isfinite(drawn * depth) & (drawn * depth > 0)
    return float(np.median(drawn[both] / depth[both])) if both.any() else None


def planes(seen: _SeenBackground, scene: Scene) -> list[Plane]:
    """The floor and the walls that are clear, the clearest wall first."""
    points = seen.chosen
    found = []
    low = np.abs(points[:, 1] - scene.ground_height) < LEVEL
    height = float(np.median(points[low, 1])) if low.any() else scene.ground_height
    on_floor = np.abs(points[:, 1] - height) < NEAR
    if on_floor.mean() >= LEAST:
        found.append(_floor(points, on_floor, height))
    middles = np.array([instance.box.mean(0) for instance in scene.visible().instances])
    left = points[points[:, 1] > height + NEAR]
    normals: list[np.ndarray] = []
    while len(normals) < MOST_WALLS and len(left) > LEAST * len(points):
        normal, offset = _wall(left, middles, seen.eye, normals)
        on_wall = np.abs(left @ normal - offset) < NEAR
        if on_wall.sum() < LEAST * len(points):
            break
        share = _share(left, normal, offset)
        found.append(_standing(left[on_wall], normal, offset, height, share))
        normals.append(normal)
        left = left[~on_wall]
    return found


def _wall(
    points: np.ndarray,
    middles: np.ndarray,
    eye: np.ndarray,
    known: Sequence[np.ndarray],
) -> tuple[np.ndarray, float]:
    """Normal (3,), horizontal and away from the eye, and offset of the upright plane that most
    points (N, 3) are on, all objects' middles in front of it, and turned away from known ones.
    """
    rng = np.random.default_rng(0)
    best = np.array([0.0, 0.0, -1.0]), np.inf
    most = 0
    for first, second in rng.integers(0, len(points), (TRIES, 2)):
        along = points[second] - points[first]
        normal = np.array([along[2], 0.0, -along[0]])
        length = np.linalg.norm(normal)
        if length < NEAR:
            continue
        normal *= np.sign(normal @ (points[first] - eye)) / length
        offset = float(normal @ points[first])
        if (
            any(abs(normal @ other) > PARALLEL for other in known)
            or (middles @ normal > offset).any()
        ):
            continue
        count = int((np.abs(points @ normal - offset) < NEAR).sum())
        if count > most:
            most = count
            best = normal, offset
    return best


def _share(points: np.ndarray, normal: np.ndarray, offset: float) -> float:
    """Of the points around a plane or behind it, those that are on it."""
    ahead = points @ normal - offset
    return float((np.abs(ahead) < NEAR).sum() / max((ahead > -NEAR).sum(), 1))


def _floor(points: np.ndarray, on_floor: np.ndarray, height: float) -> Plane:
    below = points[:, 1] < height + NEAR
    low, high = np.quantile(points[on_floor], [TRIM, 1 - TRIM], axis=0)
    width, _, depth = high - low
    corner = np.array([low[0], height, high[2]])
    sides = np.array([[width, 0.0, 0.0], [0.0, 0.0, -depth]])
    return Plane(FLOOR, corner, sides, float(on_floor.sum() / max(below.sum(), 1)))


def _standing(
    points: np.ndarray,
    normal: np.ndarray,
    offset: float,
    floor: float,
    confidence: float,
) -> Plane:
    """A wall from the floor up to its highest point."""
    right = np.array([-normal[2], 0.0, normal[0]])
    left, far = np.quantile(points @ right, [TRIM, 1 - TRIM])
    top = float(np.quantile(points[:, 1], 1 - TRIM))
    corner = normal * offset + right * left + (0.0, floor, 0.0)
    sides = np.stack([right * (far - left), [0.0, top - floor, 0.0]])
    return Plane(WALL, corner, sides, confidence)


def _instance(scene: Scene, seen: _SeenBackground, plane: Plane) -> Instance:
    """A plane as two triangles with a texture, in the middle of its box."""
    first, second = plane.sides
    corners = np.array([np.zeros(3), first, first + second, second])
    middle = bounding_box(corners).mean(0)
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    looks = Appearance(uv=uv, image=Image.fromarray(_texture(scene, seen, plane)))
    mesh: trimesh.Trimesh = mesh_with(corners - middle, np.array([[0, 1, 2], [0, 2, 3]]), looks)
    number = sum(surface.name == plane.name for surface in scene.around)
    node = plane.name if number == 0 else f"{plane.name}_{number + 1}"
    return Instance(
        free_label(scene.labels),
        mesh,
        similarity(1.0, None, plane.corner + middle),
        seed=0,
        name=plane.name,
        confidence=plane.confidence,
        node=own_node(node, scene.nodes),
    )


def _texture(scene: Scene, seen: _SeenBackground, plane: Plane) -> np.ndarray:
    """(TEXELS, TEXELS, 3) uint8: the photo on a plane, its first row at the end of the second side;
    what hides the plane is filled in.
    """
    assert scene.input is not None
    steps = (np.arange(TEXELS) + 0.5) / TEXELS
    along, up = np.meshgrid(steps, steps[::-1])
    first, second = plane.sides
    places = plane.corner + along[..., None] * first + up[..., None] * second
    pixels, depth = project(scene.camera, places)
    column, row = np.floor(pixels).astype(int).transpose(2, 0, 1)
    height, width = seen.is_seen.shape
    is_shown = (depth > 0) & (row >= 0) & (row < height)
    is_shown &= (column >= 0) & (column < width)
    row = np.clip(row, 0, height - 1)
    column = np.clip(column, 0, width - 1)
    away = np.linalg.norm(seen.points[row, column] - places, axis=-1)
    is_shown &= seen.is_seen[row, column] & (away < 2 * NEAR)
    colours = np.ascontiguousarray(scene.input.image[row, column])
    return cv2.inpaint(colours, (~is_shown).astype(np.uint8), FILLED, cv2.INPAINT_TELEA)
