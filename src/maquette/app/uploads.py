"""Files from clients: written under names of ours, known by their content, measured before they are
decoded, gone afterwards.

The name that a client gives is text for messages and labels; it never becomes a path.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from PIL import Image

from maquette.app.folders import Folders
from maquette.app.problems import Problem, file_type, too_large
from maquette.app.settings import Limits
from maquette.errors import InputError
from maquette.images.masks import labels_of_files
from maquette.images.read import FORMATS, check_size, describe_content

PICTURES = "PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF"


@dataclass(frozen=True)
class Upload:
    """A file that came in: where it is now, and what the client calls it."""

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """The client's name without folders and suffix."""
        return PurePosixPath(self.name.replace("\\", "/")).stem


@contextlib.contextmanager
def incoming(
    folders: Folders, files: Sequence[tuple[str, BinaryIO]], limits: Limits
) -> Iterator[list[Upload]]:
    """Write (name, stream) pairs to a folder that is deleted afterwards; errors speak of the
    client's names. Raises Problem.
    """
    if not files:
        raise InputError(
            "the request has no file; send one in the multipart field 'file', or as the body with its content type"
        )
    if len(files) > limits.entries:
        raise too_large(f"{len(files)} files in one request; at most {limits.entries} are taken")
    with folders.workbench() as folder:
        uploads = []
        for k, (name, stream) in enumerate(files):
            path = folder / f"file{k}"
            with open(path, "wb") as target:
                shutil.copyfileobj(stream, target, 1 << 20)
            uploads.append(Upload(path, shown(name) or "the file"))
        try:
            yield uploads
        except InputError as error:
            raise InputError(renamed(str(error), uploads)) from error
        except Problem as error:
            raise error.saying(renamed(str(error), uploads)) from error


def renamed(message: str, uploads: Sequence[Upload]) -> str:
    """A message in which files have the names that the client gave them."""
    for upload in sorted(uploads, key=lambda u: -len(str(u.path))):
        message = re.sub(
            rf"{re.escape(str(upload.path))}(?:\.\w+)?",
            lambda match, name=upload.name: name,
            message,
        )
    return message


def shown(name: str, length: int = 80) -> str:
    """The last part of a client's file name, printable and short, for messages and labels."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(c if c.isprintable() else "_" for c in last)[-length:]


def check_picture(path: Path, limits: Limits) -> None:
    """Refuse what is not a picture (415) or has too many pixels (413), from its header alone.
    Raises Problem, InputError.
    """
    try:
        with Image.open(
            path, formats=[name for name in FORMATS if name in _known_formats()]
        ) as image:
            size = image.size
    except Image.DecompressionBombError as error:
        raise too_large(
            f"{path}: claims more pixels than the {limits.pixels} that are taken; reduce it first"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise file_type(
            f"{path}: is not a picture that can be read but {describe_content(path)}; send {PICTURES}"
        ) from error
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: {describe_content(path)} that is truncated or damaged; copy or export it again"
        ) from error
    check_size(size, str(path))
    if size[0] * size[1] > limits.pixels:
        raise too_large(
            f"{path}: has {size[0]} x {size[1]} pixels; at most {limits.pixels} are taken, reduce it first"
        )


def _known_formats() -> set[str]:
    Image.init()
    return set(Image.OPEN)


def mask_source(uploads: Sequence[Upload], limits: Limits) -> tuple[Any, dict[int, str]]:
    """What ``load_masks`` is given for uploaded mask files, and the names of the objects when the
    file names tell. Raises Problem.
    """
    if len(uploads) == 1:
        upload = uploads[0]
        kind = content_kind(upload.path)
        if kind == "npz":
            check_archive(upload.path, limits)
        if kind in ("json", "npy", "npz"):
            return upload.path.rename(upload.path.with_suffix(f".{kind}")), {}
        if kind == "picture":
            check_picture(upload.path, limits)
            return upload.path, {}
        if kind != "zip":
            found = describe_content(upload.path)
            raise file_type(
                f"{upload.path}: is {found}; send a mask picture, COCO JSON, .npy, .npz or a ZIP of pictures"
            )
        uploads = unpacked(upload, limits)
    ordered = sorted(
        uploads,
        key=lambda u: [
            (0, int(t)) if t.isdigit() else (1, t) for t in re.split(r"(\d+)", u.stem.lower()) if t
        ],
    )
    for upload in ordered:
        check_picture(upload.path, limits)
    labelled = labels_of_files([upload.stem for upload in ordered])
    return {label: upload.path for upload, (label, _) in zip(ordered, labelled)}, dict(labelled)


def content_kind(path: Path) -> str:
    """Tell by content what a file is: json, npy, npz, zip, picture or other."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        with _archive(path) as archive:
            return "npz" if all(name.endswith(".npy") for name in archive.namelist()) else "zip"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return "json"
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in _known_formats()]):
            return "picture"
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        damaged = not isinstance(
            error, Image.UnidentifiedImageError
        ) or "image" in describe_content(path)
        return "picture" if damaged else "other"


def check_archive(path: Path, limits: Limits) -> None:
    """Refuse an archive that unpacks to too much, from its directory alone. Raises Problem,
    InputError.
    """
    with _archive(path) as archive:
        entries = archive.infolist()
        if len(entries) > limits.entries:
            raise too_large(f"{path}: has {len(entries)} files; at most {limits.entries} are taken")
        if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
            raise too_large(
                f"{path}: unpacks to more than {limits.unpacked_bytes >> 20} MB; make it smaller"
            )


def unpacked(upload: Upload, limits: Limits) -> list[Upload]:
    """Unpack the files of a ZIP beside it, under names of ours; folders and hidden files are left
    out. Raises Problem, InputError.
    """
    check_archive(upload.path, limits)
    files = []
    written = 0
    with _archive(upload.path) as archive:
        for k, entry in enumerate(archive.infolist()):
            name = PurePosixPath(entry.filename.replace("\\", "/"))
            if entry.is_dir() or name.name.startswith(".") or "__MACOSX" in name.parts:
                continue
            target = upload.path.with_name(f"{upload.path.name}_{k}")
            with archive.open(entry) as source, open(target, "wb") as file:
                while piece := source.read(1 << 20):
                    written += len(piece)
                    if written > limits.unpacked_bytes:  # the directory may lie about sizes
                        raise too_large(
                            f"{upload.path}: unpacks to more than {limits.unpacked_bytes >> 20} MB; make it smaller"
                        )
                    file.write(piece)
            files.append(Upload(target, shown(entry.filename)))
    if not files:
        raise InputError(f"{upload.path}: the archive has no files; pack the files themselves")
    return files


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        UnicodeDecodeError,
        OSError,
    ) as error:
        raise InputError(
            f"{path}: is a damaged or encrypted archive ({error}); pack it again"
        ) from error
