"""What a body looks like, for formats that know textures but no colours per vertex: OBJ and PNG.

Colours per vertex become a picture with two by two texels per triangle, in which the triangle's
texture coordinates run between the texels' centres; bilinear filtering then interpolates exactly as
colours per vertex do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from PIL import Image

from maquette.document.appearance import appearance_of
from maquette.errors import present
from maquette.export.glb import smooth_normals
from maquette.export.meshes import text_lines
from maquette.geometry.boxes import longest_side
from maquette.geometry.connectivity import proper
from maquette.geometry.transforms import similarity, transform_points
from maquette.render.preview import orbit_cameras, render_scene
from maquette.simulation.bodies import Bodies, RigidBody
from maquette.types import Instance, Scene

THUMBNAIL = 256  # pixels
ASIDE = 0.6  # radians
CELL = 2  # texels along one side of a triangle's block
CORNERS = np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]])  # of a triangle in its block, in texels


@dataclass(frozen=True, eq=False)
class TexturedSurface:
    """A mesh whose looks are a picture."""

    vertices: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3)
    normals: np.ndarray  # (V, 3) of length one
    uv: np.ndarray  # (T, 2), origin at the picture's lower left
    uv_faces: np.ndarray  # (F, 3) rows of ``uv``
    image: Image.Image  # RGB


def thumbnail(body: RigidBody, bodies: Bodies) -> Image.Image:
    """A body from its front and a little from the side and above, THUMBNAIL pixels square."""
    turn = bodies.file_from_scene[:3, :3].T / bodies.metres_per_unit
    size = 1 / max(longest_side(body.visual.vertices), 1e-12)
    alone = Instance(body.label, body.visual, similarity(size, turn), seed=0)
    points = transform_points(alone.world_from_instance, np.asarray(body.visual.vertices))
    (camera,) = orbit_cameras(points, [ASIDE], THUMBNAIL, THUMBNAIL)
    ground = float(points[:, 1].min())
    return Image.fromarray(render_scene(Scene((alone,), camera, ground_height=ground)))


def textured_surface(mesh: trimesh.Trimesh) -> TexturedSurface:
    """The mesh without triangles that have no area, its colours as a picture."""
    vertices = np.asarray(mesh.vertices)
    faces = proper(np.asarray(mesh.faces))
    normals = smooth_normals(vertices, faces).astype(np.float64)
    appearance = appearance_of(mesh)
    if appearance.image is not None:
        image = appearance.image.convert("RGB")
        return TexturedSurface(vertices, faces, normals, present(appearance.uv, "uv"), faces, image)
    colors = present(appearance.colors, "colour")
    uv, image = _baked(colors[:, :3][faces])
    uv_faces = np.arange(3 * len(faces)).reshape(-1, 3)
    return TexturedSurface(vertices, faces, normals, uv, uv_faces, image)


def _baked(colors: np.ndarray) -> tuple[np.ndarray, Image.Image]:
    """Texture coordinates (3 F, 2) and a picture of the colours (F, 3, 3) of triangles' corners."""
    count = len(colors)
    along = int(np.ceil(np.sqrt(count)))
    block = np.stack([np.arange(count) % along, np.arange(count) // along], axis=1)
    pixels = np.zeros((CELL * along, CELL * along, 3), np.uint8)
    columns, rows = CELL * block.T
    first, second, third = colors.astype(np.int64).swapaxes(0, 1)
    pixels[rows, columns] = first
    pixels[rows, columns + 1] = second
    pixels[rows + 1, columns] = third
    pixels[rows + 1, columns + 1] = np.clip(second + third - first, 0, 255)
    texels = (CELL * block[:, None] + CORNERS).reshape(-1, 2)
    uv = texels / (CELL * along)
    uv[:, 1] = 1 - uv[:, 1]
    return uv, Image.fromarray(pixels)


def obj_bytes(surface: TexturedSurface, material: str = "", library: str = "") -> bytes:
    """An OBJ file with texture coordinates and normals, and with a material when it is named."""
    head = f"mtllib {library}\n" if library else ""
    use = f"usemtl {material}\n" if material else ""
    numbers = np.stack([surface.faces, surface.uv_faces, surface.faces], axis=2) + 1
    places = text_lines("v %.9g %.9g %.9g\n", surface.vertices)
    coordinates = text_lines("vt %.7g %.7g\n", surface.uv)
    normals = text_lines("vn %.6g %.6g %.6g\n", surface.normals)
    faces = text_lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", numbers.reshape(-1, 9))
    return "".join(["# maquette\n", head, places, coordinates, normals, use, faces]).encode()


def mtl_bytes(material: str, texture: str) -> bytes:
    """The material library of an OBJ file: matte, with a picture."""
    return f"newmtl {material}\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n".encode()


def part_obj_bytes(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """An OBJ file of a shape that is not seen."""
    body = text_lines("v %.9g %.9g %.9g\n", vertices) + text_lines("f %d %d %d\n", faces + 1)
    return f"# maquette, convex\n{body}".encode()
