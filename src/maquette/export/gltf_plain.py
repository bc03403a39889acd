"""A glTF file that says things in ways of its own -> an equal one that says them plainly.

In the flow: ``mesh_files`` -> this -> trimesh, which reads plain triangles of floats and silently
misreads the rest. Packed buffers (Draco, meshoptimizer), small integers for numbers, sparse
accessors, strips and fans, a second set of texture coordinates and moved textures, instances on
the graphics card and skins are written out here; whatever else a file requires is refused by name.
Formats: Khronos glTF 2.0 specification and its registry of extensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from maquette.errors import InputError
from maquette.export.gltf import COMPONENT_TYPES, GltfFile
from maquette.export.gltf_source import DTYPES, PACKED, GltfSource, as_floats
from maquette.types import Arrays, JsonObject

DRACO = "KHR_draco_mesh_compression"
QUANTIZED = "KHR_mesh_quantization"
INSTANCED = "EXT_mesh_gpu_instancing"
MOVED = "KHR_texture_transform"
KTX2 = "KHR_texture_basisu"
WRITTEN_OUT = {DRACO, *PACKED, QUANTIZED, INSTANCED, MOVED, KTX2}
# What changes neither shape nor base colour, or what trimesh and Pillow read as it is.
HARMLESS = {
    "EXT_texture_webp",
    "EXT_texture_avif",
    "KHR_lights_punctual",
    "KHR_node_visibility",
    "KHR_animation_pointer",
    "KHR_xmp_json_ld",
    "KHR_xmp",
    "EXT_lights_image_based",
    "KHR_materials_variants",
}
HARMLESS_PREFIXES = ("KHR_materials_", "EXT_materials_")
TRIANGLES = 4  # modes of primitives; those below are points and lines
STRIP = 5
FAN = 6
PLACES = ("TRANSLATION", "ROTATION", "SCALE")  # of instances on the graphics card
KEPT = ("samplers", "cameras")  # written as they are


def is_plain(header: JsonObject) -> bool:
    """Whether trimesh reads a file as it is meant."""
    extensions = {*header.get("extensionsUsed", ()), *header.get("extensionsRequired", ())}
    accessors = header.get("accessors", [])
    needs_unpacking = (
        not WRITTEN_OUT.isdisjoint(extensions)
        or any("skin" in node for node in header.get("nodes", []))
        or any("sparse" in accessor for accessor in accessors)
        or any(any(_texture_place(material)) for material in header.get("materials", []))
    )
    return not needs_unpacking and all(
        _is_plain_primitive(primitive, accessors)
        for mesh in header.get("meshes", [])
        for primitive in mesh.get("primitives", [])
    )


def _is_plain_primitive(primitive: JsonObject, accessors: Sequence[JsonObject]) -> bool:
    """Whether it lists its triangles, and places and texture coordinates are floats."""
    floats = [
        number
        for name, number in primitive.get("attributes", {}).items()
        if name.startswith(("POSITION", "TEXCOORD"))
    ]
    return primitive.get("mode") not in (STRIP, FAN) and all(
        accessors[number]["componentType"] == COMPONENT_TYPES["float32"] for number in floats
    )


def refuse_extensions(header: JsonObject, name: str) -> None:
    """InputError when a file requires an extension that is not understood."""
    required = {str(extension) for extension in header.get("extensionsRequired", ())}
    unknown = {
        extension
        for extension in required - WRITTEN_OUT - HARMLESS
        if not extension.startswith(HARMLESS_PREFIXES)
    }
    if unknown:
        raise InputError(
            f"{name}: needs the glTF extension {', '.join(sorted(unknown))}, which is not "
            "understood; export it without"
        )


def plain_gltf(source: GltfSource) -> bytes:
    """The content of a .glb file that is equal to the given file and plain.

    Raises InputError, and whatever broken numbers raise, which the caller contains.
    """
    header = source.header
    written = GltfFile()
    for kind in KEPT:
        if header.get(kind):
            written.arrays[kind] = [dict(entry) for entry in header[kind]]
    written.arrays["materials"] = [_plain_material(m) for m in header.get("materials", [])]
    written.arrays["textures"] = [_plain_texture(t) for t in header.get("textures", [])]
    for image in header.get("images", []):
        content, kind = source.image(image)
        written.add("images", bufferView=written.view(content), mimeType=kind)
    nodes = _Nodes(source, written)
    nodes.write()
    written.arrays["scenes"] = [{"nodes": nodes.roots}]
    arrays = {kind: entries for kind, entries in written.arrays.items() if entries}
    return GltfFile(arrays, written.binary).packed("maquette")


def triangles_of(indices: np.ndarray, mode: int) -> np.ndarray:
    """(F, 3) the triangles of a list, a strip or a fan of corners."""
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    count = max(len(indices) - 2, 0)
    if mode == FAN:
        first = np.repeat(indices[:1], count)
        return np.stack([first, indices[1 : count + 1], indices[2 : count + 2]], axis=1)
    strip = np.stack([indices[k : k + count] for k in range(3)], axis=1)
    strip[1::2] = strip[1::2][:, [1, 0, 2]]  # every other one is wound the other way
    return strip


def _texture_place(material: JsonObject) -> tuple[int, JsonObject]:
    """Which texture coordinates the base colour takes, and how the texture is moved."""
    texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    moved = texture.get("extensions", {}).get(MOVED, {})
    return moved.get("texCoord", texture.get("texCoord", 0)), moved


def _plain_material(material: JsonObject) -> JsonObject:
    """A material with its base colour only, whose texture takes the first coordinates."""
    surface = dict(material.get("pbrMetallicRoughness", {}))
    surface.pop("metallicRoughnessTexture", None)
    if "baseColorTexture" in surface:
        surface["baseColorTexture"] = {"index": surface["baseColorTexture"]["index"]}
    kept = {key: material[key] for key in ("name", "alphaMode", "doubleSided") if key in material}
    return kept | {"pbrMetallicRoughness": surface}


def _plain_texture(texture: JsonObject) -> JsonObject:
    """A texture whose picture is named where every reader looks."""
    extensions = texture.get("extensions", {})
    sources = [extension["source"] for extension in extensions.values() if "source" in extension]
    plain: JsonObject = {
        key: texture[key] for key in ("sampler", "name", "source") if key in texture
    }
    return plain if "source" in plain or not sources else plain | {"source": sources[0]}


def moved_texture(coordinates: np.ndarray, moved: JsonObject) -> np.ndarray:
    """Texture coordinates (V, 2) where a texture that is scaled, turned and shifted is read."""
    angle = moved.get("rotation", 0.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scaled = coordinates * np.asarray(moved.get("scale", (1.0, 1.0)))
    return (scaled @ turn.T + np.asarray(moved.get("offset", (0.0, 0.0)))).astype(np.float32)


@dataclass(eq=False)
class _Nodes:
    """The nodes on their way from the file that is read to the one that is written."""

    source: GltfSource
    written: GltfFile
    roots: list[int] = field(default_factory=list)
    meshes: dict[int, int | None] = field(default_factory=dict)

    def write(self) -> None:
        """Write every node in its order, and those that instances and skins become behind them."""
        header = self.source.header
        nodes = header.get("nodes", [])
        scenes = header.get("scenes") or [{"nodes": _without_parent(nodes)}]
        self.roots.extend(scenes[header.get("scene", 0)].get("nodes", []))
        for node in nodes:
            kept = ("name", "children", "matrix", "translation", "rotation", "scale", "camera")
            plain = {key: node[key] for key in kept if key in node}
            self.written.add("nodes", **plain)
        for number, node in enumerate(nodes):
            if "mesh" in node:
                self._write_mesh(number, node)

    def _write_mesh(self, number: int, node: JsonObject) -> None:
        """A node's mesh written out: posed by its skin, or once for each of its instances."""
        plain = self.written.arrays["nodes"][number]
        instances = node.get("extensions", {}).get(INSTANCED)
        if "skin" in node:
            mesh = self._mesh(node["mesh"], _joint_matrices(self.source.header, node, self.source))
            name = plain.pop("name", None)
            if mesh is not None:
                self.roots.append(self.written.add("nodes", name=name, mesh=mesh))
        elif instances is not None:
            mesh = self._mesh(node["mesh"])
            names = [node.get("name") or f"node_{number}"]
            places = _instances(self.source, instances["attributes"]) if mesh is not None else ()
            children = [
                self.written.add(
                    "nodes",
                    name=f"{names[0]}_{k}",
                    mesh=mesh,
                    matrix=matrix,
                )
                for k, matrix in enumerate(places, start=1)
            ]
            plain["children"] = [*plain.get("children", []), *children]
        else:
            if node["mesh"] not in self.meshes:
                self.meshes[node["mesh"]] = self._mesh(node["mesh"])
            if self.meshes[node["mesh"]] is not None:
                plain["mesh"] = self.meshes[node["mesh"]]

    def _mesh(self, number: int, joints: np.ndarray | None = None) -> int | None:
        """Write a mesh, moved by its joints if it has some; ``None`` when it has no triangle."""
        mesh = self.source.header["meshes"][number]
        found = [self._primitive(primitive, joints) for primitive in mesh["primitives"]]
        primitives = [primitive for primitive in found if primitive is not None]
        if not primitives:
            return None
        return self.written.add("meshes", name=mesh.get("name"), primitives=primitives)

    def _primitive(self, primitive: JsonObject, joints: np.ndarray | None) -> JsonObject | None:
        """A primitive as plain triangles; None for points and lines, InputError for wrong faces."""
        mode = primitive.get("mode", TRIANGLES)
        if mode not in (TRIANGLES, STRIP, FAN):
            return None
        corners = _corners(self.source, primitive)
        positions = corners.floats("POSITION")
        faces = triangles_of(corners.indices, mode)
        if len(faces) and not 0 <= faces.min() <= faces.max() < len(positions):
            raise InputError(
                f"{self.source.name}: a face refers to vertex {faces.max()} but there are "
                f"{len(positions)}; export it again"
            )
        if joints is not None:
            positions = _skinned(positions, corners, joints)
        attributes = {"POSITION": self.written.vertices(positions, bounds=True)}
        materials = self.source.header.get("materials", [])
        material = materials[primitive["material"]] if "material" in primitive else {}
        which, moved = _texture_place(material)
        if f"TEXCOORD_{which}" in corners.values:
            places = corners.floats(f"TEXCOORD_{which}")
            attributes["TEXCOORD_0"] = self.written.vertices(moved_texture(places, moved))
        if "COLOR_0" in corners.values:
            colours = corners.values["COLOR_0"]
            normalized = True if colours.dtype.kind == "u" else None
            attributes["COLOR_0"] = self.written.vertices(colours, normalized=normalized)
        plain = {"attributes": attributes, "indices": self.written.triangles(faces, len(positions))}
        return plain | {key: primitive[key] for key in ("material",) if key in primitive}


