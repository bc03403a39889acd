"""Pictures of a result for people: ``render_scene`` is one view in a soft studio, ``preview`` the
sheet that shows all at a glance, ``comparison`` several results of one photo side by side.

Last module of the rendering; nothing here influences the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maquette.errors import InputError
from maquette.geometry.cameras import azimuth_of, intrinsics_from_fov, look_at, resized
from maquette.geometry.transforms import rotation_y, similarity
from maquette.masks.overlay import instance_color
from maquette.photos.pixels import scaled_size
from maquette.render.assemble import SceneMesh, assemble, vertex_normals
from maquette.render.lighting import Lighting, dome, studio_lighting
from maquette.render.overlay import fit_photo, mask_overlay
from maquette.render.rasterize import rasterize
from maquette.render.shade import albedo_for, shade, with_ground_plane
from maquette.render.shadows import ShadowMap, shadow_maps
from maquette.render.texture import textured_albedo
from maquette.types import Camera, Scene, SceneInput, making_seconds

PAPER = (247, 246, 243)
INK = (58, 58, 60)
FAINT = (142, 141, 138)
BACKDROP = 241.0  # brightest grey of the studio
FILL = 0.84  # share of the frame that the turntable's scene takes
ELEVATION = np.deg2rad(24.0)  # of the turntable
ABOVE = np.deg2rad(40.0)  # of the view of what is around
FIELD_OF_VIEW = np.deg2rad(28.0)  # of the turntable, vertical
TURNS = (
    ("from the right", 55.0),
    ("from behind", 180.0),
    ("from the left", -55.0),
)  # degrees about +Y from the photo's view
# A sheet is for a glance, and takes no more than a tenth of the time that its scene takes.
SHEET_SUPERSAMPLE = 1.5
SHEET_DIRECTIONS = 32  # of the sky
GAP = 28  # between tiles, pixels
MARGIN = 48  # around the sheet
CAPTION = 38  # height of a line of text under a tile
LEGEND = 26  # height of a line of the legend
DOT = 12  # width of a dot in it
ENTRY = 640  # least width of a column of it
NAME = 20  # letters of a name that it has room for
EXPECTED = "How right each shape is likely to be:"


@dataclass(frozen=True, eq=False)
class _SharedByViews:
    """What all views of one scene share."""

    mesh: SceneMesh
    normals: np.ndarray  # (V, 3) float32
    ground_height: float
    sky: tuple[ShadowMap, ...]


def render_scene(
    scene: Scene,
    camera: Camera | None = None,
    size: tuple[int, int] | None = None,
    *,
    supersample: int = 2,
    lighting: Lighting | None = None,
) -> np.ndarray:
    """One anti-aliased view of the scene on a soft studio background: (height, width, 3) uint8.

    ``camera`` is by default the scene's own, ``size`` (width, height) the camera's, ``lighting``
    calm studio light from the upper left.
    """
    scene = scene.visible()
    camera = scene.camera if camera is None else camera
    width, height = size or camera.size
    return _render(_stage(scene), resized(camera, width, height), supersample, lighting)


def render_views(
    scene: Scene, cameras: Sequence[Camera], *, supersample: int = 2
) -> list[np.ndarray]:
    """Several views as ``render_scene`` draws them, each of its camera's size; what they share is
    made once.
    """
    stage = _stage(scene)
    return [_render(stage, camera, supersample) for camera in cameras]


def orbit_cameras(
    points: np.ndarray,
    azimuths: Sequence[float],
    width: int,
    height: int,
    elevation: float = ELEVATION,
) -> list[Camera]:
    """Cameras at ``azimuths`` radians about +Y (0 = looking along -Z) and of one scale that see all
    points (N, 3) with a margin.
    """
    intrinsics = intrinsics_from_fov(FIELD_OF_VIEW, width, height)
    tangent = 0.5 * FILL * np.array([width, height]) / intrinsics[0, 0]
    frames = []
    distances = []
    for azimuth in azimuths:
        away = rotation_y(azimuth) @ np.array([0.0, np.sin(elevation), np.cos(elevation)])
        axes = look_at(away, np.zeros(3))[:3, :3]  # right, down, forward as columns
        local = points @ axes if len(points) else np.zeros((1, 3))
        # Lines of sight along the frame's borders touch the outermost points; the camera stands
        # where those of the tighter axis meet.
        upper = (local[:, :2] - tangent * local[:, 2:]).max(0)
        lower = (local[:, :2] + tangent * local[:, 2:]).min(0)
        distances.append(float(((upper - lower) / (2.0 * tangent)).max()))
        frames.append((axes, 0.5 * (upper + lower)))
    places = [np.array([*centre, -max(distances)]) for _, centre in frames]
    poses = [similarity(1.0, axes, axes @ place) for (axes, _), place in zip(frames, places)]
    return [Camera(intrinsics, pose, width, height) for pose in poses]


def preview(scene: Scene, tile_height: int = 320) -> np.ndarray:
    """The whole story in one picture, (H, W, 3) uint8: photo, masks, the result from the same
    camera, three other sides, and what is to be expected of each shape, where that is known.

    Without ``scene.input`` the first two are left out; where something is around the objects, two
    show it. ``tile_height`` in pixels; tiles take the photo's shape within limits.
    """
    scene = scene.visible()
    stage = _stage(scene, SHEET_DIRECTIONS)
    width, height = _tile_size(scene.camera, tile_height)
    front = -azimuth_of(scene.camera)
    azimuths = [front + np.deg2rad(turn) for _, turn in TURNS]
    cameras = orbit_cameras(stage.mesh.vertices, azimuths, width, height)
    tiles = [] if scene.input is None else _input_tiles(scene.input, width, height)
    columns = 3 if tiles else 2
    same = _filling(scene.camera, width, height)
    tiles.append(("3D scene, same camera", _tile(stage, same)))
    turned = [
        (name, _tile(stage, camera)) for (name, _), camera in zip(TURNS, cameras, strict=True)
    ]
    if scene.around:
        columns += len(tiles) == columns
        around = _stage(replace(scene, instances=scene.everything), SHEET_DIRECTIONS)
        (above,) = orbit_cameras(around.mesh.vertices, [front], width, height, ABOVE)
        tiles.append(("with what is around", _tile(around, same)))
        turned.append(("the same from above", _tile(around, above)))
    tiles += turned
    expected = _expected(scene, columns * (width + GAP) - GAP)
    return np.asarray(_sheet(tiles, columns, *_footer(scene), expected))


def comparison(scenes: Mapping[str, Scene], tile_height: int = 300) -> np.ndarray:
    """Several results of one photo in one picture, (H, W, 3) uint8, a column each under its name.

    Above from the photo's camera, below from the right; the first column is the photo and its
    masks. InputError when there are no scenes, or the first one has no input.
    """
    first = next(iter(scenes.values()), None)
    if first is None or first.input is None:
        raise InputError(
            f"{len(scenes)} scenes{'' if first is None else ', the first without its photo'}; "
            "expected at least one, made from a photo"
        )
    width, height = _tile_size(first.camera, tile_height)
    above, below = ([tile] for tile in _input_tiles(first.input, width, height))
    for name, scene in scenes.items():
        stage = _stage(scene.visible())
        side, turn = TURNS[0]
        azimuth = np.deg2rad(turn) - azimuth_of(scene.camera)
        (camera,) = orbit_cameras(stage.mesh.vertices, [azimuth], width, height)
        above.append((name, _tile(stage, _filling(scene.camera, width, height))))
        below.append((side, _tile(stage, camera)))
    return np.asarray(_sheet(above + below, len(above), "maquette", ""))


def _stage(scene: Scene, directions: int = 64) -> _SharedByViews:
    """What all pictures of a scene share: mesh, normals, ground, shadows of the sky."""
    mesh = assemble(scene.instances)
    # The ground never cuts an object off: a slightly wrong estimate must not hide what was made.
    lowest = float(mesh.vertices[:, 1].min()) if len(mesh.vertices) else scene.ground_height
    ground = min(scene.ground_height, lowest)
    sky = shadow_maps(mesh.vertices, mesh.faces, dome(directions), 128)
    return _SharedByViews(mesh, vertex_normals(mesh.vertices, mesh.faces), ground, sky)


def _tile_size(camera: Camera, height: int) -> tuple[int, int]:
    aspect = float(np.clip(camera.width / camera.height, 0.75, 1.6))
    return round(aspect * height), height


def _tile(stage: _SharedByViews, camera: Camera) -> Image.Image:
    return Image.fromarray(_render(stage, camera, SHEET_SUPERSAMPLE))


def _render(
    stage: _SharedByViews,
    camera: Camera,
    supersample: float = 2,
    lighting: Lighting | None = None,
) -> np.ndarray:
    """Draw ``supersample`` times larger, light it, put shadows on the backdrop, and average."""
    lighting = studio_lighting(-azimuth_of(camera)) if lighting is None else lighting
    large = resized(camera, round(supersample * camera.width), round(supersample * camera.height))
    mesh = stage.mesh
    buffers = rasterize(
        mesh.vertices, mesh.faces, large, vertex_colors=mesh.colors, vertex_normals=stage.normals
    )
    buffers = replace(buffers, albedo=textured_albedo(buffers, mesh, large))
    backdrop = _backdrop(*large.size)
    if camera.position[1] > stage.ground_height:
        # A floor whose lit colour is the backdrop's: only the shadows on it show.
        distance = np.linalg.norm(lighting.direction)
        light = lighting.sky + lighting.key * lighting.direction[1] / distance
        buffers = with_ground_plane(
            buffers, large, stage.ground_height, albedo_for(backdrop, light)
        )
    (sun,) = shadow_maps(mesh.vertices, mesh.faces, lighting.direction[None], 512)
    image = shade(
        buffers,
        large,
        lighting,
        sun=sun,
        sky=stage.sky,
        supersampled=supersample > 1,
        background=backdrop,
    )
    return np.asarray(Image.fromarray(image).resize(camera.size, Image.Resampling.BOX))


@lru_cache(maxsize=1)  # all views of a sheet have the same
def _backdrop(width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: paper that gets a little darker towards the bottom and
    the corners.
    """
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    from_centre = x * x + y * y
    darker = np.clip(0.5 + 0.3 * y + 0.2 * (from_centre - 0.5), 0.0, 1.0)
    grey = BACKDROP - 20.0 * darker
    # rounding at random: no visible steps
    grey += np.random.default_rng(0).random((height, width), np.float32)
    return grey.astype(np.uint8)[..., None] + np.array([1, 1, 0], np.uint8)


