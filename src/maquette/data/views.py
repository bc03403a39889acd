"""Pictures of a composed scene with everything known about them: the samples that the networks are
trained on.

Third step of a training scene (layout -> scene -> views). Cameras are drawn all around the scene
and fitted to it; the image is lit with soft shadows over a textured ground and a wall or backdrop;
depth, normals and instance ids come from the pixel centres. As in I-Scene (arXiv 2512.13683) an
object that a view does not show is dropped from that view, and the scene frame (view-centric: see
types.py) is computed over the objects that are kept. `sample_views` takes several views of one
scene under one light, which costs much less per view than `sample_view`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from maquette.data.backgrounds import (
    Surface,
    random_backdrop,
    random_ground,
    random_wall,
    tiling_noise,
)
from maquette.data.catalogue import Catalogue, LibraryLike
from maquette.data.illumination import (
    Material,
    ShadowMaps,
    add_surfaces,
    around,
    develop,
    illuminate,
    linear,
    stacked_shadow_maps,
)
from maquette.data.layout import Placement, any_yaw
from maquette.data.scenes import (
    ComposedScene,
    SceneGeometry,
    merge_geometry,
    placed_vertices,
)
from maquette.errors import InputError
from maquette.geometry.boxes import UNIT_CORNERS, bounding_box, longest_side, scene_from_world
from maquette.geometry.cameras import (
    azimuth_of,
    intrinsics_from_fov,
    look_at,
    moved,
    project,
    resized,
)
from maquette.geometry.polygons import doubled_normals
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.render.lighting import Lighting, dome, random_lighting
from maquette.render.rasterize import RenderBuffers, rasterize
from maquette.types import Camera

# In scene units: depths are trained relative to that of the scene's centre, as logarithms.
NEAREST_CENTRE = 0.2


@dataclass(frozen=True, eq=False)
class View:
    """One picture and its truth; the scene frame is view-centric and computed over the kept
    placements.
    """

    image: np.ndarray  # (H, W, 3) uint8, sRGB
    # (H, W) float32 z-depth in scene units, ground and walls included; inf where nothing
    depth: np.ndarray
    normal: np.ndarray  # (H, W, 3) float32 unit, scene frame; 0 where nothing
    instance: np.ndarray  # (H, W) int32, 0 = background, k + 1 = placements[k]
    camera: Camera  # pose in the scene frame
    scene_from_world: np.ndarray  # (4, 4) float64, a similarity with yaw
    placements: tuple[Placement, ...]  # the kept ones, in the world frame
    ground_height: float  # y of the ground in the scene frame


@dataclass(frozen=True)
class ViewConfig:
    """Ranges of cameras, light and surroundings."""

    size: int = 128  # pixels, square
    elevation: tuple[float, float] = (5.0, 60.0)  # degrees above the horizon
    field_of_view: tuple[float, float] = (20.0, 75.0)  # degrees, vertical, log-uniform
    fill: tuple[float, float] = (0.5, 0.97)  # share of the frame that the scene spans
    off_centre: float = 0.6  # probability that the scene is not in the middle of the frame
    cut: float = 0.2  # probability that the frame may cut objects
    # probability that a visible object counts as background, as when a user leaves it out
    unmasked: float = 0.06
    # the same for what is out of a scene's focus, such as the table in a close-up
    unmasked_support: float = 0.7
    # an object seen by fewer pixels, or by a smaller share of them, is dropped
    least_pixels: int = 12
    least_share: float = 0.0005
    ground: float = 0.9  # probability of a ground
    # probability of a wall behind the scene, where there is a ground and no room
    wall: float = 0.35
    soft_light: float = 0.6  # probability of a wide light, with soft shadows
    sky_directions: int = 12  # of ambient occlusion, a multiple of four
    attempts: int = 20  # cameras tried until one sees an object


@dataclass(frozen=True, eq=False)
class StagedScene:
    """A scene ready to be seen: merged geometry and the shadows of one light."""

    scene: ComposedScene
    library: Catalogue
    geometry: SceneGeometry
    corners: np.ndarray  # (P, 8, 3) float64, boxes of the placements, world frame
    lighting: Lighting
    sun: ShadowMaps
    sky: ShadowMaps

    @property
    def radius(self) -> float:
        """Half the longest side of the scene's box on the floor, world units."""
        east, _, south = np.ptp(self.corners.reshape(-1, 3), axis=0)
        return 0.5 * float(max(east, south))

    @property
    def focus(self) -> np.ndarray:
        """(N, 3) corners of the boxes that cameras are fitted to."""
        return self.corners[list(self.scene.focus) or slice(None)].reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class _Shot:
    """What one camera sees of a scene."""

    camera: Camera  # pose in the world frame
    faces: np.ndarray  # (F, 3) without the walls that are seen from behind
    owners: np.ndarray  # (F,) placement of each face, -1 = wall
    truth: RenderBuffers  # at the pixel centres