@dataclass(frozen=True, eq=False)
class _Corners:
    """The vertices of a primitive as they are stored, and in which order they are joined."""

    values: Arrays  # attribute -> (V, columns)
    accessors: dict[str, JsonObject]
    indices: np.ndarray  # (N,) int64

    def floats(self, name: str) -> np.ndarray:
        """(V, columns) float32 what the numbers of an attribute stand for."""
        return as_floats(self.values[name], self.accessors[name])


def _corners(source: GltfSource, primitive: JsonObject) -> _Corners:
    """What a primitive says of its vertices, unpacked, and which it draws."""
    listed = source.header["accessors"]
    accessors = {name: listed[number] for name, number in primitive["attributes"].items()}
    packed = primitive.get("extensions", {}).get(DRACO)
    if packed is not None:
        values, indices = _unpacked_by_draco(source, packed, accessors)
        return _Corners(values, accessors, indices)
    values = {name: source.array(number) for name, number in primitive["attributes"].items()}
    if "indices" in primitive:
        indices = source.array(primitive["indices"])[:, 0].astype(np.int64)
    else:
        indices = np.arange(len(values["POSITION"]))
    return _Corners(values, accessors, indices)


def _unpacked_by_draco(
    source: GltfSource, packed: JsonObject, accessors: Mapping[str, JsonObject]
) -> tuple[Arrays, np.ndarray]:
    """The attributes and the corners of the triangles of a Draco buffer."""
    try:
        import DracoPy
    except ImportError as error:
        raise InputError(
            f"{source.name}: is compressed with Draco ({DRACO}); "
            "pip install 'maquette[gltf]' to read it, or export it without"
        ) from error
    mesh = DracoPy.decode(source.view(packed["bufferView"]))
    values = {}
    for name, number in packed["attributes"].items():
        found = np.asarray(mesh.get_attribute_by_unique_id(number)["data"])
        dtype = DTYPES[accessors[name]["componentType"]]
        values[name] = found.reshape(len(found), -1).astype(dtype)
    return values, np.asarray(mesh.faces, np.int64).ravel()


