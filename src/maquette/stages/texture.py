"""The photo as the texture of a mesh: its own crop is the atlas, nothing is unwrapped.

In the flow: a mesh in the scene frame + Closeup -> the same mesh with a texture. Every vertex that
the photo shows reads its own pixel; every other one reads where the nearest shown ones do, or
those nearest to its mirror images where the object follows planes (mirror.py). A face
reads one of several copies of the crop, the blurrier the less the photo shows of it, and all copies
are packed into one picture. Vertices are split where faces of different copies meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import trimesh
from PIL import Image
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree
from trimesh.visual.material import SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.geometry.boxes import longest_side
from maquette.geometry.cameras import pixels_at, project, resized
from maquette.geometry.transforms import unit_vectors
from maquette.photos.pixels import nearest_inside
from maquette.render.rasterize import checked_mesh, draw, pixel_from_world
from maquette.stages.closeup import Closeup, middle_lines
from maquette.stages.mirror import MirrorPlane
from maquette.types import Camera, arrays_of

# standard deviation of each copy's blur, in square roots of the mask's area, and its scale
BLURS = (0.0, 0.012, 0.04, 0.1)
NEAR = (
    0.015,
    0.06,
)  # within these distances (extents) of what is shown a hidden face is less blurred
# extents: a face with such an edge and a hidden corner is as blurred as can be, for what is between
# its corners in the photo is none of it
LONG = 0.06
CLEARLY, HARDLY = 0.5, 0.2  # shares of a face that the photo shows
GRAZING, FACING = 0.12, 0.4  # cosines at which a surface begins to be shown, and is
BEHIND = 0.012  # extents behind the foremost surface at which a point begins to be hidden
IMAGED = 0.03  # extents: as near to shown surface a mirror image takes its colours
# Heights count more than places around a thing, for colours change along the upright: those of the
# hidden points of 163 training objects are off by 8.5 of 255 instead of 11.4 (3: 9.3, 20: 8.2)
BANDS = np.array([1.0, 8.0, 1.0])
NEIGHBOURS = 120  # shown vertices that a hidden one takes its place from
NEARNESS = 4  # power of the distance, by which the nearer ones count more
LEAST_SHOWN = 8  # vertices; with fewer there is no texture
LEAST_SIDE = 4  # pixels of a copy
GUTTER = 2  # pixels between copies
WHITE = np.full(4, 255, np.uint8)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Copies of one picture in a larger one."""

    image: np.ndarray  # (H, W, 3) uint8
    corners: np.ndarray  # (4, 2) left and top of each copy
    scales: np.ndarray  # (4, 2) pixels of a copy per pixel of the first one


def textured(
    mesh: trimesh.Trimesh,
    seen: Closeup,
    mirrors: Sequence[MirrorPlane] = (),
) -> trimesh.Trimesh:
    """The mesh (scene frame) with the photo as its texture, on the side that the photo does not
    show as mirror planes (scene frame) mirror it; as it is when the photo shows next to nothing of
    it.
    """
    vertices, faces = arrays_of(mesh)
    sight = ShownMesh.of(mesh, seen)
    normals = np.asarray(mesh.vertex_normals)
    shown = sight.share(vertices, normals)
    if (shown > CLEARLY).sum() < LEAST_SHOWN:
        return mesh
    sources, shown = _sources(vertices, normals, shown, mirrors, sight)
    pixel, _ = project(seen.camera, sources)
    place = _places(sources, np.clip(pixel, 0, seen.camera.size), shown > CLEARLY)
    copy = _copies_of_faces(vertices, faces, sources, shown)
    atlas = pack(_filled_from_inside(seen), seen.mask)
    split, corner = np.unique(faces * len(BLURS) + copy[:, None], return_inverse=True)
    vertex, level = np.divmod(split, len(BLURS))
    pixels = atlas.corners[level] + place[vertex] * atlas.scales[level]
    height, width = atlas.image.shape[:2]
    # as glTF has them; the last bits of the products above differ from process to process
    uv = (pixels / (width, height) * (1, -1) + (0, 1)).astype(np.float32)
    image = Image.fromarray(atlas.image)
    visual = TextureVisuals(uv=uv, material=SimpleMaterial(image=image, diffuse=WHITE))
    return trimesh.Trimesh(vertices[vertex], corner.reshape(-1, 3), visual=visual, process=False)


