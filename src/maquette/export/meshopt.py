"""Buffers that meshoptimizer has packed, as glTF files carry them, -> the bytes that were packed.

In the flow: ``gltf_plain`` asks for the buffer views of a file. Formats: EXT_meshopt_compression
(Khronos glTF, extensions/2.0/Vendor), appendices A (bitstreams) and B (filters). Written in plain
loops, which Numba compiles: there is no package of the original with wheels for every system.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from maquette.errors import InputError

compiled = njit(cache=True)
ATTRIBUTES_HEADER = 0xA0  # bitstreams begin with their kind and their version
TRIANGLES_HEADER = 0xE0
INDICES_HEADER = 0xD0
GROUP = 16  # elements whose deltas are packed with the same number of bits
BLOCK_BYTES = 8192
BLOCK_ELEMENTS = 256
TAIL_BYTES = 32  # of the baseline at the end of packed attributes, at least
CODE_TABLE_BYTES = 16  # at the end of packed triangles
FIFO = 16  # edges and vertices that packed triangles may refer back to
RESTART = 0xFE  # from this code on a triangle's vertices are described one by one


def unpack(
    content: bytes,
    mode: str,
    count: int,
    stride: int,
    filter_name: str,
) -> bytes:
    """``count`` packed elements of ``stride`` bytes -> their bytes. InputError for damaged ones."""
    packed = np.frombuffer(content, np.uint8)
    if mode == "ATTRIBUTES":
        values = _attributes(packed, count, stride)
        values = _filtered(values, filter_name)
    elif mode == "TRIANGLES":
        values = _indices(_triangles, packed, TRIANGLES_HEADER, count, stride)
    elif mode == "INDICES":
        values = _indices(_index_sequence, packed, INDICES_HEADER, count, stride)
    else:
        raise InputError(f"meshopt compression has no mode {mode!r}; export the file again")
    return values.tobytes()


def _check(sound: bool) -> None:
    """InputError when the data are not sound."""
    if not sound:
        raise InputError("its meshopt data are damaged; export it again")


def _indices(
    decode,
    packed: np.ndarray,
    header: int,
    count: int,
    stride: int,
) -> np.ndarray:
    """(count,) vertex numbers of 2 or 4 bytes, after a header byte with kind and version."""
    _check(len(packed) > 0 and packed[0] & 0xF0 == header and stride in (2, 4))
    _check(packed[0] & 0x0F <= 1 and (count % 3 == 0 or header != TRIANGLES_HEADER))
    indices = np.zeros(count, np.uint32)
    _check(decode(packed, int(packed[0] & 0x0F), indices))
    return indices.astype(np.uint16 if stride == 2 else np.uint32)


def _attributes(packed: np.ndarray, count: int, stride: int) -> np.ndarray:
    """(count, stride) uint8: each byte of an element is a delta to the same of the one before."""
    _check(0 < stride <= BLOCK_ELEMENTS and stride % 4 == 0)
    tail = max(stride, TAIL_BYTES)
    _check(len(packed) >= 1 + tail)
    if packed[0] != ATTRIBUTES_HEADER:
        raise InputError(
            f"its meshopt data are of version {packed[0] & 0x0F}, which is not read; "
            "export it with EXT_meshopt_compression"
        )
    values = np.zeros((count, stride), np.uint8)
    block = min(BLOCK_BYTES // stride // GROUP * GROUP, BLOCK_ELEMENTS)
    _check(_unpack_blocks(packed[: len(packed) - tail], packed[-stride:], block, values))
    return values


@compiled
def _unpack_blocks(
    packed,
    baseline,
    block,
    values,
):
    """Fill ``values``; False when the data do not hold them all."""
    count, stride = values.shape
    at = 1
    last = baseline.copy()
    for start in range(0, count, block):
        elements = min(block, count - start)
        groups = (elements + GROUP - 1) // GROUP
        for column in range(stride):
            header = at
            at += (groups + 3) // 4
            if at > len(packed):
                return False
            value = last[column]
            for group in range(groups):
                bits = (packed[header + group // 4] >> (2 * (group % 4))) & 3
                deltas, at = _group_deltas(packed, at, bits)
                if at > len(packed):
                    return False
                for k in range(min(GROUP, elements - group * GROUP)):
                    delta = deltas[k]
                    value = np.uint8(value + ((delta >> 1) ^ (-(delta & 1) & 255)))
                    values[start + group * GROUP + k, column] = value
            last[column] = value
    return True


@compiled
def _group_deltas(packed, at, bits):
    """The deltas of a group, still in zigzag, and where the next group begins.

    bits: 0 = none, 1 and 2 = two and four bits each, the largest standing for a byte of its own
    behind the group; 3 = whole bytes.
    """
    deltas = np.zeros(GROUP, np.int64)
    if bits == 0:
        return deltas, at
    width = 1 << bits  # 2, 4, 8 bits
    after = at + GROUP * width // 8
    if after > len(packed):
        return deltas, after
    escape = (1 << width) - 1
    for k in range(GROUP):
        byte = packed[at + k * width // 8]
        shift = 8 - width - k * width % 8
        delta = (byte >> shift) & escape
        if bits < 3 and delta == escape:
            if after >= len(packed):
                return deltas, len(packed) + 1
            delta = packed[after]
            after += 1
        deltas[k] = delta
    return deltas, after


@compiled
def _varint(packed, at, end):
    """A number in groups of seven bits, low group first, and where the next one begins."""
    number = 0
    for k in range(5):
        if at >= end:
            return number, end + 1
        byte = packed[at]
        at += 1
        number |= (byte & 127) << (7 * k)
        if byte < 128:
            break
    return number, at


@compiled
def _unzigzag(number):
    """0, 1, 2, 3, ... -> 0, -1, 1, -2, ..."""
    return (number >> 1) ^ -(number & 1)


@compiled
def _index_sequence(packed, version, indices):
    """Each index is a delta to one of two before; False when the data end early."""
    last = np.zeros(2, np.int64)
    at = 1
    end = len(packed) - 4
    for k in range(len(indices)):
        number, at = _varint(packed, at, end)
        if at > end:
            return False
        which = number & 1
        last[which] += _unzigzag(number >> 1)
        indices[k] = np.uint32(last[which])
    return True


class _Memory(NamedTuple):
    """What packed triangles may refer back to."""

    edges: np.ndarray  # (FIFO, 2) int64, in a ring
    vertices: np.ndarray  # (FIFO,) int64, in a ring
    counters: np.ndarray  # int64: EDGES, VERTICES, FRESH, LAST, AT


EDGES = 0  # how many were remembered so far
VERTICES = 1
FRESH = 2  # the next index that was not used yet
LAST = 3  # the last index that was written out
AT = 4  # where the next number stands in the data


@compiled
def _remember_edge(memory, a, b):
    """In the ring of edges, over the oldest."""
    memory.edges[memory.counters[EDGES] % FIFO, 0] = a
    memory.edges[memory.counters[EDGES] % FIFO, 1] = b
    memory.counters[EDGES] += 1


@compiled
def _remember_vertex(memory, vertex):
    """In the ring of vertices, over the oldest."""
    memory.vertices[memory.counters[VERTICES] % FIFO] = vertex
    memory.counters[VERTICES] += 1


@compiled
def _fresh(memory):
    """The next vertex that no face has named yet."""
    memory.counters[FRESH] += 1
    return memory.counters[FRESH] - 1


@compiled
def _written_out(packed, end, memory):
    """A vertex that is stored as its difference to the last one."""
    number, memory.counters[AT] = _varint(packed, memory.counters[AT], end)
    memory.counters[LAST] += _unzigzag(number)
    return memory.counters[LAST]


@compiled
def _triangles(packed, version, indices):
    """Triangles that continue an edge or a vertex of one of the last; False when the data end."""
    table = len(packed) - CODE_TABLE_BYTES
    triangles = len(indices) // 3
    if 1 + triangles > table:
        return False
    memory = _Memory(np.zeros((FIFO, 2), np.int64), np.zeros(FIFO, np.int64), np.zeros(5, np.int64))
    memory.counters[AT] = 1 + triangles
    for triangle in range(triangles):
        code = packed[1 + triangle]
        if code < 0xF0:
            a, b, c = _beside_an_edge(packed, table, code, version, memory)
        elif memory.counters[AT] >= table and code >= RESTART:
            return False
        else:
            a, b, c = _apart(packed, table, code, memory)
        if memory.counters[AT] > table:
            return False
        indices[3 * triangle] = np.uint32(a)
        indices[3 * triangle + 1] = np.uint32(b)
        indices[3 * triangle + 2] = np.uint32(c)
    return True


@compiled
def _beside_an_edge(
    packed,
    table,
    code,
    version,
    memory,
):
    """A triangle on one of the last edges: the code says which, and what its third vertex is."""
    edge = (memory.counters[EDGES] - 1 - (code >> 4)) % FIFO
    a = memory.edges[edge, 0]
    b = memory.edges[edge, 1]
    third = code & 15
    remembered = 13 if version >= 1 else 15  # vertices that the code can refer to
    if 0 < third < remembered:
        c = memory.vertices[(memory.counters[VERTICES] - 1 - third) % FIFO]
    else:
        if third == 0:
            c = _fresh(memory)
        elif third < 15:  # one before the last that was written out, or one behind it
            memory.counters[LAST] += 2 * (third - remembered) - 1
            c = memory.counters[LAST]
        else:
            c = _written_out(packed, table, memory)
        _remember_vertex(memory, c)
    _remember_edge(memory, c, b)
    _remember_edge(memory, a, c)
    return a, b, c


@compiled
def _apart(
    packed,
    table,
    code,
    memory,
):
    """A triangle on no edge: a pair of numbers says what its vertices are, 0 = a fresh one, else
    one of the last; with codes from RESTART on, 15 = one that is written out.
    """
    described = code >= RESTART
    pair = packed[memory.counters[AT]] if described else packed[table + (code & 15)]
    if described:
        memory.counters[AT] += 1
        if pair == 0:
            memory.counters[FRESH] = 0
    kinds = np.zeros(3, np.int64)
    kinds[0] = 15 if code == 0xFF else 0
    kinds[1] = pair >> 4
    kinds[2] = pair & 15
    found = np.zeros(3, np.int64)
    for corner in range(3):
        if kinds[corner] == 0:
            found[corner] = _fresh(memory)
        else:
            place = memory.counters[VERTICES] - kinds[corner]
            found[corner] = memory.vertices[place % FIFO]
    for corner in range(3):
        if described and kinds[corner] == 15:
            found[corner] = _written_out(packed, table, memory)
    for corner in range(3):
        if corner == 0 or kinds[corner] == 0 or (described and kinds[corner] == 15):
            _remember_vertex(memory, found[corner])
    _remember_edge(memory, found[1], found[0])
    _remember_edge(memory, found[2], found[1])
    _remember_edge(memory, found[0], found[2])
    return found[0], found[1], found[2]


def _filtered(values: np.ndarray, name: str) -> np.ndarray:
    """Bytes (count, stride) as the filter of the extension makes them."""
    stride = values.shape[1]
    if name == "NONE":
        return values
    if name == "OCTAHEDRAL" and stride in (4, 8):
        return _octahedral(values.view(np.int8 if stride == 4 else "<i2"))
    if name == "QUATERNION" and stride == 8:
        return _quaternions(values.view("<i2"))
    if name == "EXPONENTIAL":
        packed = values.view("<i4")
        mantissa = (packed << 8) >> 8
        return np.ldexp(mantissa.astype(np.float32), packed >> 24).astype("<f4")
    raise InputError(f"meshopt compression has no filter {name!r}; export the file again")


def _rounded(values: np.ndarray) -> np.ndarray:
    """The nearest whole numbers, halves away from zero."""
    return np.trunc(values + np.copysign(np.float32(0.5), values))


def _octahedral(packed: np.ndarray) -> np.ndarray:
    """Unit vectors from two coordinates on an octahedron, in the same integers."""
    x, y, one = packed[:, :3].astype(np.float32).T
    z = one - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0)
    x -= np.where(x >= 0, fold, -fold)
    y -= np.where(y >= 0, fold, -fold)
    largest = np.float32(np.iinfo(packed.dtype).max)
    scale = largest / np.sqrt(x * x + y * y + z * z)
    found = packed.copy()
    for column, axis in enumerate((x, y, z)):
        found[:, column] = _rounded(axis * scale)
    return found


def _quaternions(packed: np.ndarray) -> np.ndarray:
    """Unit quaternions from their three smaller components, in 16-bit integers."""
    scale = np.float32(1 / np.sqrt(2)) / (packed[:, 3] | 3).astype(np.float32)
    small = packed[:, :3].astype(np.float32) * scale[:, None]
    largest = np.sqrt(np.maximum(0, 1 - (small**2).sum(1)))
    which = packed[:, 3] & 3
    found = np.empty_like(packed)
    rows = np.arange(len(packed))
    for column in range(3):
        found[rows, (which + 1 + column) % 4] = _rounded(small[:, column] * 32767)
    found[rows, which] = _rounded(largest * 32767)
    return found
