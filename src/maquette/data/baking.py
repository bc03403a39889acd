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
from maquette.document.appearance import Appearance, appearance_of, bytes_from_linear

# a triangle is split when the texture departs this far from the interpolated colours, in 0..255
_DIFFERENCE = 24.0
_ROUNDS = 5
_TEXTURE_SIDE = 512  # larger textures are reduced first: finer than any mesh of the budget can show

Soup = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # vertices (V, 3) float64, faces (F, 3) int64, colours (V, 3) uint8


def baked(mesh: trimesh.Trimesh, face_limit: int, linear_colors: bool = False) -> Soup:
    """Positions, faces and vertex colours of a mesh, with at most ``face_limit`` faces when it has
    fewer before.

    ``linear_colors``: bare vertex colours are linear, as in glTF; other formats have sRGB.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    faces = np.asarray(mesh.faces, np.int64)
    if (
        isinstance(mesh.visual, ColorVisuals) and mesh.visual.kind == "face"
    ):  # every face needs its own corners
        colors = np.repeat(np.asarray(mesh.visual.face_colors), 3, axis=0)
        vertices = vertices[faces].reshape(-1, 3)
        faces = np.arange(3 * len(faces)).reshape(-1, 3)
        appearance = Appearance(colors=colors)
    else:
        appearance = appearance_of(mesh)
    if appearance.image is not None:
        return _textured(vertices, faces, appearance.uv, appearance.image, face_limit)
    if linear_colors and isinstance(mesh.visual, ColorVisuals) and mesh.visual.defined:
        appearance = Appearance(colors=bytes_from_linear(appearance.colors / 255))
    return vertices, faces, appearance.colors[:, :3]


def _textured(
    vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, image: Image.Image, face_limit: int
) -> Soup:
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
    u, v = np.nan_to_num(
        np.where((fraction == 0.0) & (uv >= 1.0), 1.0, fraction)
    ).T  # the far border belongs to the tile it ends
    return pixels[
        ((1 - v) * height).astype(int).clip(0, height - 1),
        (u * width).astype(int).clip(0, width - 1),
    ]


def _detailed_edges(
    vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """(F, 3) bool, edges (0-1, 1-2, 2-0) whose two faces' texture is not what interpolation between
    the corners gives.
    """
    corner = uv[faces]
    colors = _sampled(pixels, uv)[faces]
    after = np.roll(corner, -1, axis=1)
    quarter, half, late = (
        _sampled(pixels, ((1 - t) * corner + t * after).reshape(-1, 2)).reshape(colors.shape)
        for t in (0.25, 0.5, 0.75)
    )
    next_colors = np.roll(colors, -1, axis=1)
    differences = [
        np.abs(seen - (1 - t) * colors - t * next_colors).mean(2)
        for t, seen in ((0.25, quarter), (0.5, half), (0.75, late))
    ]
    center = np.abs(_sampled(pixels, corner.mean(1)) - colors.mean(1)).mean(1) > _DIFFERENCE
    detailed = (np.max(differences, axis=0) > _DIFFERENCE) | (
        center[:, None] & _longest(vertices, faces)
    )
    return _both_sides(vertices, faces, detailed)


def _longest(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    length = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    return length >= length.max(1, keepdims=True)


def _both_sides(vertices: np.ndarray, faces: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Mark an edge in every face that shares its two positions, also across texture seams."""
    _, welded = weld(vertices, faces)
    ends = np.sort(np.stack([welded, np.roll(welded, -1, axis=1)], axis=2), axis=2).reshape(-1, 2)
    _, edge = np.unique(ends[:, 0] * (welded.max() + 1) + ends[:, 1], return_inverse=True)
    return (np.bincount(edge, weights=marked.reshape(-1)) > 0)[edge].reshape(marked.shape)


def split_edges(
    attributes: tuple[np.ndarray, ...], faces: np.ndarray, marked: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Halve the marked edges (F, 3) of faces (F, 3); vertex attributes (V, k) are averaged. Returns
    new attributes and faces.

    Faces become two, three or four, of the same orientation; a mesh without open edges stays so
    when both sides are marked.
    """
    count = len(attributes[0])
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    key = ends[..., 0] * count + ends[..., 1]
    chosen, slot = np.unique(key[marked], return_inverse=True)
    grown = tuple(
        np.concatenate([values, (values[chosen // count] + values[chosen % count]) / 2])
        for values in attributes
    )
    middle = np.full(faces.shape, -1, np.int64)
    middle[marked] = count + slot
    pieces = [faces[~marked.any(1)]]
    for pattern in ((1, 0, 0), (1, 1, 0), (1, 1, 1)):
        for turn in range(3 if sum(pattern) < 3 else 1):
            rows = (marked == np.roll(pattern, turn).astype(bool)).all(1)
            (a, b, c) = np.roll(faces[rows], -turn, axis=1).T
            (ab, bc, ca) = np.roll(middle[rows], -turn, axis=1).T
            triples = {
                1: [(a, ab, c), (ab, b, c)],
                2: [(ab, b, bc), (a, ab, bc), (a, bc, c)],
                3: [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)],
            }
            pieces += [np.stack(triple, axis=1) for triple in triples[sum(pattern)]]
    return grown, np.concatenate(pieces)
