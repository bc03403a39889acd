"""The files beside a scene document: named by their content, added, checked and dropped.

In the flow: ``document`` makes and reads the contents; this module knows the disk. A file's name
carries the beginning of its sha256, so a file never changes: saving another scene adds files, and
those that the valid document does not need any more are dropped afterwards.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from maquette.containers import MemoryBudget, read_bytes
from maquette.document.fields import Fields
from maquette.errors import InputError
from maquette.output import TEMPORARY_PREFIX, atomic_write, clear_leftovers, flush_folder, sha256_of
from maquette.types import JsonObject, StrPath

DEFAULT_NAME = "scene.json"
SHARED_NAME = "scene.glb"  # beside it, or instead of it
RESTORE = "restore the file or save the scene again"
DIGITS = 12  # of a file's sha256 that its name carries
# What this program calls its files; without the sum up to version 0.1.0.
_OWN_FILE = re.compile(
    rf"(?:instance_\d+|mask_\d+|photo|depth)(?P<sum>-[0-9a-f]{{{DIGITS}}})?\.(?:ply|png|npz)"
)


def scene_file(path: StrPath) -> Path:
    """The file that a scene's folder means: its scene.json, or else its scene.glb; any other path
    is the file itself. InputError for a folder with neither.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    for name in (DEFAULT_NAME, SHARED_NAME):
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: holds neither {DEFAULT_NAME} nor {SHARED_NAME}; give a folder that `maquette "
        "generate` made, or a scene's file"
    )


@dataclass(frozen=True)
class NewFiles:
    """The files of a scene that is being saved: contents by the name that the document uses."""

    folder: str  # of the files, seen from the document
    contents: dict[str, bytes] = field(default_factory=dict)
    records: JsonObject = field(default_factory=dict)  # the entry ``files`` of the document

    def take(
        self,
        stem: str,
        suffix: str,
        content: bytes,
    ) -> str:
        """Take a file in; returns its name."""
        digest = sha256_of(content)
        name = f"{self.folder}/{stem}-{digest[:DIGITS]}{suffix}"
        self.contents[name] = content
        self.records[name] = {"bytes": len(content), "sha256": digest}
        return name

    def add_to(self, root: Path, added: list[Path]) -> None:
        """Write the files that are not there yet below the document's folder; ``added`` gets the
        paths that are new. Raises OutputError, OSError.
        """
        folder = root / self.folder
        clear_leftovers(folder)
        if not folder.exists():
            added.append(folder)
            folder.mkdir()
        for name, content in self.contents.items():
            path = root / name
            if not path.exists():
                added.append(path)
            elif path.stat().st_size == len(content) and path.read_bytes() == content:
                continue
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
        flush_folder(folder)

    def drop_others(self, document: Path, text_before: str) -> None:
        """Delete files of older scenes: those with a name that only this program gives, and those
        that the document's text before named as version 0.1.0 did. Somebody else's files stay.

        While another process is saving here, nothing is deleted: it may count on what is there.
        """
        if any(document.parent.glob(f"{TEMPORARY_PREFIX}*{document.suffix}")):
            return
        for file in (document.parent / self.folder).iterdir():
            reference = f"{self.folder}/{file.name}"
            name = _OWN_FILE.fullmatch(file.name)
            if name is None or reference in self.contents:
                continue
            if name["sum"] or f'"{reference}"' in text_before:
                delete_quietly(file)


@dataclass(frozen=True, eq=False)
class SavedFiles:
    """How to read the files of a document: checked against the sums that it has, within a budget.

    A file without a sum is taken as it is: version 0.1.0 wrote none, and whoever replaces a file
    on purpose names another one or deletes its entry.
    """

    sums: Fields | None = None  # the entry ``files`` of the document
    budget: MemoryBudget = field(default_factory=MemoryBudget)

    def read(self, record: Fields, key: str) -> tuple[Path, bytes]:
        """The file that ``record`` names, and its content. Raises InputError."""
        path = record.path(key)
        content = read_bytes(path, RESTORE, self.budget)
        name = record.text(key)
        if self.sums is not None and name in self.sums.data:
            _compare(path, content, self.sums.object(name))
        return path, content


def _compare(path: Path, content: bytes, expected: Fields) -> None:
    size = expected.whole("bytes")
    if len(content) != size:
        raise InputError(f"{path}: has {len(content)} bytes instead of {size}; {RESTORE}")
    if sha256_of(content) != expected.text("sha256"):
        raise InputError(
            f"{path}: was altered or damaged after it was saved (its sha256 is not the one in "
            f"{expected.file.name}); {RESTORE}, or delete its entry in 'files' there to keep it"
        )


def delete_quietly(path: Path) -> None:
    """Delete a file or an empty folder, if that is possible."""
    with contextlib.suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()