def boxes_in_scene(view: View, library: LibraryLike) -> np.ndarray:
    """(K, 2, 3) boxes of a view's placements in its scene frame, hidden parts included."""

    def box(placement: Placement) -> np.ndarray:
        scene_from_asset = view.scene_from_world @ placement.world_from_asset
        vertices = library.asset(placement.asset).vertices
        return bounding_box(transform_points(scene_from_asset, vertices))

    return np.stack([box(placement) for placement in view.placements])


def sample_view(
    scene: ComposedScene,
    library: LibraryLike,
    rng: Generator,
    config: ViewConfig | None = None,
) -> View:
    """One random view; InputError when no camera of many sees any object."""
    return sample_views(scene, library, rng, 1, config)[0]


def sample_views(
    scene: ComposedScene,
    library: LibraryLike,
    rng: Generator,
    count: int,
    config: ViewConfig | None = None,
) -> tuple[View, ...]:
    """``count`` random views under one light; ground, surroundings and the light's colour differ
    from view to view.
    """
    config = config or ViewConfig()
    staged = stage(scene, library, rng, config)
    return tuple(_one_view(staged, rng, config) for _ in range(count))


def stage(
    scene: ComposedScene,
    library: LibraryLike,
    rng: Generator,
    config: ViewConfig,
) -> StagedScene:
    """Merge the scene's meshes and draw the shadow maps of a random light; walls cast no shadows,
    as if the light came from the room.
    """
    catalogue = Catalogue.of(library)
    geometry = merge_geometry(scene, catalogue)
    casters = geometry.faces[geometry.face_instance >= 0]
    vertices = geometry.vertices[: geometry.starts[-1]]
    lighting = random_lighting(rng)
    if rng.random() < config.soft_light:
        directions = around(lighting.direction, rng.uniform(0.06, 0.35), 8)
        sun = stacked_shadow_maps(vertices, casters, directions, 160)
    else:
        sun = stacked_shadow_maps(vertices, casters, around(lighting.direction, 0.008, 4), 256)
    sky = stacked_shadow_maps(vertices, casters, dome(config.sky_directions), 96)
    boxes = [UNIT_CORNERS * catalogue.extents[p.asset] for p in scene.placements]
    placed = [transform_points(p.world_from_asset, b) for p, b in zip(scene.placements, boxes)]
    return StagedScene(scene, catalogue, geometry, np.stack(placed), lighting, sun, sky)


def _one_view(staged: StagedScene, rng: Generator, config: ViewConfig) -> View:
    """Cameras are drawn until one sees an object; InputError when none of them does."""
    for _ in range(config.attempts):
        shot = _shoot(staged, sample_camera(staged.focus, rng, config))
        kept = _kept(shot.truth.instance, staged.scene, rng, config)
        if len(kept):
            image = _picture(staged, shot, rng, config)
            view = _in_scene_frame(staged, shot, kept, *image)
            _, depth_of_centre = project(view.camera, np.zeros(3))
            if depth_of_centre > NEAREST_CENTRE:
                return view
    raise InputError(
        f"none of {config.attempts} cameras sees an object of {config.least_pixels} pixels; "
        "use a larger view size"
    )


def _shoot(staged: StagedScene, camera: Camera) -> _Shot:
    """What a camera sees; walls that turn their backs to it are left out."""
    geometry = staged.geometry
    faces = geometry.faces
    owners = geometry.face_instance
    if staged.scene.shell is not None:
        towards = camera.position.astype(np.float32) - geometry.vertices[faces[:, 0]]
        facing = np.einsum("fc,fc->f", doubled_normals(geometry.vertices, faces), towards) > 0.0
        seen = (owners >= 0) | facing
        faces = faces[seen]
        owners = owners[seen]
    truth = rasterize(geometry.vertices, faces, camera, face_instance=owners)
    return _Shot(camera, faces, owners, truth)


def _kept(
    instance: np.ndarray,
    scene: ComposedScene,
    rng: Generator,
    config: ViewConfig,
) -> np.ndarray:
    """Placements (K,) that are visible enough, less those left out as unmasked; one at least stays
    when any is visible.
    """
    pixels = np.bincount(instance[instance >= 0], minlength=len(scene.placements))
    least = max(config.least_pixels, config.least_share * instance.size)
    visible = np.flatnonzero(pixels >= least)
    in_focus = np.isin(visible, scene.focus) | (not scene.focus)
    left_out = np.where(in_focus, config.unmasked, config.unmasked_support)
    masked = visible[rng.random(len(visible)) >= left_out]
    return masked if len(masked) else visible


