"""Textures and materials -> sRGB colours at vertices, splitting triangles where the picture has
more detail than the mesh.

Used by the importer, between reading a file and cleaning its mesh. Splitting is by edge, so
neighbours split alike.
"""

from __future__ import annotations

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals

from maquette.data.assets import weld
from maquette.document.appearance import appearance_of, bytes_from_linear, vertex_colors_of

# a triangle is split when the texture departs this far from the interpolated colours, in 0..255
_DIFFERENCE = 24.0
_ROUNDS = 5
_TEXTURE_SIDE = 512  # larger textures are reduced first: finer than any mesh of the budget can show

# Triangles that a face becomes, by which of its edges 0-1, 1-2, 2-0 are halved: 0 to 2 are its
# corners, 3 to 5 the middles of these edges.
_PIECES = {
    (1, 0, 0): ((0, 3, 2), (3, 1, 2)),
    (1, 1, 0): ((3, 1, 4), (0, 3, 4), (0, 4, 2)),
    (1, 1, 1): ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)),
}

# vertices (V, 3) float64, faces (F, 3) int64, colours (V, 3) uint8
Soup = tuple[np.ndarray, np.ndarray, np.ndarray]


def baked(mesh: trimesh.Trimesh, face_limit: int, linear_colors: bool = False) -> Soup:
    """Positions, faces and vertex colours of a mesh, with at most ``face_limit`` faces when it has
    fewer before.

    ``linear_colors``: bare vertex colours are linear, as in glTF; other formats have sRGB.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    faces = np.asarray(mesh.faces, np.int64)
    bare = mesh.visual if isinstance(mesh.visual, ColorVisuals) else None  # no material
    if bare is not None and bare.kind == "face":  # every face needs its own corners
        colors = np.repeat(np.asarray(bare.face_colors), 3, axis=0)
        vertices = vertices[faces].reshape(-1, 3)
        faces = np.arange(3 * len(faces)).reshape(-1, 3)
    else:
        appearance = appearance_of(mesh)
        if appearance.image is not None and appearance.uv is not None:
            return _textured(vertices, faces, appearance.uv, appearance.image, face_limit)
        colors = vertex_colors_of(mesh)
    if linear_colors and bare is not None and bare.defined:
        colors = bytes_from_linear(colors / 255)
    return vertices, faces, colors[:, :3]


def _textured(
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    image: Image.Image,
    face_limit: int,
) -> Soup:
    """Triangles split where the texture is detailed, at most to the limit; a colour per vertex."""
    pixels = _pixels(image)
    for _ in range(_ROUNDS):
        wanted = _detailed_edges(vertices, faces, uv, pixels)
        if not wanted.any() or len(faces) + 2 * wanted.any(1).sum() > face_limit:
            break
        (vertices, uv), faces = split_edges((vertices, uv), faces, wanted)
    return vertices, faces, np.rint(_sampled(pixels, uv)).astype(np.uint8)


def _pixels(image: Image.Image) -> np.ndarray:
    """(h, w, 3) float32, reduced to at most _TEXTURE_SIDE; transparent pixels do not bleed because
    alpha is dropped first.
    """
    picture = image.convert("RGB")
    picture.thumbnail((_TEXTURE_SIDE, _TEXTURE_SIDE))
    return np.asarray(picture, np.float32)


def _sampled(pixels: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, 3) float32 nearest texels at uv (N, 2), origin at the lower left, repeating."""
    height, width = pixels.shape[:2]
    fraction = uv % 1.0
    at_far_border = (fraction == 0.0) & (uv >= 1.0)  # which belongs to the tile it ends
    u, v = np.nan_to_num(np.where(at_far_border, 1.0, fraction)).T
    row = ((1 - v) * height).astype(int).clip(0, height - 1)
    column = (u * width).astype(int).clip(0, width - 1)
    return pixels[row, column]


def _detailed_edges(
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    pixels: np.ndarray,
) -> np.ndarray:
    """(F, 3) bool, edges (0-1, 1-2, 2-0) whose two faces' texture is not what interpolation between
    the corners gives.
    """
    corner = uv[faces]
    next_corner = np.roll(corner, -1, axis=1)
    colors = _sampled(pixels, uv)[faces]
    next_colors = np.roll(colors, -1, axis=1)
    departures = []
    for t in (0.25, 0.5, 0.75):
        between = (1 - t) * corner + t * next_corner
        seen = _sampled(pixels, between.reshape(-1, 2)).reshape(colors.shape)
        departures.append(np.abs(seen - (1 - t) * colors - t * next_colors).mean(2))
    departs = np.max(departures, axis=0) > _DIFFERENCE
    middle = np.abs(_sampled(pixels, corner.mean(1)) - colors.mean(1)).mean(1)
    middle_departs = (middle > _DIFFERENCE)[:, None]
    return _both_sides(vertices, faces, departs | (middle_departs & _longest(vertices, faces)))


def _longest(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) whether edge k of a face, from corner k to the next, is as long as its longest."""
    corners = vertices[faces]
    length = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    return length >= length.max(1, keepdims=True)


def _both_sides(vertices: np.ndarray, faces: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Mark an edge in every face that shares its two positions, also across texture seams."""
    _, welded = weld(vertices, faces)
    keys = _edge_keys(welded, int(welded.max()) + 1)
    _, edge = np.unique(keys.reshape(-1), return_inverse=True)
    marks = np.bincount(edge, weights=marked.reshape(-1))
    return (marks > 0)[edge].reshape(marked.shape)


def _edge_keys(faces: np.ndarray, vertices: int) -> np.ndarray:
    """(F, 3) int64, one number for both directions of each edge (0-1, 1-2, 2-0): lower vertex times
    the number of ``vertices``, plus the higher one.
    """
    following = np.roll(faces, -1, axis=1)
    return np.minimum(faces, following) * vertices + np.maximum(faces, following)


def split_edges(
    attributes: tuple[np.ndarray, ...], faces: np.ndarray, marked: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Halve the marked edges (F, 3) of faces (F, 3); vertex attributes (V, k) are averaged. Returns
    new attributes and faces.

    Faces become two, three or four, of the same orientation; a mesh without open edges stays so
    when both sides are marked.
    """
    count = len(attributes[0])
    halved, slot = np.unique(_edge_keys(faces, count)[marked], return_inverse=True)
    lower, higher = np.divmod(halved, count)
    middles = [(values[lower] + values[higher]) / 2 for values in attributes]
    grown = tuple(map(np.concatenate, zip(attributes, middles)))
    middle = np.full(faces.shape, -1, np.int64)
    middle[marked] = count + slot
    points = np.concatenate([faces, middle], axis=1)  # (F, 6), as in _PIECES
    split = [faces[~marked.any(1)]]
    for pattern, pieces in _PIECES.items():
        for turn in range(1 if all(pattern) else 3):
            rows = (marked == np.roll(pattern, turn)).all(1)
            kinds = points[rows].reshape(-1, 2, 3)  # corners, middles
            turned = np.roll(kinds, -turn, axis=2).reshape(-1, 6)
            split += [turned[:, piece] for piece in pieces]
    return grown, np.concatenate(split)
