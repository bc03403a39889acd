"""What a mesh looks like, in one form: either a colour per vertex or a texture, always sRGB. No
files.

trimesh has several kinds of visuals; saving and exporting a scene need to agree on what they mean,
so both ask here. The sRGB transfer function is IEC 61966-2-1, as glTF 2.0 section 3.9.2 requires
for vertex colours (linear) and textures (sRGB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.errors import contained, present
from maquette.photos.pixels import encoded

JPEG_QUALITY = 90
WHITE = np.full(4, 255, np.uint8)


@dataclass(frozen=True, eq=False)
class Appearance:
    """Colours (V, 4) uint8 sRGB RGBA, or uv (V, 2) float with its origin at the image's lower left
    and an RGB or RGBA image.
    """

    colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    image: Image.Image | None = None


def linear_from_srgb(encoded: np.ndarray) -> np.ndarray:
    """Light intensities in [0, 1] of sRGB-encoded values in [0, 1], float64."""
    encoded = np.asarray(encoded, dtype=np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(intensity: np.ndarray) -> np.ndarray:
    """Return sRGB-encoded values in [0, 1] of light intensities in [0, 1], float64."""
    intensity = np.asarray(intensity, dtype=np.float64)
    curve = 1.055 * np.maximum(intensity, 0.0) ** (1 / 2.4) - 0.055
    return np.where(intensity <= 0.0031308, intensity * 12.92, curve)


def linear_from_bytes(colors: np.ndarray) -> np.ndarray:
    """Colours (N, 3 or 4) uint8 sRGB -> float64 in [0, 1], linear; alpha, when there, is only
    scaled.
    """
    linear = linear_from_srgb(np.arange(256) / 255)[colors]
    if colors.shape[-1] == 4:
        linear[..., 3] = colors[..., 3] / 255
    return linear


def opaque(colors: np.ndarray) -> np.ndarray:
    """Colours (N, 3) from 0 to 255 -> (N, 4) uint8 that hide what is behind them."""
    rgba = np.full((len(colors), 4), 255, np.uint8)
    rgba[:, :3] = colors
    return rgba


def bytes_from_linear(linear: np.ndarray) -> np.ndarray:
    """Linear colours (N, 3 or 4) in [0, 1] -> (N, 4) uint8 sRGB RGBA; the inverse of
    ``linear_from_bytes``.
    """
    linear = np.clip(np.asarray(linear, dtype=np.float64), 0.0, 1.0)
    colors = opaque(np.rint(srgb_from_linear(linear[:, :3]) * 255))
    if linear.shape[1] == 4:
        colors[:, 3] = np.rint(linear[:, 3] * 255)
    return colors


def appearance_of(mesh: trimesh.Trimesh) -> Appearance:
    """Colours or texture of a mesh, whatever its visuals. Colours per face become colours per
    vertex; factors are multiplied in.
    """
    visual = mesh.visual
    if not isinstance(visual, TextureVisuals):
        coloured = visual or ColorVisuals(mesh)
        return Appearance(colors=np.array(coloured.vertex_colors, dtype=np.uint8))
    material = visual.material
    image = texture_of(mesh)
    if image is not None and visual.uv is not None and len(visual.uv) == len(mesh.vertices):
        return Appearance(
            uv=np.array(visual.uv), image=_times_factor(image, _linear_factor(material))
        )
    linear = _linear_factor(material) * _linear_attribute(visual, len(mesh.vertices))
    return Appearance(colors=bytes_from_linear(linear))


def texture_of(mesh: trimesh.Trimesh) -> Image.Image | None:
    """The colour picture of a mesh's material, perhaps not decoded yet; None without one."""
    material = getattr(mesh.visual, "material", None)
    kind = "baseColorTexture" if isinstance(material, PBRMaterial) else "image"
    return getattr(material, kind, None)


def png_bytes(image: Image.Image, effort: int = 6) -> bytes:
    """Return the image as a PNG without metadata, so that equal pixels give equal bytes. effort:
    of the compression, 1 to 9.
    """
    return _encoded(image, "PNG", compress_level=effort)


