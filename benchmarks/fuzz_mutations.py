"""Bytes of a sound file -> bytes of a damaged one, chosen by a random generator and nothing else.

Half of the damage is blind (bytes flipped, cut, inserted); the other half knows the container, so
that it gets past checksums and lengths and reaches the code behind them: members of ZIP archives,
chunks of PNG and GLB files, headers of .npy and safetensors files, values of JSON documents, words
of text.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

EDGES = (0, 1, 2, 3, 7, 8, 31, 127, 128, 255, 256, 4096, 65535, 65536)
EDGES += (10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, 10**400, -1, -2, -(2**31))
ODD_TEXTS = ("", "x", "..", "../../x", "/dev/null", "a\0b", "\ud800", "é" * 300, "x" * 5000, "1")
ODD_NUMBERS = (0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), *EDGES)
ODD_CONTAINERS = ([], {}, [[]], [None], [1, 2, 3], [1e308] * 4, {"a": 1}, [["a"] * 6], [[0] * 300])
ODD_VALUES = (None, True, False, *ODD_TEXTS, *ODD_NUMBERS, *ODD_CONTAINERS)
ODD_LINES = (b"", b"f 0 0 0", b"f 1", b"f 9999999 1 2", b"v nan nan nan", b"v 1", b"usemtl \xff")
ODD_LINES += (b"mtllib ../../x", b"element vertex 4000000000", b"element face -1", b"0 0.1 nan 2")
ODD_WORDS = (b"nan", b"1e400", b"-1", b"0", b"99999999999999999999", b"x", b"\xff", b"9" * 5000)
ODD_TYPES = ("|O", "<f8", "<f2", "|b1", ">u4", "<U100000", "|S0", "|V8", "<M8[s]", "<c16", "zzz")
ODD_SHAPES = ("()", "(0,)", "(-1, 4)", "(10**9, 10**9)", "(2**70,)", "[4]", "(4.0, 4)", "None")
ODD_SHAPES += ("(((", "(1,) * 9", "(99999999999, 8)", "(True, 4)")
PNG_START = b"\x89PNG\r\n\x1a\n"
NPY_START = b"\x93NUMPY"
METHODS = (0, 1, 6, 8, 9, 12, 14, 93, 99)  # of compression, known or not
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def mutated(content: bytes, name: str, random: Random) -> bytes:
    """A damaged copy of the content of the file ``name``; never the content itself."""
    change = _structured(content, name) if random.random() < 0.7 else any_bytes
    result = content
    with contextlib.suppress(Exception):  # already too damaged for its own kind
        result = change(content, random)
    while result == content:
        result = any_bytes(content, random)
    return result


def _structured(content: bytes, name: str) -> Callable[[bytes, Random], bytes]:
    """How to damage a file of this kind from within."""
    kinds = (
        (PNG_START, png_file),
        (NPY_START, npy_file),
        (b"PK", zip_file),
        (b"glTF", glb_file),
        (b"{", json_text),
        (b"[", json_text),
        (b"ply", text_lines),
    )
    if name.endswith(".safetensors"):
        return safetensors_file
    for start, change in kinds:
        if content.startswith(start):
            return change
    return text_lines if content.isascii() else any_bytes


def any_bytes(content: bytes, random: Random) -> bytes:
    """One to ten blind changes, half of them near the beginning."""
    data = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 2, 4, 10))):
        reach = len(data) if random.random() < 0.5 else min(len(data), 100)
        change = random.choice((_flip, _set, _cut, _insert, _number, _repeat, _truncate))
        change(data, random.randrange(reach), random)
        data = data or bytearray(1)
    return bytes(data)


def _flip(data: bytearray, at: int, random: Random) -> None:
    data[at] ^= 1 << random.randrange(8)


def _set(data: bytearray, at: int, random: Random) -> None:
    data[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))


def _cut(data: bytearray, at: int, random: Random) -> None:
    del data[at : at + random.choice((1, 2, 4, 16, 100, 1000))]


def _insert(data: bytearray, at: int, random: Random) -> None:
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))


def _number(data: bytearray, at: int, random: Random) -> None:
    size = random.choice((2, 4, 8))
    value = random.choice(EDGES) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, random.choice(("little", "big")))


def _repeat(data: bytearray, at: int, random: Random) -> None:
    data[at:at] = data[at : at + random.choice((4, 16, 64))]


def _truncate(data: bytearray, at: int, random: Random) -> None:
    if random.random() < 0.3:
        del data[at:]


def text_lines(content: bytes, random: Random) -> bytes:
    """Lines doubled, moved or replaced, numbers and words exchanged for odd ones."""
    lines = content.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        lines[at] = _changed_line(lines[at], lines, random)
    return b"\n".join(lines)


def _changed_line(line: bytes, lines: list[bytes], random: Random) -> bytes:
    words = line.split(b" ")
    kind = random.randrange(7)
    if kind == 0:
        return random.choice(ODD_LINES)
    if kind == 1:
        return line + b"\n" + random.choice(lines)
    if kind == 2:
        return line[: random.randrange(len(line) + 1)]
    if kind == 3:
        number = str(random.choice(EDGES)).encode()
        return _NUMBER.sub(lambda found: number, line, count=random.choice((0, 1)))
    if kind == 4:
        words[random.randrange(len(words))] = random.choice(ODD_WORDS)
    elif kind == 5:
        random.shuffle(words)
    else:
        return any_bytes(line, random)
    return b" ".join(words)


def json_text(content: bytes, random: Random) -> bytes:
    """Values exchanged, moved, deleted; sometimes nested too deeply, or in another encoding."""
    document = changed_value(json.loads(content), random)
    text = json.dumps(document, ensure_ascii=random.random() < 0.7)
    kind = random.randrange(12)
    if kind == 0:
        depth = random.choice((100, 900, 5000, 100_000))
        place = random.choice([found.span() for found in re.finditer(r"\d+", text)] or [(0, 1)])
        text = text[: place[0]] + "[" * depth + "]" * depth + text[place[1] :]
    if kind == 1:
        return text.encode(random.choice(("utf-16", "latin-1", "utf-32", "utf-8-sig")), "replace")
    return text.encode("utf-8", "surrogatepass")


def changed_value(document: Any, random: Random) -> Any:
    """A JSON value with one to three changes at random places; text that is JSON is changed
    within.
    """
    for _ in range(random.choice((1, 1, 2, 3))):
        document = _changed_once(document, random, 0.05)
    return document


def _changed_once(value: Any, random: Random, here: float) -> Any:
    """Descend at random and replace what is found there; ``here``: probability of ending now."""
    deeper = isinstance(value, (dict, list)) and len(value) > 0
    if not deeper or random.random() < here:
        return _replaced(value, random)
    value = value.copy()
    key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
    kind = random.randrange(20)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[random.choice(("x", "id", "size", ""))] = value.pop(key)
    elif kind == 2 and isinstance(value, list):
        value.append(value[key])
    elif kind == 3:
        other = random.choice(list(value)) if isinstance(value, dict) else 0
        value[key] = value[other]
    else:
        value[key] = _changed_once(value[key], random, 0.2)
    return value


def _replaced(value: Any, random: Random) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json_text(value.encode(), random).decode("utf-8", "replace")
    kind = random.randrange(4)
    if kind == 0 and isinstance(value, (int, float)):
        return random.choice((value + 1, value - 1, -value, value * 1000, str(value), [value]))
    if kind == 0 and isinstance(value, str):
        return random.choice((value[:-1], value * 50, value.upper(), value[::-1], [value]))
    if kind == 0 and isinstance(value, list):
        return random.choice((value[::-1], value * 2, value[:-1], value * 100))
    return random.choice(ODD_VALUES)


def png_file(content: bytes, random: Random) -> bytes:
    """Chunks changed, doubled, moved or dropped, under right checksums."""
    chunks = _png_chunks(content)
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(chunks))
        kind, data = chunks[at]
        choice = random.randrange(6)
        if choice == 0:
            chunks.append(chunks.pop(at))
        elif choice == 1:
            chunks.insert(random.randrange(len(chunks)), (kind, data))
        elif choice == 2 and len(chunks) > 1:
            del chunks[at]
        elif choice == 3:
            chunks[0] = (chunks[0][0], any_bytes(chunks[0][1], random))
        elif choice == 4 and kind == b"IDAT":
            chunks[at] = (kind, zlib.compress(any_bytes(zlib.decompress(data), random)))
        else:
            chunks[at] = (kind, any_bytes(data, random))
    return PNG_START + b"".join(_png_chunk(*chunk) for chunk in chunks)


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks = []
    at = len(PNG_START)
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    return chunks


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def npy_file(content: bytes, random: Random) -> bytes:
    """The header's type or shape exchanged, or the values cut or changed."""
    (size,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + size].decode("latin1").strip()
    values = content[10 + size :]
    kind = random.randrange(5)
    if kind == 0:
        header = re.sub(r"'descr': '[^']*'", f"'descr': '{random.choice(ODD_TYPES)}'", header)
    elif kind == 1:
        header = re.sub(r"\([^)]*\)", random.choice(ODD_SHAPES), header)
    elif kind == 2:
        odd = ("{}", "(" * 300, "[" * 9000, "-" * 5000 + "1", "0" * 5000, "\0", header[:-3])
        header = random.choice(odd)
    elif kind == 3:
        values = values[: random.randrange(len(values) + 1)]
    else:
        values = any_bytes(values, random)
    written = header.encode("latin1") + b"\n"
    version = bytes((random.choice((1, 1, 1, 1, 2, 3, 9)), 0))
    return NPY_START + version + struct.pack("<H", len(written)) + written + values