def _without_parent(nodes: Sequence[JsonObject]) -> list[int]:
    """The numbers of nodes that are nobody's child."""
    children = {child for node in nodes for child in node.get("children", [])}
    return [k for k in range(len(nodes)) if k not in children]


def _instances(source: GltfSource, attributes: Mapping[str, int]) -> Iterator[list[float]]:
    """The matrix of every instance, column by column as glTF writes it."""
    arrays = {name: source.numbers(number) for name, number in attributes.items()}
    places = {name.lower(): values for name, values in arrays.items() if name in PLACES}
    for k in range(len(next(iter(arrays.values())))):
        place = {name: values[k] for name, values in places.items()}
        yield node_matrix(place).T.ravel().tolist()


def node_matrix(node: JsonObject) -> np.ndarray:
    """(4, 4) float64 the transform of a node, parent_from_node."""
    if "matrix" in node:
        return np.asarray(node["matrix"], np.float64).reshape(4, 4).T
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    turn = Rotation.from_quat(np.asarray(node.get("rotation", (0, 0, 0, 1)), np.float64))
    matrix[:3, :3] = turn.as_matrix() * np.asarray(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _joint_matrices(header: JsonObject, node: JsonObject, source: GltfSource) -> np.ndarray:
    """(J, 4, 4) float64 world_from_bind of the joints of a node's skin, in the rest of the file."""
    skin = header["skins"][node["skin"]]
    nodes = header["nodes"]
    parents = {child: k for k, parent in enumerate(nodes) for child in parent.get("children", [])}
    matrices = np.array([_world_matrix(nodes, parents, joint) for joint in skin["joints"]])
    if "inverseBindMatrices" in skin:
        stored = source.numbers(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
        matrices = matrices @ stored.transpose(0, 2, 1)[: len(matrices)]
    return matrices


def _world_matrix(nodes: Sequence[JsonObject], parents: Mapping[int, int], node: int) -> np.ndarray:
    """World from node (4, 4); InputError for nodes that are their own ancestors."""
    matrix = np.eye(4)
    for _ in range(len(nodes)):  # parents that go round in a circle end here
        matrix = node_matrix(nodes[node]) @ matrix
        if node not in parents:
            return matrix
        node = parents[node]
    raise InputError("its nodes are parents of each other; export it again")


def _skinned(positions: np.ndarray, corners: _Corners, joints: np.ndarray) -> np.ndarray:
    """Positions (V, 3) float32 in the world, mixed from where each joint brings them."""
    moved = np.zeros(positions.shape)
    weight = np.zeros((len(positions), 1))
    homogeneous = np.pad(positions.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    sets = sorted(name for name in corners.values if name.startswith("JOINTS_"))
    for name in sets:
        weights = corners.floats(name.replace("JOINTS", "WEIGHTS"))
        for which, share in zip(corners.values[name].T, weights.T):
            each = np.einsum("vij,vj->vi", joints[which.astype(np.int64)], homogeneous)[:, :3]
            moved += share[:, None] * each
            weight += share[:, None]
    return (moved / np.where(weight > 0, weight, 1)).astype(np.float32)
