"""Scene -> USD, as text: an asset folder per object and a scene file that references them; or all
of it in one .usdz archive.

UsdPhysics as Isaac Sim, Newton and MuJoCo read it: the rigid body and its complete mass on the
asset's root, convex hulls with purpose guide, what is seen apart from what collides, a physics
scene with gravity, and the ground as a static plane. Looks are a UsdPreviewSurface. Each asset is a
package as SimReady's profile Robotics-Prop wants it: names, labels, a thumbnail, and where it comes
from. Written without the USD library. Specifications: openusd.org, UsdPhysics and
UsdPreviewSurface; SimReady Foundation 2026.8; usdz: a zip archive without compression whose files
begin at multiples of 64 bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from maquette.document.appearance import png_bytes
from maquette.geometry.boxes import bounding_box
from maquette.geometry.polygons import doubled_normals
from maquette.geometry.transforms import unit_vectors
from maquette.simulation.assets import (
    GRAVITY,
    GROUND_SIDE,
    mesh_folder,
    numbers,
    said_of,
    wxyz,
)
from maquette.simulation.bodies import FRICTION, Bodies, RigidBody
from maquette.simulation.hulls import ConvexPart
from maquette.simulation.pictures import TexturedSurface, textured_surface, thumbnail
from maquette.simulation.selection import prim_name, unique_names

ALIGNMENT = 64  # bytes, of the files in a usdz archive
ZIP_HEADER = 30  # bytes before a file's name in a zip archive
PADDING_HEADER = 4  # bytes before what fills up
ROOT = "scene"
RESERVED = ("ground", "physics", "looks")
GROUND_COLOR = (0.6, 0.6, 0.6)
COLLIDES = ("PhysicsCollisionAPI", "MaterialBindingAPI")
LABELLED = ("SemanticsLabelsAPI:material",)
MATERIAL_LABEL = 'token[] semantics:labels:material = ["unknown"]'  # a photo does not tell it
PER_VERTEX = '(interpolation = "vertex")'
PER_CORNER = '(interpolation = "faceVarying")'
HEAD = """#usda 1.0
(
    customLayerData = {{
        dictionary maquette = {{
            double metres_per_unit = {metres!r}
            bool scale_is_known = {known}
            string remarks = {remarks}
        }}
{more}    }}
    defaultPrim = {root}
    kilogramsPerUnit = 1
    metersPerUnit = 1
    upAxis = "{up}"
)
"""
PHYSICAL_OBJECT = "Q223557"  # of Wikidata: all that is known of an object's kind without a name
PROVENANCE = """        dictionary SimReady_Metadata = {{
            string author = "maquette"
            string asset_name = {name}
            string asset_type = "prop"
            string asset_license = "that of the photo"
            string category = {meaning}
            string source_file = "photo"
            string usd_date_generated = "{today}"
            string qcode = "{kind}"
            int rigid_body_count = {count}
            float3 asset_extents = {extents}
            float mass = {mass:.9g}
        }}
