"""PLY files whose faces have any number of corners -> binary PLY of triangles.

trimesh reads no binary PLY whose faces differ in their number of corners, as Blender writes them,
and cuts polygons into fans. Here such files are written anew before it reads them: vertices with
all their values, faces with their colours and the texture coordinates of their corners. Format:
Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from maquette.errors import InputError
from maquette.export.polygon_files import triangles_of_all, triangulated
from maquette.types import Arrays

_KINDS = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_NAMES = {np.dtype(kind): name for name, kind in reversed(_KINDS.items())}
_ORDERS = {
    "ascii": "",
    "binary_little_endian": "<",
    "binary_big_endian": ">",
}
_INDICES = ("vertex_indices", "vertex_index")
_TEXTURE = "texcoord"  # u, v of each corner of a face
_COUNT_OF = "count of "  # begins the name of a list's length in a row
_LONGEST_HEADER = 1 << 16  # bytes


@dataclass(frozen=True)
class _Property:
    """A value of each row of an element; a list of values where ``counted`` is the type of their
    number.
    """

    name: str
    kind: str  # of NumPy, with its byte order
    counted: str = ""


@dataclass(frozen=True)
class _Element:
    """A table of a PLY file, as its header declares it."""

    name: str
    length: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def lists(self) -> list[_Property]:
        """The properties that are lists."""
        return [each for each in self.properties if each.counted]


@dataclass(frozen=True, eq=False)
class _Ply:
    """A PLY file up to its faces; what follows them is not needed."""

    is_text: bool
    comments: list[str]
    elements: list[_Element]
    body: bytes


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of an element, by property."""

    columns: Arrays = field(default_factory=dict)  # (N,)
    lists: dict[str, list[np.ndarray]] = field(default_factory=dict)  # N arrays


def ply_of_triangles(content: bytes) -> bytes | None:
    """A binary PLY with the vertices and faces of another, in triangles; None when its faces are
    triangles anyway, or it is not understood here.
    """
    ply = _read(content)
    if ply is None or _is_text_of_triangles(ply):
        return None
    tables = _tables(ply)
    points = tables["vertex"].columns
    face = tables["face"]
    indices = next((face.lists[name] for name in _INDICES if name in face.lists), [])
    if all(len(rows) == 3 for rows in indices):
        return None
    vertices = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
    polygons = [rows.astype(np.int64) for rows in indices]
    triangles = triangulated(vertices, polygons)
    faces, owner = triangles_of_all(polygons, triangles)
    columns = {"vertex_indices": faces.astype("<i4")}
    columns |= {name: rows[owner] for name, rows in face.columns.items()}
    columns |= _texture(face.lists.get(_TEXTURE, []), triangles)
    return _written(ply.comments, points, columns)


# The header


def _read(content: bytes) -> _Ply | None:
    """What a header declares; None for one that is not understood here."""
    end = re.search(rb"end_header[ \t]*\r?\n", content[:_LONGEST_HEADER])
    if end is None:
        return None
    lines = content[: end.start()].decode("latin-1").splitlines()
    formats = [line.split()[1] for line in lines if line.startswith("format ")]
    if not formats or formats[0] not in _ORDERS:
        return None
    elements = _elements(lines, _ORDERS[formats[0]])
    if not {"vertex", "face"} <= {element.name for element in elements}:
        return None
    comments = [line for line in lines if line.startswith("comment ")]
    return _Ply(formats[0] == "ascii", comments, elements, content[end.end() :])


def _elements(lines: Sequence[str], order: str) -> list[_Element]:
    """The elements that a header declares, up to the faces."""
    elements: list[_Element] = []
    for words in map(str.split, lines):
        if words[:1] == ["element"]:
            if elements and elements[-1].name == "face":
                break
            elements.append(_Element(words[1], int(words[2])))
        elif words[:2] == ["property", "list"]:
            counted, kind = (order + _KINDS[word] for word in words[2:4])
            elements[-1].properties.append(_Property(words[4], kind, counted))
        elif words[:1] == ["property"]:
            elements[-1].properties.append(_Property(words[2], order + _KINDS[words[1]]))
    return elements


# The tables


def _is_text_of_triangles(ply: _Ply) -> bool:
    """Whether every line of a face begins with a 3, as far as lines are rows."""
    *before, face = ply.elements
    if not ply.is_text or not face.properties[:1] or not face.properties[0].counted:
        return False
    first = sum(element.length for element in before)
    rows = ply.body.splitlines()[first : first + face.length]
    return len(rows) == face.length and all(row.lstrip().startswith(b"3 ") for row in rows)


def _tables(ply: _Ply) -> dict[str, _Rows]:
    """The rows of every element, at once where all are alike, else one by one."""
    source = _Tokens(iter(ply.body.split())) if ply.is_text else _Bytes(ply.body)
    tables = {}
    for element in ply.elements:
        table = source.alike(element)
        tables[element.name] = _row_by_row(source, element) if table is None else table
    return tables


