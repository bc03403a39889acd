"""Files from clients: written under names of ours, known by their content, measured before they are
decoded, gone afterwards.

The name that a client gives is text for messages and labels; it never becomes a path. All files of
one request share one budget of memory, from which everything that they unpack or decode to is taken
beforehand.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from PIL import Image

from maquette.app.folders import Folders
from maquette.app.problems import Problem, file_type, too_large
from maquette.app.settings import Limits
from maquette.containers import MemoryBudget, pixel_bytes
from maquette.errors import InputError, contained
from maquette.masks.read import labels_of_files, natural
from maquette.photos.read import FORMATS, check_size, describe_content
from maquette.types import StrPath

PICTURES = "PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF"
JSON_GROWTH = 25  # times that JSON of many small lists grows as Python objects, at worst
PIECE = 1 << 20  # bytes

Named = tuple[str, BinaryIO]  # what a client calls a file, and its content


class UploadBudget(MemoryBudget):
    """The memory that all files of one upload may take together; more is answered with 413."""

    def take(self, count: int, name: StrPath) -> None:
        """Take ``count`` bytes for a file. Problem 413 when so many are not left."""
        if count > self.left:
            raise too_large(
                f"{name}: would unpack to {count >> 20} MB, and all files of one upload may take "
                f"{self.limit >> 20} MB together; make it smaller, or send less"
            )
        self.left -= count


@dataclass(frozen=True)
class Upload:
    """A file that came in: where it is now, and what the client calls it."""

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """The client's name without folders and suffix."""
        return PurePosixPath(self.name.replace("\\", "/")).stem


@dataclass(frozen=True)
class Received:
    """All files of one request, and what they may still cost."""

    files: tuple[Upload, ...]
    limits: Limits
    budget: MemoryBudget
    inner: list[Upload] = field(default_factory=list)  # of archives that were unpacked

    def renamed(self, message: str) -> str:
        """A message in which files have the names that the client gave them."""
        for upload in sorted((*self.files, *self.inner), key=lambda u: -len(str(u.path))):
            ours = rf"{re.escape(str(upload.path))}(?:\.\w+)?"
            theirs = upload.name.replace("\\", r"\\")
            message = re.sub(ours, theirs, message)
        return message


@contextlib.contextmanager
def incoming(folders: Folders, files: Sequence[Named], limits: Limits) -> Iterator[Received]:
    """Write the files of a request to a folder that is deleted afterwards; errors speak of the
    client's names. Raises Problem.
    """
    if not files:
        raise InputError(
            "the request has no file; "
            "send one in the multipart field 'file', or as the body with its content type"
        )
    if len(files) > limits.entries:
        raise too_large(f"{len(files)} files in one request; at most {limits.entries} are taken")
    with folders.workbench() as folder:
        uploads = tuple(
            _written(stream, folder / f"file{k}", name) for k, (name, stream) in enumerate(files)
        )
        received = Received(uploads, limits, UploadBudget(limits.unpacked_bytes))
        try:
            yield received
        except InputError as error:
            raise InputError(received.renamed(str(error))) from error
        except Problem as error:
            raise error.saying(received.renamed(str(error))) from error


def _written(stream: IO[bytes], path: Path, name: str) -> Upload:
    with open(path, "wb") as target:
        shutil.copyfileobj(stream, target, PIECE)
    return Upload(path, shown(name) or "the file")


