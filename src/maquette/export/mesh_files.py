"""Mesh files that anyone made -> trimesh scenes: GLB, glTF, OBJ, PLY, STL and OFF.

The one place where meshes of strangers are parsed, for import, evaluation and editing alike.
trimesh does it; what it would misread is mended in the bytes before, extensions of glTF by
``gltf_plain``, and the files that a mesh names are looked for as the programs of others write
names.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import trimesh
from PIL import Image
from trimesh.resolvers import FilePathResolver

from maquette.errors import InputError, contained
from maquette.export.gltf import read_header
from maquette.export.gltf_plain import is_plain, plain_gltf, refuse_extensions
from maquette.export.gltf_source import GltfSource
from maquette.export.ply_polygons import ply_of_triangles
from maquette.export.polygon_files import obj_of_triangles, off_of_triangles
from maquette.types import StrPath, check_faces

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
OTHER_SUFFIXES = (
    ".3dm",
    ".3ds",
    ".3mf",
    ".abc",
    ".blend",
    ".c4d",
    ".dae",
    ".dxf",
    ".fbx",
    ".iges",
    ".igs",
    ".lwo",
    ".ma",
    ".max",
    ".mb",
    ".skp",
    ".step",
    ".stp",
    ".usd",
    ".usda",
    ".usdc",
    ".usdz",
    ".vox",
    ".vrm",
    ".wrl",
    ".x3d",
)
REMEDY = "convert them to GLB, for example with Blender"

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff", ".gif", ".dds")
_OF_TRIANGLES = {
    "obj": obj_of_triangles,
    "ply": ply_of_triangles,
    "off": off_of_triangles,
}
_STL_HEADER = 84  # bytes: 80 of text, and the number of faces
_STL_FACE = 50
_STL_TEXT = 1024  # bytes in which a text has named its first facet
_STL_UNKNOWN = (0, 2**32 - 1)  # what stands for a number that is not known
# what may stand before a texture's name in an MTL file: -s 1 1 1 -clamp on
_MAP_OPTIONS = re.compile(r"(?:-[a-z]+(?:\s+(?:on|off|[-+.\d]+))*\s+)+")


@dataclass(frozen=True, eq=False)
class MeshContent:
    """What a mesh file holds, and what it lacks."""

    scene: trimesh.Scene
    notes: tuple[str, ...]  # files that it names and that are missing or damaged, as sentences


def read_mesh_file(
    path: StrPath, *, folder: StrPath | None = None, textures: bool = True
) -> MeshContent:
    """Read a mesh file of any of SUFFIXES; names, transforms and colours are as trimesh gives them.

    Other files that it names must lie below ``folder``, by default its own. Without ``textures``
    no picture is read. InputError when the file is missing, damaged or of another format.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: is not one of {', '.join(SUFFIXES)}; {REMEDY}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    resolver = _NamedFiles(path, Path(folder or path.parent))
    with contained(f"{path}: it cannot be read as a mesh", "export it again"):
        mended, kind = _mended(path, resolver)
        scene = trimesh.load_scene(
            path if mended is None else io.BytesIO(mended),
            file_type=kind,
            resolver=resolver,
            process=False,
            skip_materials=not textures,
            **_parts_of_obj(path, textures),
        )
        _check_faces(scene, path)
    return MeshContent(scene, tuple(dict.fromkeys(resolver.notes)))


def _parts_of_obj(path: Path, textures: bool) -> dict[str, Any]:
    """How trimesh takes an OBJ apart: by its objects, or else its groups, or else materials."""
    if path.suffix.lower() != ".obj":
        return {}
    lines = path.read_bytes().splitlines()
    objects = sum(line.startswith(b"o ") for line in lines)
    groups = {line for line in lines if line.startswith(b"g ")}
    split = {"split_objects": objects > 1, "split_groups": objects < 2 and len(groups) > 1}
    return split | {"group_material": textures or not any(split.values())}


def _check_faces(scene: trimesh.Scene, path: Path) -> None:
    """InputError for a face that names a vertex which is not there."""
    for name, mesh in scene.geometry.items():
        if isinstance(mesh, trimesh.Trimesh):
            check_faces(np.asarray(mesh.faces), len(mesh.vertices), f"{path}: {name}")


