"""A glTF 2.0 binary file under construction, for whoever writes one: arrays in, bytes out.

In the flow: ``glb`` (scenes for other programs) and any other writer -> this -> a .glb file. Knows
nothing of scenes. Format: Khronos glTF 2.0 specification, sections 3.6 (buffers) and 4.4 (GLB).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from maquette.errors import InputError
from maquette.types import JsonObject, check_unicode

ARRAY_BUFFER = 34962
ELEMENT_ARRAY_BUFFER = 34963
COMPONENT_TYPES = {
    "int8": 5120,
    "uint8": 5121,
    "int16": 5122,
    "uint16": 5123,
    "uint32": 5125,
    "float32": 5126,
}
COMPONENT_SIZES = {code: np.dtype(name).itemsize for name, code in COMPONENT_TYPES.items()}
COLUMNS = {
    "SCALAR": 1,
    "VEC2": 2,
    "VEC3": 3,
    "VEC4": 4,
    "MAT2": 4,
    "MAT3": 9,
    "MAT4": 16,
}
ALIGNMENT = 4  # bytes, of views and of rows of vertices
HEADER = struct.Struct("<4sII")  # magic, version, length
CHUNK_HEADER = struct.Struct("<I4s")  # length, kind


@dataclass
class GltfFile:
    """The document: glTF's top-level arrays and the binary chunk."""

    arrays: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    binary: bytearray = field(default_factory=bytearray)

    def add(self, kind: str, **properties: Any) -> int:
        """Append one object to a top-level array; returns its index. Properties that are None are
        left out.
        """
        entries = self.arrays.setdefault(kind, [])
        entries.append({key: value for key, value in properties.items() if value is not None})
        return len(entries) - 1

    def view(
        self,
        content: bytes,
        target: int | None = None,
        stride: int | None = None,
    ) -> int:
        """Append bytes to the binary chunk; returns the index of their buffer view."""
        self.binary.extend(bytes(-len(self.binary) % ALIGNMENT))
        view = {"byteOffset": len(self.binary), "byteLength": len(content)}
        self.binary.extend(content)
        return self.add(
            "bufferViews",
            buffer=0,
            **view,
            byteStride=stride,
            target=target,
        )

    def vertices(
        self,
        values: np.ndarray,
        bounds: bool = False,
        normalized: bool | None = None,
    ) -> int:
        """Append an attribute of vertices (V, 2 to 4); returns the index of its accessor.

        Rows of small integers are padded to four bytes. bounds: with the extreme values, as
        POSITION needs. normalized: integers stand for [0, 1] or [-1, 1].
        """
        columns = values.shape[1]
        padding = -columns * values.itemsize % ALIGNMENT
        rows = np.pad(values, ((0, 0), (0, padding // values.itemsize)))
        stride = rows.shape[1] * rows.itemsize if padding else None
        view = self.view(_little_endian(rows), ARRAY_BUFFER, stride)
        extremes = {}
        if bounds:
            extremes = {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        return self._accessor(view, values, f"VEC{columns}", normalized=normalized, **extremes)

    def triangles(self, faces: np.ndarray, vertices: int) -> int:
        """Append faces (F, 3) of so many vertices; returns the index of their accessor."""
        kind = np.uint16 if vertices < 65535 else np.uint32  # 65535 itself is reserved
        indices = faces.reshape(-1).astype(kind)
        view = self.view(_little_endian(indices), ELEMENT_ARRAY_BUFFER)
        return self._accessor(view, indices, "SCALAR")

    def _accessor(
        self,
        view: int,
        values: np.ndarray,
        kind: str,
        **more: Any,
    ) -> int:
        """Number of a new accessor of values (N, ...) that lie in a buffer view."""
        component = COMPONENT_TYPES[values.dtype.name]
        about = {
            "bufferView": view,
            "componentType": component,
            "count": len(values),
        }
        return self.add(
            "accessors",
            **about,
            type=kind,
            **more,
        )

    def packed(self, generator: str, **properties: Any) -> bytes:
        """The content of the .glb file; ``properties`` are further top-level ones. InputError for
        what JSON cannot hold.
        """
        if self.binary:
            self.add("buffers", byteLength=len(self.binary))
        asset = {"version": "2.0", "generator": generator}
        document = {
            "asset": asset,
            **properties,
            "scene": 0,
            **self.arrays,
        }
        try:
            text = json.dumps(
                document,
                separators=(",", ":"),
                ensure_ascii=False,
                allow_nan=False,
            )
        except ValueError as error:
            raise InputError(
                "the scene has a number that is not finite in its camera, scale or ground height; "
                "fix it"
            ) from error
        check_unicode(text, "the scene has a name or another text that")
        chunks = _chunk(b"JSON", text.encode(), b" ")
        if self.binary:
            chunks += _chunk(b"BIN\0", bytes(self.binary), b"\0")
        return HEADER.pack(b"glTF", 2, HEADER.size + len(chunks)) + chunks


def read_header(file: BinaryIO) -> JsonObject:
    """The JSON of an opened .glb or .gltf file. ValueError when it is neither."""
    start = file.read(HEADER.size + CHUNK_HEADER.size)
    if start[:4] != b"glTF":
        return json.loads((start + file.read()).decode("utf-8"))
    length, kind = CHUNK_HEADER.unpack_from(start, HEADER.size)
    text = file.read(length)
    if kind != b"JSON" or len(text) < length:
        raise ValueError("its JSON chunk is missing or truncated")
    return json.loads(text.decode("utf-8"))


def accessor_bytes(accessor: JsonObject) -> int:
    """How large the array of an accessor of a file is, as the file declares it."""
    number = COMPONENT_SIZES[accessor["componentType"]]
    return accessor["count"] * COLUMNS[accessor["type"]] * number


def _little_endian(values: np.ndarray) -> bytes:
    """Bytes as glTF wants them, on every machine."""
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    """A chunk of a GLB: length, kind, content, padded to the alignment."""
    content += padding * (-len(content) % ALIGNMENT)
    return CHUNK_HEADER.pack(len(content), kind) + content