def _fitted(
    width: int,
    height: int,
    into_width: int,
    into_height: int,
) -> tuple[int, int]:
    """Size (width, height) of a picture scaled to fit into a frame."""
    return scaled_size((width, height), min(into_width / width, into_height / height))


def _filling(camera: Camera, width: int, height: int) -> Camera:
    """The camera fitted into a frame of another shape as a photo is, but seeing also what lies in
    the frame beside the photo.
    """
    inner = resized(camera, *_fitted(camera.width, camera.height, width, height))
    shift = np.eye(3)
    shift[:2, 2] = (width - inner.width) // 2, (height - inner.height) // 2
    return Camera(shift @ inner.intrinsics, inner.world_from_camera, width, height)


def _input_tiles(given: SceneInput, width: int, height: int) -> list[tuple[str, Image.Image]]:
    """The photo, and the photo with its masks, on neutral tiles where their shape leaves room."""
    image = given.image
    inner = _fitted(image.shape[1], image.shape[0], width, height)
    corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    pictures = {
        "photo": fit_photo(image, *inner),
        _counted(len(given.masks), "mask"): mask_overlay(image, given.masks, *inner),
    }
    tiles = []
    for caption, picture in pictures.items():
        tile = Image.new("RGB", (width, height), (232, 231, 228))
        tile.paste(picture, corner)
        tiles.append((caption, tile))
    return tiles