def shown(name: str, length: int = 80) -> str:
    """The last part of a client's file name, printable and short, for messages and labels."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(c if c.isprintable() else "_" for c in last)[-length:]


def check_picture(path: Path, limits: Limits) -> int:
    """Refuse what is not a picture (415) or has too many pixels (413), from its header alone;
    returns the memory that it takes decoded. Raises Problem, InputError.
    """
    most = limits.pixels
    damaged = f"{path}: {describe_content(path)} that is truncated or damaged"
    with contained(damaged, "copy or export it again"):
        try:
            with _opened_picture(path) as image:
                size = image.size
                needed = pixel_bytes(image)
        except Image.UnidentifiedImageError as error:
            found = describe_content(path)
            raise file_type(
                f"{path}: is not a picture that can be read but {found}; send {PICTURES}"
            ) from error
        except Image.DecompressionBombError as error:
            raise too_large(
                f"{path}: claims more pixels than the {most} that are taken; reduce it first"
            ) from error
    check_size(size, str(path))
    if size[0] * size[1] > most:
        raise too_large(
            f"{path}: has {size[0]} x {size[1]} pixels; at most {most} are taken, reduce it first"
        )
    return needed


def mask_source(received: Received) -> tuple[Any, dict[int, str]]:
    """What ``load_masks`` is given for uploaded mask files, and the names of the objects when the
    file names tell. Raises Problem.
    """
    uploads: Sequence[Upload] = received.files
    if len(uploads) == 1:
        (upload,) = uploads
        kind = content_kind(upload.path)
        if kind == "picture":
            take_picture(upload, received)
            return upload.path, {}
        if kind in ("json", "npy", "npz"):
            _take_data(upload, kind, received)
            return upload.path.rename(upload.path.with_suffix(f".{kind}")), {}
        if kind != "zip":
            found = describe_content(upload.path)
            raise file_type(
                f"{upload.path}: is {found}; "
                "send a mask picture, COCO JSON, .npy, .npz or a ZIP of pictures"
            )
        uploads = unpacked(upload, received)
    ordered = sorted(uploads, key=lambda upload: natural(upload.stem))
    for upload in ordered:
        take_picture(upload, received)
    labelled = labels_of_files([upload.stem for upload in ordered])
    paths = {label: upload.path for upload, (label, _) in zip(ordered, labelled)}
    return paths, dict(labelled)


def take_picture(upload: Upload, received: Received) -> None:
    """Check a picture that is to be decoded, and count it. Raises Problem, InputError."""
    received.budget.take(check_picture(upload.path, received.limits), upload.path)


def content_kind(path: Path) -> str:
    """Tell by content what a file is: json, npy, npz, zip, picture or other."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        names = [entry.filename for entry in _entries(path)]
        return "npz" if all(name.endswith(".npy") for name in names) else "zip"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "json"
    try:
        check_picture(path, Limits())
    except Problem as problem:
        unknown = problem.code == "file_type" and "image" not in describe_content(path)
        return "other" if unknown else "picture"
    except InputError:  # a damaged one
        return "picture"
    return "picture"


def unpacked(upload: Upload, received: Received) -> list[Upload]:
    """Unpack the files of a ZIP beside it, under names of ours; folders and hidden files are left
    out. Raises Problem, InputError.
    """
    received.budget.take(_unpacked_bytes(upload.path, received.limits), upload.path)
    files = []
    with _archive(upload.path) as archive:
        for k, entry in enumerate(archive.infolist()):
            name = PurePosixPath(entry.filename.replace("\\", "/"))
            if entry.is_dir() or name.name.startswith(".") or "__MACOSX" in name.parts:
                continue
            target = upload.path.with_name(f"{upload.path.name}_{k}")
            with archive.open(entry) as source:  # yields at most the size in the directory
                files.append(_written(source, target, entry.filename))
    received.inner.extend(files)
    if not files:
        raise InputError(f"{upload.path}: the archive has no files; pack the files themselves")
    return files


def _take_data(upload: Upload, kind: str, received: Received) -> None:
    """Count what a file of masks that are no pictures will take."""
    size = upload.path.stat().st_size
    if kind == "npz":
        size = _unpacked_bytes(upload.path, received.limits)
    elif kind == "json":
        size *= JSON_GROWTH
    received.budget.take(size, upload.path)


def take_known(upload: Upload, suffix: str, received: Received) -> None:
    """Count what a file of depth or of a camera will take. Raises Problem, InputError."""
    if suffix in (".png", ".tif", ".tiff"):
        take_picture(upload, received)
    elif suffix in (".npz", ".r3d"):
        received.budget.take(_unpacked_bytes(upload.path, received.limits), upload.path)
    else:
        received.budget.take(upload.path.stat().st_size * JSON_GROWTH, upload.path)


def _unpacked_bytes(path: Path, limits: Limits) -> int:
    """What an archive unpacks to, by its directory. Problem 413 for too many files."""
    entries = _entries(path)
    if len(entries) > limits.entries:
        raise too_large(f"{path}: has {len(entries)} files; at most {limits.entries} are taken")
    return sum(entry.file_size for entry in entries)


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    with _archive(path) as archive:
        return archive.infolist()


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with (
        contained(f"{path}: is a damaged or encrypted archive", "pack it again"),
        zipfile.ZipFile(path) as archive,
    ):
        yield archive


def _opened_picture(path: Path) -> Image.Image:
    """A picture of which only the header was read."""
    Image.init()
    return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