# ---- cameras


def sample_camera(corners: np.ndarray, rng: Generator, config: ViewConfig) -> Camera:
    """Draw an upright camera, anywhere around points (N, 3) above the floor, that sees them at the
    drawn size in the frame.
    """
    azimuth = any_yaw(rng)
    lowest, highest = config.elevation
    elevation = math.radians(lowest + (highest - lowest) * rng.beta(1.5, 2.0))
    narrowest, widest = map(math.log, config.field_of_view)
    field_of_view = math.radians(math.exp(rng.uniform(narrowest, widest)))
    fill = float(rng.uniform(*config.fill))
    offset = np.zeros(2)
    if rng.random() < config.off_centre:
        offset = rng.uniform(-1.0, 1.0, 2) * (1.0 - fill)
    if rng.random() < config.cut:
        fill = fill * float(rng.uniform(1.0, 1.35))
        offset = offset + rng.uniform(-0.3, 0.3, 2)
    flat = math.cos(elevation)
    away = (flat * math.sin(azimuth), math.sin(elevation), flat * math.cos(azimuth))
    rotation = look_at(np.array(away), np.zeros(3))[:3, :3]
    half_frame = math.tan(0.5 * field_of_view)
    position = fit_position(corners, rotation, half_frame * fill, half_frame * offset)
    lowest_place = 0.03 * longest_side(corners)  # above the floor
    position[1] = max(position[1], lowest_place)
    intrinsics = intrinsics_from_fov(field_of_view, config.size, config.size)
    return Camera(intrinsics, similarity(1.0, rotation, position), config.size, config.size)


def fit_position(
    points: np.ndarray,
    world_from_camera: np.ndarray,
    half_span: float,
    offset: np.ndarray,
) -> np.ndarray:
    """(3,) the nearest place for a camera with rotation (3, 3) from which points (N, 3) lie within
    `half_span` of `offset` (2,), tangents.

    A point at (x, z) in camera axes is to the left of the slope r = offset + half_span when x - p_x
    <= r (z - p_z), and so on for the other three sides. Each pair of sides meets in one line of
    places; the farther of the two lines is taken.
    """
    local = points @ world_from_camera  # camera axes, origin of the world
    low = offset - half_span
    high = offset + half_span
    right = (local[:, :2] - high * local[:, 2:]).max(0)  # p >= right + high * p_z
    left = (local[:, :2] - low * local[:, 2:]).min(0)  # p <= left + low * p_z
    z = float(((left - right) / (high - low)).min())
    return world_from_camera @ np.append(0.5 * (right + high * z + left + low * z), z)


# ---- pictures