def texture_file(image: Image.Image) -> tuple[bytes, str]:
    """A texture as a file for other programs, and its suffix: a JPEG when that takes less than half
    of a PNG, as it does for photos.
    """
    if image.mode == "RGB":
        photo = _encoded(image, "JPEG", quality=JPEG_QUALITY)
        if 2 * len(photo) < len(png_bytes(image, effort=1)):
            return photo, ".jpg"
    return png_bytes(image), ".png"


def _encoded(image: Image.Image, kind: str, **how: int) -> bytes:
    bare = image.copy()
    bare.info = {}
    return encoded(bare, kind, **how)


def vertex_colors_of(mesh: trimesh.Trimesh) -> np.ndarray:
    """(V, 4) uint8 sRGB RGBA of a mesh; a texture is sampled at the vertices."""
    appearance = appearance_of(mesh)
    if appearance.colors is not None:
        return appearance.colors
    pixels = np.asarray(present(appearance.image, "texture").convert("RGBA"))
    height, width = pixels.shape[:2]
    u, v = (present(appearance.uv, "texture") % 1.0).T  # textures repeat
    rows = np.minimum(((1 - v) * height).astype(int), height - 1)
    columns = np.minimum((u * width).astype(int), width - 1)
    return pixels[rows, columns]


def mesh_with(vertices: np.ndarray, faces: np.ndarray, appearance: Appearance) -> trimesh.Trimesh:
    """Return a mesh with this appearance; nothing is merged, reordered or dropped."""
    if appearance.image is None:
        return trimesh.Trimesh(vertices, faces, vertex_colors=appearance.colors, process=False)
    visual = TextureVisuals(
        uv=appearance.uv, material=SimpleMaterial(image=appearance.image, diffuse=WHITE)
    )
    return trimesh.Trimesh(vertices, faces, visual=visual, process=False)


def _linear_factor(material: object) -> np.ndarray:
    """(4,) float64, what the material multiplies its texture or vertex colours with; linear."""
    if isinstance(material, PBRMaterial):  # trimesh keeps glTF's linear factor, scaled to bytes
        return (
            np.asarray(WHITE if material.baseColorFactor is None else material.baseColorFactor)
            / 255
        )
    if (
        getattr(material, "image", None) is not None
    ):  # most OBJ files carry a Kd that nobody multiplies the picture with
        return np.ones(4)
    return linear_from_bytes(np.asarray(getattr(material, "main_color", WHITE), dtype=np.uint8))


def _linear_attribute(visual: TextureVisuals, count: int) -> np.ndarray:
    """(V, 3 or 4) float64 of glTF's COLOR_0, which trimesh leaves raw beside a material; white
    where there is none.
    """
    raw = visual.vertex_attributes.get("color")
    if raw is None or len(raw) != count:
        return np.ones((count, 4))
    scale = np.iinfo(raw.dtype).max if raw.dtype.kind in "iu" else 1.0
    linear = np.ones((count, 4))
    linear[:, : raw.shape[1]] = np.asarray(raw, dtype=np.float64) / scale
    return linear


def _times_factor(image: Image.Image, factor: np.ndarray) -> Image.Image:
    """Return the image as RGB or RGBA, multiplied by a linear factor (4,) when that is
    not white.
    """
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info or factor[3] < 1
    mode = "RGBA" if has_alpha else "RGB"
    with contained("the texture of a mesh cannot be decoded", "give the mesh another one"):
        image.load()
        if image.mode != mode:  # meshes may share a picture
            image = image.convert(mode)
    if np.all(factor == 1):
        return image
    pixels = np.asarray(image)
    channels = pixels.shape[2]
    scaled = bytes_from_linear(linear_from_bytes(pixels.reshape(-1, channels)) * factor[:channels])
    return Image.fromarray(scaled[:, : pixels.shape[2]].reshape(pixels.shape))
