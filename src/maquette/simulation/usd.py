"""Scene -> USD, as text: an asset folder per object and a scene file that references them; or all
of it in one .usdz archive.

UsdPhysics as Isaac Sim, Newton and MuJoCo read it: the rigid body and its complete mass on the
asset's root, convex hulls with purpose guide, what is seen apart from what collides, a physics
scene with gravity, and the ground as a static plane. Looks are a UsdPreviewSurface. Written without
the USD library. Specifications: openusd.org, UsdPhysics and UsdPreviewSurface; usdz: a zip archive
without compression whose files begin at multiples of 64 bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maquette.document.appearance import png_bytes
from maquette.geometry.boxes import bounding_box
from maquette.simulation.assets import (
    GRAVITY,
    GROUND_SIDE,
    assets_folder,
    numbers,
    said_of,
    wxyz,
)
from maquette.simulation.bodies import FRICTION, Bodies, RigidBody
from maquette.simulation.hulls import ConvexPart
from maquette.simulation.pictures import TexturedSurface, textured_surface
from maquette.simulation.selection import prim_name, unique_names

ALIGNMENT = 64  # bytes, of the files in a usdz archive
ROOT = "scene"
RESERVED = ("ground", "physics", "looks")
GROUND_COLOR = (0.6, 0.6, 0.6)


@dataclass(frozen=True)
class Prim:
    """A prim as text."""

    kind: str
    name: str
    schemas: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    children: tuple[Prim, ...] = ()

    def lines(self, indent: str = "") -> list[str]:
        """The prim and what is below it."""
        listed = ", ".join(quoted(schema) for schema in self.schemas)
        metadata = (f"prepend apiSchemas = [{listed}]",) if listed else ()
        inner = indent + "    "
        made = [f"{indent}def {self.kind} {quoted(self.name)}"]
        if metadata or self.metadata:
            told = [f"{inner}{line}" for line in (*metadata, *self.metadata)]
            made += [f"{indent}(", *told, f"{indent})"]
        made += [f"{indent}{{", *(f"{inner}{line}" for line in self.properties)]
        for child in self.children:
            made += child.lines(inner)
        return [*made, f"{indent}}}"]


def usda_files(bodies: Bodies, path: Path) -> dict[Path, bytes]:
    """The scene file, a file for each object, and the textures, by path."""
    folder = assets_folder(path, "usd")
    names = unique_names((body.node for body in bodies.bodies), prim_name, RESERVED)
    contents: dict[Path, bytes] = {}
    for name, body in zip(names, bodies.bodies):
        own = folder / name
        surface = textured_surface(body.visual)
        contents[own / f"{name}.usda"] = _asset(name, body, surface, bodies)
        contents[own / "textures" / f"{name}.png"] = png_bytes(surface.image)
    return {path: _scene(names, bodies, folder.name), **contents}


def usdz_files(bodies: Bodies, path: Path) -> dict[Path, bytes]:
    """The archive, by path."""
    inside = usda_files(bodies, Path("scene.usda"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in inside.items():
            entry = zipfile.ZipInfo(name.as_posix())
            header = stream.tell() + 30 + len(entry.filename.encode())  # of the zip format
            missing = -(header + 4) % ALIGNMENT  # the padding has a head of 4 bytes
            entry.extra = b"\x00\x00" + missing.to_bytes(2, "little") + bytes(missing)
            archive.writestr(entry, content)
    return {path: stream.getvalue()}


# Files


def _document(root: Prim, bodies: Bodies, told: Sequence[str] = ()) -> bytes:
    entries = (
        f"double metres_per_unit = {bodies.metres_per_unit!r}",
        f"bool scale_is_known = {str(bodies.scale_is_known).lower()}",
        f"string remarks = {quoted('; '.join(told))}",
    )
    lines = [
        "#usda 1.0",
        "(",
        "    customLayerData = {",
        "        dictionary maquette = {",
        *(f"            {entry}" for entry in entries),
        "        }",
        "    }",
        f"    defaultPrim = {quoted(root.name)}",
        "    kilogramsPerUnit = 1",
        "    metersPerUnit = 1",
        f"    upAxis = {quoted(bodies.up.upper())}",
        ")",
        "",
        *root.lines(),
        "",
    ]
    return "\n".join(lines).encode()


def _scene(names: Sequence[str], bodies: Bodies, folder: str) -> bytes:
    physics = Prim(
        "PhysicsScene",
        "physics",
        properties=(
            f"vector3f physics:gravityDirection = {vector(-bodies.upward)}",
            f"float physics:gravityMagnitude = {GRAVITY}",
        ),
    )
    objects = [
        _reference(name, body, f"./{folder}/{name}/{name}.usda")
        for name, body in zip(names, bodies.bodies)
    ]
    ground = _ground(bodies)
    looks = Prim("Scope", "looks", children=(_friction(),))
    root = Prim(
        "Xform",
        ROOT,
        metadata=('kind = "assembly"',),
        children=(physics, looks, ground, *objects),
    )
    return _document(root, bodies, said_of(bodies))


def _reference(name: str, body: RigidBody, file: str) -> Prim:
    pose = body.file_from_body
    return Prim(
        "Xform",
        name,
        metadata=(f"prepend references = @{file}@", f"displayName = {quoted(body.node)}"),
        properties=(
            f"quatd xformOp:orient = {vector(wxyz(pose[:3, :3]))}",
            f"double3 xformOp:translate = {vector(pose[:3, 3])}",
            'uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:orient"]',
        ),
    )


def _ground(bodies: Bodies) -> Prim:
    side = GROUND_SIDE * bodies.span
    reach = np.where(bodies.upward > 0, 0.0, side / 2)
    return Prim(
        "Plane",
        "ground",
        ("PhysicsCollisionAPI", "MaterialBindingAPI"),
        properties=(
            f"uniform token axis = {quoted(bodies.up.upper())}",
            f"double length = {side:.10g}",
            f"double width = {side:.10g}",
            f"float3[] extent = {vectors([-reach, reach])}",
            f"color3f[] primvars:displayColor = {vectors([GROUND_COLOR])}",
            f"rel material:binding:physics = </{ROOT}/looks/friction>",
            f"double3 xformOp:translate = {vector(bodies.ground * bodies.upward)}",
            'uniform token[] xformOpOrder = ["xformOp:translate"]',
        ),
    )


def _asset(name: str, body: RigidBody, surface: TexturedSurface, bodies: Bodies) -> bytes:
    schemas = ["PhysicsMassAPI"]
    if not body.is_static:
        schemas.insert(0, "PhysicsRigidBodyAPI")
    moments, axes = body.mass.principal()
    properties = [
        f"float physics:mass = {body.mass.mass:.9g}",
        f"point3f physics:centerOfMass = {vector(body.mass.centre)}",
        f"float3 physics:diagonalInertia = {vector(moments)}",
        f"quatf physics:principalAxes = {vector(wxyz(axes))}",
    ]
    if body.meaning:
        schemas.append("SemanticsLabelsAPI:class")
        properties.append(f"token[] semantics:labels:class = [{quoted(body.meaning)}]")
    collision = Prim(
        "Scope",
        "collision",
        children=tuple(_collider(name, f"part_{k}", part) for k, part in enumerate(body.parts)),
    )
    root = Prim(
        "Xform",
        name,
        tuple(schemas),
        ('kind = "component"', f"displayName = {quoted(body.node)}"),
        tuple(properties),
        (_visual(name, surface), collision, _looks(name)),
    )
    return _document(root, bodies)


def _visual(name: str, surface: TexturedSurface) -> Prim:
    used, faces = np.unique(surface.faces, return_inverse=True)
    return Prim(
        "Mesh",
        "visual",
        ("MaterialBindingAPI",),
        properties=(
            *_polygons(surface.vertices[used], faces.reshape(-1, 3)),
            f"normal3f[] primvars:normals = {vectors(surface.normals[used])} (",
            '    interpolation = "vertex"',
            ")",
            f"texCoord2f[] primvars:st = {vectors(surface.uv)} (",
            '    interpolation = "faceVarying"',
            ")",
            f"int[] primvars:st:indices = {integers(surface.uv_faces)}",
            f"rel material:binding = </{name}/looks/surface>",
        ),
    )


def _collider(asset: str, name: str, part: ConvexPart) -> Prim:
    return Prim(
        "Mesh",
        name,
        ("PhysicsCollisionAPI", "PhysicsMeshCollisionAPI", "MaterialBindingAPI"),
        properties=(
            *_polygons(part.vertices, part.faces),
            'uniform token purpose = "guide"',
            'uniform token physics:approximation = "convexHull"',
            f"rel material:binding:physics = </{asset}/looks/friction>",
        ),
    )


def _polygons(vertices: np.ndarray, faces: np.ndarray) -> list[str]:
    counts = np.full(len(faces), 3)
    return [
        f"float3[] extent = {vectors(bounding_box(vertices))}",
        f"int[] faceVertexCounts = {integers(counts)}",
        f"int[] faceVertexIndices = {integers(faces)}",
        f"point3f[] points = {vectors(vertices)}",
        'uniform token subdivisionScheme = "none"',
    ]


def _looks(asset: str) -> Prim:
    here = f"/{asset}/looks/surface"
    coordinates = Prim(
        "Shader",
        "coordinates",
        properties=(
            'uniform token info:id = "UsdPrimvarReader_float2"',
            'string inputs:varname = "st"',
            "float2 outputs:result",
        ),
    )
    texture = Prim(
        "Shader",
        "texture",
        properties=(
            'uniform token info:id = "UsdUVTexture"',
            f"asset inputs:file = @./textures/{asset}.png@",
            'token inputs:sourceColorSpace = "sRGB"',
            f"float2 inputs:st.connect = <{here}/coordinates.outputs:result>",
            "float3 outputs:rgb",
        ),
    )
    shader = Prim(
        "Shader",
        "shader",
        properties=(
            'uniform token info:id = "UsdPreviewSurface"',
            f"color3f inputs:diffuseColor.connect = <{here}/texture.outputs:rgb>",
            "float inputs:metallic = 0",
            "float inputs:roughness = 0.9",
            "token outputs:surface",
        ),
    )
    surface = Prim(
        "Material",
        "surface",
        properties=(f"token outputs:surface.connect = <{here}/shader.outputs:surface>",),
        children=(shader, texture, coordinates),
    )
    return Prim("Scope", "looks", children=(surface, _friction()))


def _friction() -> Prim:
    return Prim(
        "Material",
        "friction",
        ("PhysicsMaterialAPI",),
        properties=(
            f"float physics:staticFriction = {FRICTION}",
            f"float physics:dynamicFriction = {FRICTION}",
            "float physics:restitution = 0",
        ),
    )


# Values


def quoted(text: str) -> str:
    """A string as USD writes it."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter >= " " else f"\\x{ord(letter):02x}"


def vector(values: np.ndarray | Sequence[float]) -> str:
    """Numbers as a tuple."""
    return f"({numbers(values).replace(' ', ', ')})"


def vectors(rows: np.ndarray | Sequence[Sequence[float]]) -> str:
    """Rows of numbers as a list of tuples."""
    table = np.asarray(rows, dtype=np.float64)
    row = f"({', '.join(['%.9g'] * table.shape[1])})"
    return f"[{', '.join([row] * len(table)) % tuple(table.reshape(-1).tolist())}]"


def integers(values: np.ndarray) -> str:
    """Whole numbers as a list."""
    return f"[{', '.join(map(str, values.reshape(-1).tolist()))}]"
