"""The arrays of a glTF file, whatever packs them: Draco apart, which packs whole meshes.

In the flow: ``gltf_plain`` asks for the accessors and images of the file that it writes anew.
Formats: Khronos glTF 2.0 specification, sections 3.6 (buffers and accessors) and 3.8 (images).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_to_bytes

import numpy as np

from maquette.errors import InputError
from maquette.export.gltf import CHUNK_HEADER, COLUMNS, COMPONENT_TYPES, HEADER
from maquette.export.meshopt import unpack
from maquette.types import JsonObject

PACKED = ("EXT_meshopt_compression", "KHR_meshopt_compression")
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in COMPONENT_TYPES.items()}
KTX2_MAGIC = b"\xabKTX 20\xbb"
WHITE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4//8/AAX+Av4zEpUUAAAAAElFTkSuQmCC"
)


@dataclass(frozen=True, eq=False)
class GltfSource:
    """A file that is read: its JSON and its arrays."""

    content: bytes  # of the .glb or .gltf file
    header: JsonObject  # its JSON
    find: Callable[[str], bytes]  # the content of a file that it names
    name: str
    notes: list[str]  # takes what a reader should know of what it lacks

    @cached_property
    def binary(self) -> bytes:
        """The binary chunk of a .glb file."""
        at = HEADER.size
        while at + CHUNK_HEADER.size <= len(self.content):
            length, kind = CHUNK_HEADER.unpack_from(self.content, at)
            at += CHUNK_HEADER.size
            if kind == b"BIN\0":
                return self.content[at : at + length]
            at += length
        raise InputError(f"{self.name}: its binary part is missing; export it again")

    def buffer(self, number: int) -> bytes:
        """The content of a buffer."""
        uri = self.header["buffers"][number].get("uri")
        return self.binary if uri is None else self.named(uri)

    def named(self, uri: str) -> bytes:
        """The content that a URI stands for: it holds it, or names a file."""
        if not uri.startswith("data:"):
            return self.find(uri)
        head, _, text = uri.partition(",")
        return base64.b64decode(text) if head.endswith(";base64") else unquote_to_bytes(text)

    def view(self, number: int) -> bytes:
        """The bytes of a buffer view, unpacked."""
        view = self.header["bufferViews"][number]
        packed = next((e for k, e in view.get("extensions", {}).items() if k in PACKED), None)
        place = view if packed is None else packed
        start = place.get("byteOffset", 0)
        content = self.buffer(place["buffer"])[start : start + place["byteLength"]]
        if len(content) < place["byteLength"]:
            raise InputError(f"{self.name}: a buffer is truncated; export it again")
        if packed is None:
            return content
        filtered = packed.get("filter", "NONE")
        return unpack(content, packed["mode"], packed["count"], packed["byteStride"], filtered)

    def array(self, number: int) -> np.ndarray:
        """(count, columns) the numbers of an accessor, as they are stored."""
        accessor = self.header["accessors"][number]
        dtype = DTYPES[accessor["componentType"]]
        shape = (accessor["count"], COLUMNS[accessor["type"]])
        values = np.zeros(shape, dtype)
        if "bufferView" in accessor:
            view = self.header["bufferViews"][accessor["bufferView"]]
            start = accessor.get("byteOffset", 0)
            packed = shape[1] * dtype.itemsize
            content = self.view(accessor["bufferView"])
            strides = (view.get("byteStride", packed), dtype.itemsize)
            values = np.ndarray(shape, dtype, content, start, strides).copy()
        sparse = accessor.get("sparse")
        if sparse is not None:
            rows = self._sparse(sparse["indices"], sparse["count"], 1, None)[:, 0]
            values[rows] = self._sparse(sparse["values"], sparse["count"], shape[1], dtype)
        return values

    def _sparse(
        self,
        place: JsonObject,
        count: int,
        columns: int,
        dtype: np.dtype | None,
    ) -> np.ndarray:
        """(count, columns) indices or values of a sparse accessor."""
        dtype = DTYPES[place["componentType"]] if dtype is None else dtype
        content = self.view(place["bufferView"])
        return np.ndarray((count, columns), dtype, content, place.get("byteOffset", 0))

    def numbers(self, number: int) -> np.ndarray:
        """(count, columns) float32 what the numbers of an accessor stand for."""
        return as_floats(self.array(number), self.header["accessors"][number])

    def image(self, image: JsonObject) -> tuple[bytes, str]:
        """The content of an image and its type; a white pixel, and a note, for one that no reader
        of pictures understands or that is not there.
        """
        if "bufferView" in image:
            content = self.view(image["bufferView"])
        else:
            content = b""
            with contextlib.suppress(FileNotFoundError):  # the finder takes note of it
                content = self.named(image["uri"])
        if content.startswith(KTX2_MAGIC):
            self.notes.append(f"{image.get('name') or 'a texture'} is KTX2, which is not read")
            content = b""
        if not content:
            return WHITE_PIXEL, "image/png"
        return content, image.get("mimeType") or _mime_type(content)


def _mime_type(content: bytes) -> str:
    """PNG or JPEG: glTF knows no other."""
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"


def as_floats(values: np.ndarray, accessor: JsonObject) -> np.ndarray:
    """Stored numbers as float32: normalised integers stand for [0, 1] or [-1, 1]."""
    floats = values.astype(np.float32)
    if not accessor.get("normalized") or values.dtype.kind == "f":
        return floats
    return np.maximum(floats / np.float32(np.iinfo(values.dtype).max), np.float32(-1))