def _picture(
    staged: StagedScene,
    shot: _Shot,
    rng: Generator,
    config: ViewConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8, depth (H, W) and normal (H, W, 3) float32 in the world frame."""
    fine = resized(shot.camera, 2 * config.size, 2 * config.size)
    buffers = rasterize(
        staged.geometry.vertices,
        shot.faces,
        fine,
        vertex_colors=staged.geometry.colors,
        face_instance=shot.owners,
        vertex_normals=staged.geometry.normals,
    )
    surfaces = _surroundings(staged, shot.camera, rng, config)
    backdrop = linear(random_backdrop(rng, config.size, config.size))
    lighting = _coloured(staged.lighting, surfaces, rng)
    material = _materials(len(staged.scene.placements), staged.radius, rng)
    light = illuminate(
        buffers, fine, surfaces, backdrop, lighting, staged.sun, staged.sky, material
    )
    exposure = math.exp(rng.uniform(math.log(0.1), math.log(0.38)))
    image = develop(light, exposure, float(rng.uniform(0.45, 0.95)))
    return image, *add_surfaces(shot.truth, shot.camera, surfaces)


def _surroundings(
    staged: StagedScene,
    camera: Camera,
    rng: Generator,
    config: ViewConfig,
) -> tuple[Surface, ...]:
    """Draw the ground, and one or two walls behind the scene."""
    shell = staged.scene.shell
    if shell is None and rng.random() >= config.ground:
        return ()
    surfaces = [random_ground(rng, staged.radius)]
    if shell is not None or rng.random() >= config.wall:
        return tuple(surfaces)
    eastward, southward = camera.world_from_camera[[0, 2], 2]
    to_camera = math.atan2(eastward, southward) + math.pi  # azimuth, from the scene
    turn = rng.uniform(-0.5, 0.5)
    corner = 0.5 * math.pi * rng.choice([-1.0, 1.0])
    for azimuth in (to_camera + turn, to_camera + (turn + corner))[: int(rng.integers(1, 3))]:
        towards = np.array([math.sin(azimuth), 0.0, math.cos(azimuth)])
        behind = float((staged.corners.reshape(-1, 3) @ -towards).max())
        gap = staged.radius * float(rng.exponential(0.4) + 0.02)
        wall = random_wall(rng, towards, behind + gap, staged.radius)
        if towards @ camera.position > -behind:
            surfaces.append(wall)
    return tuple(surfaces)


def _coloured(lighting: Lighting, surfaces: tuple[Surface, ...], rng: Generator) -> Lighting:
    """Return the light with another colour and, above a ground, with the ground's colour in what
    comes from below.
    """
    level = math.exp(rng.normal(0.0, 0.15))
    shade = rng.uniform(0.45, 1.0)  # of the sky: how deep the shadows are
    tint = 1.0 + rng.uniform(0.0, 0.12) * rng.standard_normal(3)
    ground = lighting.ground
    if surfaces:
        received = 0.6 * shade * lighting.sky + 0.35 * lighting.key
        ground = 0.25 * shade * lighting.ground + linear(surfaces[0].mean) * received
    return dataclasses.replace(
        lighting,
        key=level * lighting.key * tint,
        sky=level * shade * lighting.sky,
        ground=level * ground,
    )


def _materials(count: int, radius: float, rng: Generator) -> Material:
    """Matt, satin or polished, smooth or with a fine texture, for the ground and each of ``count``
    placements.
    """
    kinds = count + 1
    shiny = rng.random(kinds) < 0.35
    specular = np.where(shiny, rng.uniform(0.02, 0.35, kinds), 0.0)
    specular[0] *= 0.2
    gloss = _log_uniform(rng, 6.0, 120.0, kinds)
    rough = rng.random(kinds) < 0.45
    grain = np.where(rough, rng.uniform(0.02, 0.1, kinds), 0.0)
    frequency = _log_uniform(rng, 0.7, 5.0, kinds) / max(radius, 1e-6)
    cells = int(rng.choice([2, 4, 8]))
    stretched = cells * int(rng.choice([1, 1, 4]))
    tile = tiling_noise(rng, (cells, stretched), 6, float(rng.uniform(0.6, 0.95)))
    return Material(*(a.astype(np.float32) for a in (specular, gloss, grain, frequency, tile)))


def _log_uniform(
    rng: Generator,
    low: float,
    high: float,
    count: int,
) -> np.ndarray:
    """Numbers whose logarithms are uniform between those of low and high."""
    return np.exp(rng.uniform(math.log(low), math.log(high), count))


# ---- the scene frame


def frame_of(placements: tuple[Placement, ...], library: LibraryLike, azimuth: float) -> np.ndarray:
    """(4, 4) scene_from_world: turn by ``azimuth``, then centre the exact box of the placed meshes
    and make its longest side 1.
    """
    yaw = rotation_y(azimuth)
    placed = [placed_vertices(library, p).astype(np.float64) for p in placements]
    boxes = np.concatenate([bounding_box(vertices @ yaw.T) for vertices in placed])
    return scene_from_world(bounding_box(boxes), yaw)


def _in_scene_frame(
    staged: StagedScene,
    shot: _Shot,
    kept: np.ndarray,
    image: np.ndarray,
    depth: np.ndarray,
    normal: np.ndarray,
) -> View:
    """Move what was rendered in the world frame to the scene frame of the kept placements, and
    number these from 1.
    """
    placements = tuple(staged.scene.placements[k] for k in kept)
    matrix = frame_of(placements, staged.library, azimuth_of(shot.camera))
    scale = float(np.linalg.norm(matrix[:3, 0]))
    turn = (matrix[:3, :3] / scale).astype(np.float32)
    # the last entry stays 0: instance -1 is the background
    labels = np.zeros(len(staged.scene.placements) + 1, np.int32)
    labels[kept] = np.arange(1, len(kept) + 1)
    instance = labels[shot.truth.instance]
    depth = (depth * np.float32(scale)).astype(np.float32)
    normal = (normal @ turn.T).astype(np.float32)
    camera = moved(shot.camera, matrix)
    return View(image, depth, normal, instance, camera, matrix, placements, float(matrix[1, 3]))