@dataclass(frozen=True, eq=False)
class ShownMesh:
    """What a photo shows of a mesh."""

    seen: Closeup
    camera: Camera  # of pixels half as large
    depth: np.ndarray  # (H, W) of the mesh; 0 = nothing
    foremost: np.ndarray  # (H, W) the same, at edges that of what is behind
    tolerance: float  # behind it, at which a point begins to be hidden

    @classmethod
    def of(cls, mesh: trimesh.Trimesh, seen: Closeup) -> ShownMesh:
        """Draw it."""
        camera = resized(seen.camera, 2 * seen.camera.width, 2 * seen.camera.height)
        drawn = checked_mesh(np.asarray(mesh.vertices), mesh.faces)
        inverse, _, _ = draw(*drawn, pixel_from_world(camera), *camera.size)
        with np.errstate(divide="ignore"):
            depth = np.where(inverse > 0, 1 / inverse, 0)
        tolerance = BEHIND * longest_side(mesh.vertices)
        return cls(seen, camera, depth, maximum_filter(depth, 3), tolerance)

    def share(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N,) in [0, 1] how well the photo shows points (N, 3) of surfaces with normals (N, 3):
        inside the mask, facing the camera, hidden by nothing of the mesh.
        """
        pixel, depth = project(self.camera, points)
        towards = unit_vectors(self.camera.position - points)
        cosine = (normals * towards).sum(1)
        slope = ((cosine - GRAZING) / (FACING - GRAZING)).clip(0, 1)
        facing = slope * slope * (3 - 2 * slope)
        x, y = pixels_at(self.camera, pixel)
        behind = (depth - self.foremost[y, x]) / self.tolerance
        unhidden = np.clip(2 - behind, 0, 1)
        inwards = self.seen.inwards()[y // 2, x // 2]
        within = np.clip(inwards + 0.5, 0, 1)
        outside = (pixel < 0) | (pixel >= self.camera.size)
        return facing * unhidden * within * ~outside.any(1)

    def is_near(self, points: np.ndarray, reach: float) -> np.ndarray:
        """(N,) bool: whether points (N, 3) are so near the surface that is seen there."""
        pixel, depth = project(self.camera, points)
        x, y = pixels_at(self.camera, pixel)
        return np.abs(depth - self.depth[y, x]) < reach


def _sources(
    vertices: np.ndarray,
    normals: np.ndarray,
    shown: np.ndarray,
    mirrors: Sequence[MirrorPlane],
    sight: ShownMesh,
) -> tuple[np.ndarray, np.ndarray]:
    """Where each vertex (V, 3) looks, and how well that is shown (V,): at itself, or at the first
    of its mirror images that is shown clearly; that in two mirrors is the last.
    """
    ways = [(vertices, normals)]
    for plane in mirrors:
        turn = replace(plane, offset=0.0)
        ways += [(plane.reflect(at), turn.reflect(normal)) for at, normal in ways]
    reach = IMAGED * longest_side(vertices)
    sources = vertices.copy()
    shown = shown.copy()
    for images, turned in ways[1:]:
        share = sight.share(images, turned)
        found = (shown <= CLEARLY) & (share > CLEARLY) & sight.is_near(images, reach)
        sources[found] = images[found]
        shown[found] = share[found]
    return sources, shown


def _places(
    sources: np.ndarray,
    pixel: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """(V, 2) pixels that vertices read: those of their sources (V, 3) that are shown, the others
    the weighted mean of the shown ones nearest to them.
    """
    place = pixel.copy()
    count = min(NEIGHBOURS, shown.sum())
    tree = cKDTree(sources[shown] * BANDS)
    distance, nearest = tree.query(sources[~shown] * BANDS, k=count)
    weight = (distance + 1e-9) ** -NEARNESS
    weight /= weight.sum(1, keepdims=True)
    place[~shown] = np.einsum("nk,nkc->nc", weight, pixel[shown][nearest])
    return place


def _copies_of_faces(
    vertices: np.ndarray,
    faces: np.ndarray,
    sources: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """(F,) the copy that each face reads: 0 where the photo shows it clearly, 1 where hardly, then
    by the distance of its sources (V, 3) to what is shown.
    """
    extent = longest_side(vertices)
    corners = shown[faces]
    share = corners.mean(1)
    centres = sources[faces].mean(1)
    copy = np.full(len(faces), 3)
    clear = share > CLEARLY
    if clear.any():
        distance, _ = cKDTree(centres[clear]).query(centres)
        copy[distance < NEAR[1] * extent] = 2
        copy[(distance < NEAR[0] * extent) | (share > HARDLY)] = 1
        copy[clear] = 0
    is_long = np.ptp(vertices[faces], axis=1).max(1) > LONG * extent
    copy[is_long & (corners.min(1) < CLEARLY)] = 3
    return copy


def _filled_from_inside(seen: Closeup) -> np.ndarray:
    """(H, W, 3) uint8 the photo, in which what lies at the mask's outline or outside has the colour
    of the nearest pixel a little inside: masks are never exact, and textures are blurred.

    Where the mask is thin, its middle line is inside.
    """
    inwards = seen.inwards()
    inside = (inwards > max(1.0, seen.scale / 500)) | middle_lines(seen.mask, inwards)
    return seen.photo[nearest_inside(inside)]


def pack(picture: np.ndarray, mask: np.ndarray) -> Atlas:
    """A picture (H, W, 3) uint8 and below it smaller copies, blurred within ``mask``."""
    full = np.array(picture.shape[1::-1])
    copies = [picture]
    for level, blur in enumerate(BLURS[1:], start=1):
        size = np.maximum(LEAST_SIDE, full // 2**level)
        sigma = blur * np.sqrt(mask.sum()) / 2**level
        copies.append(_blurred(picture, mask, size, sigma))
    sizes = np.array([copy.shape[1::-1] for copy in copies])
    below = full[1] + GUTTER
    lefts = np.cumsum(sizes[1:, 0] + GUTTER) - sizes[1:, 0] - GUTTER
    corners = np.array([(0, 0), *((left, below) for left in lefts)])
    width, height = (corners + sizes).max(0)
    atlas = np.zeros((height, width, 3), np.uint8)
    filled = np.zeros((height, width), bool)
    for copy, (left, top) in zip(copies, corners):
        part = np.s_[top : top + copy.shape[0], left : left + copy.shape[1]]
        atlas[part] = copy
        filled[part] = True
    return Atlas(atlas[nearest_inside(filled)], corners, sizes / full)


def _blurred(
    picture: np.ndarray,
    mask: np.ndarray,
    size: np.ndarray,
    sigma: float,
) -> np.ndarray:
    """The picture at a smaller size (width, height) and blurred there, its pixels outside of the
    mask left out as far as possible.
    """
    inside = np.maximum(mask.astype(np.float32), 1e-4)[..., None]
    weighted = np.dstack([picture * inside, inside])
    small = cv2.resize(weighted, size.tolist(), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), max(sigma, 0.3))
    mean = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-9)
    return np.rint(mean).astype(np.uint8)
