"""Files for clients: what they are called, and several of them as a ZIP."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".npz": "application/octet-stream",
    ".zip": "application/zip",
    ".glb": "model/gltf-binary",
    ".obj": "model/obj",
    ".ply": "application/octet-stream",
    ".stl": "model/stl",
    ".html": "text/html; charset=utf-8",
}


@dataclass(frozen=True)
class Download:
    """A file that a browser saves."""

    name: str
    content: bytes

    @property
    def media_type(self) -> str:
        """What the file is, by its suffix."""
        return MEDIA_TYPES[Path(self.name).suffix]


def zipped(folder: Path) -> bytes:
    """All files below a folder as a ZIP; what is compressed already is stored."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            kind = zipfile.ZIP_STORED if file.suffix in (".png", ".npz") else zipfile.ZIP_DEFLATED
            archive.write(file, file.relative_to(folder).as_posix(), kind, compresslevel=1)
    return stream.getvalue()


def file_stem(name: str, otherwise: str) -> str:
    """A name for a file of any operating system that resembles what somebody called a thing."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:60] or otherwise