def _row_by_row(source: _Tokens | _Bytes, element: _Element) -> _Rows:
    """The rows of an element whose lists differ in length."""
    table = _Rows(lists={each.name: [] for each in element.properties})
    for _ in range(element.length):
        for each in element.properties:
            count = int(source.take(each.counted, 1)[0]) if each.counted else 1
            table.lists[each.name].append(source.take(each.kind, count))
    for each in element.properties:
        if not each.counted:
            rows = table.lists.pop(each.name)
            table.columns[each.name] = np.array(rows, each.kind).reshape(-1)
    return table


@dataclass
class _Tokens:
    """The values of a text, taken one after the other."""

    words: Iterator[bytes]

    def take(self, kind: str, count: int) -> np.ndarray:
        """The next values."""
        values = np.array(list(islice(self.words, count)), np.float64)
        if len(values) != count:
            raise InputError("the file ends too early; get it again")
        return values.astype(kind)

    def alike(self, element: _Element) -> _Rows | None:
        """The rows of an element without lists."""
        if element.lists:
            return None
        width = len(element.properties)
        rows = self.take("f8", width * element.length).reshape(element.length, width)
        columns = zip(element.properties, rows.T)
        return _Rows({each.name: column.astype(each.kind) for each, column in columns})


@dataclass
class _Bytes:
    """The values of a binary file, taken one after the other."""

    content: bytes
    at: int = 0

    def take(self, kind: str, count: int) -> np.ndarray:
        """The next values."""
        if self.at + count * np.dtype(kind).itemsize > len(self.content):
            raise InputError("the file ends too early; get it again")
        values = np.frombuffer(self.content, kind, count, self.at)
        self.at += values.nbytes
        return values

    def alike(self, element: _Element) -> _Rows | None:
        """The rows of an element, if all lists are as long as those of the first row."""
        if not element.length:
            return _Rows()
        start = self.at
        row = self._first_row(element)
        self.at = start
        if start + row.itemsize * element.length > len(self.content):
            return None
        rows = np.frombuffer(self.content, row, element.length, start)
        table = _Rows()
        for each in element.properties:
            if not each.counted:
                table.columns[each.name] = rows[each.name]
                continue
            counts = rows[_COUNT_OF + each.name]
            if (counts != counts[0]).any():
                return None
            table.lists[each.name] = list(rows[each.name])
        self.at += row.itemsize * element.length
        return table

    def _first_row(self, element: _Element) -> np.dtype:
        """What a row consists of, by the first one."""
        fields: list[tuple] = []
        for each in element.properties:
            shape: tuple[int, ...] = ()
            if each.counted:
                fields.append((_COUNT_OF + each.name, each.counted))
                shape = (int(self.take(each.counted, 1)[0]),)
            fields.append((each.name, each.kind, shape))
            self.take(each.kind, *(shape or (1,)))
        return np.dtype(fields)


# The other file


def _texture(given: Sequence[np.ndarray], triangles: Sequence[np.ndarray]) -> Arrays:
    """Texture coordinates (T, 6) of triangles, from those of the polygons' corners; none unless
    every corner has some.
    """
    parts = []
    for values, each in zip(given, triangles):
        corners = values[: len(values) // 2 * 2].reshape(-1, 2)
        if len(corners) <= each.max(initial=-1):
            return {}
        parts.append(corners[each].reshape(-1, 6))
    return {_TEXTURE: np.concatenate(parts).astype("<f4")} if parts else {}


def _written(
    comments: Sequence[str], vertices: Mapping[str, np.ndarray], faces: Mapping[str, np.ndarray]
) -> bytes:
    """A binary PLY; of a table's columns those (N,) are values, (N, K) lists."""
    header = ["ply", "format binary_little_endian 1.0", *comments]
    body = b""
    for name, columns in (("vertex", vertices), ("face", faces)):
        length = len(next(iter(columns.values())))
        header.append(f"element {name} {length}")
        header += [_declared(key, values) for key, values in columns.items()]
        body += _packed(columns, length)
    return "\n".join([*header, "end_header\n"]).encode("latin-1") + body


def _declared(name: str, values: np.ndarray) -> str:
    """The line of the header for a column."""
    listed = "list uchar " if values.ndim == 2 else ""
    return f"property {listed}{_NAMES[values.dtype.newbyteorder('=')]} {name}"


def _packed(columns: Mapping[str, np.ndarray], length: int) -> bytes:
    """Columns (N,) or (N, K) as binary rows; lists with their count of one byte before them."""
    fields: list[tuple] = []
    for name, values in columns.items():
        fields += [(_COUNT_OF + name, "u1")] if values.ndim == 2 else []
        fields.append((name, values.dtype.newbyteorder("<"), values.shape[1:]))
    table = np.empty(length, np.dtype(fields))
    for name, values in columns.items():
        table[name] = values
        if values.ndim == 2:
            table[_COUNT_OF + name] = values.shape[1]
    return table.tobytes()