"""
SURFACE = """token outputs:surface.connect = </{asset}/looks/surface/shader.outputs:surface>
def Shader "shader"
{{
    uniform token info:id = "UsdPreviewSurface"
    color3f inputs:diffuseColor.connect = </{asset}/looks/surface/texture.outputs:rgb>
    float inputs:metallic = 0
    float inputs:roughness = 0.9
    token outputs:surface
}}
def Shader "texture"
{{
    uniform token info:id = "UsdUVTexture"
    asset inputs:file = @./textures/{asset}.png@
    token inputs:sourceColorSpace = "sRGB"
    float2 inputs:st.connect = </{asset}/looks/surface/coordinates.outputs:result>
    float3 outputs:rgb
}}
def Shader "coordinates"
{{
    uniform token info:id = "UsdPrimvarReader_float2"
    string inputs:varname = "st"
    float2 outputs:result
}}"""


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
    folder = mesh_folder(path, "usd")
    names = unique_names((body.node for body in bodies.bodies), prim_name, RESERVED)
    contents: dict[Path, bytes] = {}
    for name, body in zip(names, bodies.bodies):
        surface = textured_surface(body.visual)
        place = folder / _asset_file(name)
        contents[place] = _asset(name, body, surface, bodies)
        contents[place.parent / "textures" / f"{name}.png"] = png_bytes(surface.image)
        shown = place.parent / ".thumbs" / "256x256" / f"{place.name}.png"
        contents[shown] = png_bytes(thumbnail(body, bodies))
    return {path: _scene(names, bodies, folder.name), **contents}


def _asset_file(name: str) -> Path:
    """Of an asset, below the folder of all of them."""
    lower = name.lower()
    return Path(lower, "usd", f"{lower}.usda")


def usdz_files(bodies: Bodies, path: Path) -> dict[Path, bytes]:
    """The archive, by path."""
    inside = usda_files(bodies, Path("scene.usda"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in inside.items():
            entry = zipfile.ZipInfo(name.as_posix())
            name_ends = stream.tell() + ZIP_HEADER + len(entry.filename.encode())
            missing = -(name_ends + PADDING_HEADER) % ALIGNMENT
            entry.extra = bytes(2) + missing.to_bytes(2, "little") + bytes(missing)
            archive.writestr(entry, content)
    return {path: stream.getvalue()}


# Files


def _document(
    root: Prim,
    bodies: Bodies,
    told: Sequence[str] = (),
    more: str = "",
) -> bytes:
    known = "true" if bodies.scale_is_known else "false"
    head = HEAD.format(
        metres=bodies.metres_per_unit,
        known=known,
        remarks=quoted("; ".join(told)),
        root=quoted(root.name),
        up=bodies.up.upper(),
        more=more,
    )
    lines = [head, *root.lines(), ""]
    return "\n".join(lines).encode()


def _scene(names: Sequence[str], bodies: Bodies, folder: str) -> bytes:
    gravity = [f"vector3f physics:gravityDirection = {vector(-bodies.upward)}"]
    gravity.append(f"float physics:gravityMagnitude = {GRAVITY}")
    children = [Prim("PhysicsScene", "physics", properties=tuple(gravity))]
    children.append(Prim("Scope", "looks", children=(_friction(),)))
    children.append(_ground(bodies))
    for name, body in zip(names, bodies.bodies):
        children.append(_reference(name, body, f"./{folder}/{_asset_file(name).as_posix()}"))
    root = Prim("Xform", ROOT, metadata=('kind = "assembly"',), children=tuple(children))
    return _document(root, bodies, said_of(bodies))


def _reference(name: str, body: RigidBody, file: str) -> Prim:
    pose = body.file_from_body
    metadata = (f"prepend references = @{file}@", f"displayName = {quoted(body.node)}")
    placed = [f"quatd xformOp:orient = {vector(wxyz(pose[:3, :3]))}"]
    placed.append(f"double3 xformOp:translate = {vector(pose[:3, 3])}")
    placed.append('uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:orient"]')
    return Prim("Xform", name, metadata=metadata, properties=tuple(placed))


def _ground(bodies: Bodies) -> Prim:
    side = GROUND_SIDE * bodies.span
    reach = np.where(bodies.upward > 0, 0.0, side / 2)
    told = [f"uniform token axis = {quoted(bodies.up.upper())}"]
    told.append(f"double length = {side:.10g}")
    told.append(f"double width = {side:.10g}")
    told.append(f"float3[] extent = {vectors(np.stack([-reach, reach]))}")
    told.append(f"color3f[] primvars:displayColor = {vectors([GROUND_COLOR])}")
    told.append(f"rel material:binding:physics = </{ROOT}/looks/friction>")
    told.append(f"double3 xformOp:translate = {vector(bodies.ground * bodies.upward)}")
    told.append('uniform token[] xformOpOrder = ["xformOp:translate"]')
    return Prim("Plane", "ground", COLLIDES, properties=tuple(told))


def _asset(
    name: str,
    body: RigidBody,
    surface: TexturedSurface,
    bodies: Bodies,
) -> bytes:
    schemas = ["PhysicsMassAPI"] if body.is_static else ["PhysicsRigidBodyAPI", "PhysicsMassAPI"]
    moments, axes = body.mass.principal()
    told = [f"float physics:mass = {body.mass.mass:.9g}"]
    told.append(f"point3f physics:centerOfMass = {vector(body.mass.centre)}")
    told.append(f"float3 physics:diagonalInertia = {vector(moments)}")
    told.append(f"quatf physics:principalAxes = {vector(wxyz(axes))}")
    schemas.append("SemanticsLabelsAPI:class")
    told.append(f"token[] semantics:labels:class = [{quoted(_kind(body))}]")
    parts = [_collider(name, f"part_{k}", part) for k, part in enumerate(body.parts)]
    collision = Prim("Scope", "collision", children=tuple(parts))
    children = (_visual(name, surface), collision, _looks(name))
    metadata = ('kind = "component"', f"displayName = {quoted(body.node)}")
    root = Prim("Xform", name, tuple(schemas), metadata, tuple(told), children)
    provenance = PROVENANCE.format(
        name=quoted(body.node),
        meaning=quoted(_kind(body)),
        today=date.today().isoformat(),
        kind=PHYSICAL_OBJECT,
        count=int(not body.is_static),
        extents=vector(np.ptp(body.visual.vertices, axis=0)),
        mass=body.mass.mass,
    )
    return _document(root, bodies, more=provenance)


def _kind(body: RigidBody) -> str:
    """What an object is, as far as that is known."""
    return body.meaning or "object"


def _visual(name: str, surface: TexturedSurface) -> Prim:
    used, faces = np.unique(surface.faces, return_inverse=True)
    told = _polygons(surface.vertices[used], faces.reshape(-1, 3))
    told.append(f"normal3f[] primvars:normals = {vectors(surface.normals[used])} {PER_VERTEX}")
    told.append(f"texCoord2f[] primvars:st = {vectors(surface.uv)} {PER_CORNER}")
    told.append(f"int[] primvars:st:indices = {integers(surface.uv_faces)}")
    told.append(f"rel material:binding = </{name}/looks/surface>")
    return Prim("Mesh", "visual", ("MaterialBindingAPI",), properties=tuple(told))


def _collider(asset: str, name: str, part: ConvexPart) -> Prim:
    told = _polygons(part.vertices, part.faces)
    normals = unit_vectors(doubled_normals(part.vertices, part.faces)).repeat(3, axis=0)
    told.append(f"normal3f[] primvars:normals = {vectors(normals)} {PER_CORNER}")
    told.append('uniform token purpose = "guide"')
    told.append('uniform token physics:approximation = "convexHull"')
    told.append(f"rel material:binding:physics = </{asset}/looks/friction>")
    schemas = ("PhysicsMeshCollisionAPI", *COLLIDES)
    return Prim("Mesh", name, schemas, properties=tuple(told))


def _polygons(vertices: np.ndarray, faces: np.ndarray) -> list[str]:
    told = [f"float3[] extent = {vectors(bounding_box(vertices))}"]
    told.append(f"int[] faceVertexCounts = {integers(np.full(len(faces), 3))}")
    told.append(f"int[] faceVertexIndices = {integers(faces)}")
    told.append(f"point3f[] points = {vectors(vertices)}")
    told.append('uniform token subdivisionScheme = "none"')
    return told


def _looks(asset: str) -> Prim:
    shaders = tuple(line.format(asset=asset) for line in SURFACE.splitlines())
    surface = Prim("Material", "surface", LABELLED, properties=(*shaders, MATERIAL_LABEL))
    return Prim("Scope", "looks", children=(surface, _friction()))


def _friction() -> Prim:
    told = [f"float physics:{kind}Friction = {FRICTION}" for kind in ("static", "dynamic")]
    told.append("float physics:restitution = 0")
    told.append(MATERIAL_LABEL)
    schemas = ("PhysicsMaterialAPI", *LABELLED)
    return Prim("Material", "friction", schemas, properties=tuple(told))


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