def _counted(count: int, thing: str) -> str:
    """A number with its noun: 1 mask, 3 masks."""
    return f"{count} {thing}" + "s" * (count != 1)


def _sheet(
    tiles: Sequence[tuple[str, Image.Image]],
    columns: int,
    left: str,
    right: str,
    legend: Image.Image | None = None,
) -> Image.Image:
    """Arrange captioned tiles of one size in rows, with a legend and a footer."""
    width, height = tiles[0][1].size
    rows = -(-len(tiles) // columns)
    across = width + GAP
    down = height + CAPTION + GAP // 2
    sheet_width = 2 * MARGIN + columns * across - GAP
    tiles_end = MARGIN + rows * (height + CAPTION) + (rows - 1) * GAP // 2
    sheet_height = tiles_end + (legend.height + GAP // 2 if legend else 0) + 84
    sheet = Image.new("RGB", (sheet_width, sheet_height), PAPER)
    pen = ImageDraw.Draw(sheet)
    corners = _rounded(width, height, 16)
    caption_font = ImageFont.load_default(size=18)
    for index, (caption, tile) in enumerate(tiles):
        row, column = divmod(index, columns)
        x = MARGIN + column * across
        y = MARGIN + row * down
        sheet.paste(tile, (x, y), corners)
        pen.text((x + 4, y + height + 11), caption, font=caption_font, fill=INK)
    if legend:
        sheet.paste(legend, (MARGIN, tiles_end + GAP // 2))
    _write_footer(sheet, left, right)
    return sheet


def _write_footer(sheet: Image.Image, left: str, right: str) -> None:
    """Two texts under a rule, at the lower end of a sheet."""
    pen = ImageDraw.Draw(sheet)
    baseline = sheet.height - 30
    end = sheet.width - MARGIN
    rule = baseline - 34
    pen.line((MARGIN, rule, end, rule), fill=(226, 225, 221), width=1)
    font = ImageFont.load_default(size=17)
    for text, x, anchor in ((left, MARGIN + 4, "ls"), (right, end - 4, "rs")):
        pen.text((x, baseline), text, font=font, fill=FAINT, anchor=anchor)


def _rounded(width: int, height: int, radius: int) -> Image.Image:
    """A smooth mask of a rectangle with round corners."""
    large = (4 * width, 4 * height)
    mask = Image.new("L", large, 0)
    corner = (large[0] - 1, large[1] - 1)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *corner), 4 * radius, fill=255)
    return mask.reduce(4)


def _expected(scene: Scene, width: int) -> Image.Image | None:
    """What to expect of each shape: a dot of its mask's colour, the number in its mask, its name,
    its F-score in per cent, and what speaks against it. None where nothing is known.
    """
    known = [(one, one.estimate) for one in scene.instances if one.estimate is not None]
    if not known:
        return None
    columns = max(1, width // ENTRY)
    rows = -(-len(known) // columns)
    picture = Image.new("RGB", (width, (rows + 1) * LEGEND), PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=17)
    pen.text((4, LEGEND // 2), EXPECTED, font=font, fill=FAINT, anchor="lm")
    dot = _rounded(DOT, DOT, DOT // 2)
    for index, (one, estimate) in enumerate(known):
        column, row = divmod(index, rows)
        x = 4 + column * width // columns
        y = (row + 1) * LEGEND + LEGEND // 2
        picture.paste(instance_color(one.label), (x, y - DOT // 2), dot)
        shown = f"{one.label} {one.name[:NAME]}".strip()
        score = f"{shown}  {100 * estimate.f_score:.0f} %"
        pen.text((x + 2 * DOT, y), score, font=font, fill=INK, anchor="lm")
        end = x + 3 * DOT + font.getlength(score)
        pen.text((end, y), estimate.reason, font=font, fill=FAINT, anchor="lm")
    return picture


def _footer(scene: Scene) -> tuple[str, str]:
    """Text for the left and the right of the footer, from what the provenance holds."""
    method = scene.provenance.get("method")
    seconds = scene.provenance.get("seconds")
    right = [_counted(len(scene.instances), "object")]
    for surface in scene.around:
        sure = "" if np.isnan(surface.confidence) else f" {100 * surface.confidence:.0f} %"
        right.append(f"{surface.node_name}{sure}")
    if scene.failures:
        right.append(f"{len(scene.failures)} failed")
    if seconds:
        right.append(f"{making_seconds(seconds):.1f} s")
    left = f"maquette · {method}" if method else "maquette"
    return left, " · ".join(right)