def _mended(path: Path, resolver: _NamedFiles) -> tuple[bytes | None, str]:
    """The file's bytes without what trimesh would misread, and their format; None = it reads the
    file as it is.
    """
    kind = path.suffix[1:].lower()
    if kind == "stl":
        return _whole_stl(path.read_bytes(), path), kind
    if kind in _OF_TRIANGLES:
        try:
            return _OF_TRIANGLES[kind](path.read_bytes()), kind
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if kind in ("glb", "gltf"):
        with open(path, "rb") as file:
            header = read_header(file)
        refuse_extensions(header, str(path))
        if not is_plain(header):
            source = GltfSource(path.read_bytes(), header, resolver.get, str(path), resolver.notes)
            return plain_gltf(source), "glb"
    return None, kind


def _whole_stl(content: bytes, path: Path) -> bytes | None:
    """A binary STL whose number of faces is that of the faces that follow: some programs write
    bytes behind the last one, or do not know yet how many there will be. None for a text.

    InputError when there are fewer faces than announced.
    """
    if len(content) < _STL_HEADER or b"facet" in content[:_STL_TEXT].lower():
        return None
    (faces,) = struct.unpack_from("<I", content, _STL_HEADER - 4)
    there, rest = divmod(len(content) - _STL_HEADER, _STL_FACE)
    if faces in _STL_UNKNOWN and there and not rest:
        faces = there
    if faces > there:
        raise InputError(
            f"{path}: holds {there} faces instead of {faces} and is cut off; get it again"
        )
    head = content[: _STL_HEADER - 4] + struct.pack("<I", faces)
    return head + content[_STL_HEADER : _STL_HEADER + faces * _STL_FACE]


class _NamedFiles(FilePathResolver):
    """How trimesh gets the files that a mesh file names. Takes notes of what it cannot give."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(str(path))
        self.folder = folder
        self.notes: list[str] = []

    def get(self, name: str) -> bytes:
        """The content of the file that is meant by ``name``; FileNotFoundError without one."""
        found = find_named(name, Path(self.parent), self.folder)
        if found is None and name.lower().endswith(".mtl") and len(_several(name)) > 1:
            return b"\n".join(map(self._or_nothing, _several(name)))
        if found is None:
            self.notes.append(f"{name} is named but not there")
            raise FileNotFoundError(name)
        content = found.read_bytes()
        if found.suffix.lower() in _PICTURES and not _is_picture(content):
            self.notes.append(f"{name} cannot be read as a picture")
        return content

    def _or_nothing(self, name: str) -> bytes:
        """The content of a file, empty when it is missing."""
        with contextlib.suppress(FileNotFoundError):  # there is a note
            return self.get(name)
        return b""


def _several(name: str) -> list[str]:
    """The material libraries that one line of OBJ names: between tabs here, between spaces as the
    format has it.
    """
    return name.split("\t") if "\t" in name else name.split()


def _is_picture(content: bytes) -> bool:
    """Whether Pillow can open it."""
    with contextlib.suppress(OSError, SyntaxError, ValueError), Image.open(io.BytesIO(content)):
        return True
    return False


def find_named(name: str, place: Path, folder: Path) -> Path | None:
    """The file below ``folder`` that a file in ``place`` means by ``name``; None = there is none.

    Names may be percent-encoded (glTF 2.0, section 2.8), have backslashes, another case, options of
    MTL before them, or folders of the machine where they were written.
    """
    for spelling in _spellings(name):
        parts = PurePosixPath(spelling).parts
        for first in range(len(parts)):
            found = _in_any_case(place, parts[first:])
            if found is not None and found.resolve().is_relative_to(folder.resolve()):
                return found
    return None


def _spellings(name: str) -> Iterator[str]:
    """Ways to write the name of a texture: as it is, quoted for URLs, behind map options."""
    plain = name.strip().strip('"').replace("\\", "/")
    yield plain
    yield unquote(plain)
    yield _MAP_OPTIONS.sub("", plain, count=1)


def _in_any_case(place: Path, parts: tuple[str, ...]) -> Path | None:
    """The file at a relative path, whose parts may be written with other capitals."""
    for part in parts:
        if not (place / part).exists():
            entries = sorted(place.iterdir()) if place.is_dir() else []
            alike = [e.name for e in entries if e.name.casefold() == part.casefold()]
            if not alike:
                return None
            part = alike[0]
        place = place / part
    return place if place.is_file() else None