def zip_file(content: bytes, random: Random) -> bytes:
    """Members changed, renamed, doubled or dropped; marked as encrypted or oddly compressed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.namelist()]
    at = random.randrange(len(members))
    name, data = members[at]
    kind = random.randrange(6)
    if kind <= 2:
        members[at] = (name, mutated(data, name, random))
    elif kind == 3:
        members[at] = (random.choice(("../x.npy", "x", "a/b.npy", "é.npy", name * 50)), data)
    elif kind == 4:
        members.append((random.choice((name, "x.npy")), random.choice((data, b"", b"\x80\x04N."))))
    else:
        del members[at]
    packed = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return _marked(packed.getvalue(), random)


def _marked(archive: bytes, random: Random) -> bytes:
    """Sometimes another flag, method or size in the records of an archive's members."""
    data = bytearray(archive)
    kind = random.randrange(8)
    method = random.choice(METHODS)
    size = random.choice(EDGES) % 2**32
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            if kind == 0:
                data[at + flags] |= 1  # encrypted
            elif kind == 1:
                data[at + flags + 2] = method
            elif kind == 2:
                struct.pack_into("<I", data, at + flags + 16, size)
            at = data.find(signature, at + 4)
    return bytes(data)


def glb_file(content: bytes, random: Random) -> bytes:
    """The JSON chunk changed as JSON, or the binary chunk blindly."""
    (size,) = struct.unpack_from("<I", content, 12)
    text = content[20 : 20 + size]
    binary = content[28 + size :]
    if random.random() < 0.8:
        text = json_text(text, random)
    else:
        binary = any_bytes(binary, random)
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def safetensors_file(content: bytes, random: Random) -> bytes:
    """The header changed as JSON, above all its metadata, or the numbers cut or changed."""
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    values = content[8 + size :]
    kind = random.randrange(5)
    if kind <= 2 and "__metadata__" in header:
        about = changed_value(header["__metadata__"], random)
        is_plain = isinstance(about, dict)
        about = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
        header["__metadata__"] = about if is_plain else {}
    elif kind == 3:
        header = changed_value(header, random)
    else:
        values = any_bytes(values, random)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + values
