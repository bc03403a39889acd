"""Photos: taken in once, upright, sRGB and of working size; what masks and jobs start from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from maquette.app import pictures, uploads
from maquette.app.history import History
from maquette.app.store import Row, now
from maquette.app.studio import Studio
from maquette.photos.pixels import Size, working_size
from maquette.photos.read import Photo, read_photo
from maquette.types import JsonObject

FULL = "full.json"  # height and width of the picture that came in
_SHOWN = ("id", "name", "width", "height", "notes", "created", "changed")


def add(studio: Studio, name: str, stream: BinaryIO) -> JsonObject:
    """Take in a photo from a client. Raises Problem, InputError."""
    with uploads.incoming(studio.folders, [(name, stream)], studio.settings.limits) as received:
        (upload,) = received.files
        uploads.take_picture(upload, received)
        with studio.turn():
            return add_file(studio, upload.path, upload.stem)


def add_file(studio: Studio, path: Path, name: str) -> JsonObject:
    """Take in a photo from a file. Raises InputError."""
    read = read_photo(path)
    height, width = working_size(read.image.shape[:2])
    stamp = now()
    with studio.folders.new("photos") as folder:
        _write(read, folder, (width, height))
        with studio.store.transaction():
            studio.store.insert(
                "photos",
                id=folder.name,
                name=_named(studio, name),
                width=width,
                height=height,
                alpha=int(read.alpha is not None),
                notes=_notes(read, (height, width)),
                created=stamp,
                changed=stamp,
            )
            History(studio, "photos", folder.name).start({"objects": [], "notes": []})
    studio.news.publish("photo", {"id": folder.name, "version": 1})
    return get(studio, folder.name)


def _write(read: Photo, folder: Path, size: Size) -> None:
    """The files of a photo; ``size`` is (W, H)."""
    image = _resized(read.image, size)
    (folder / "masks").mkdir()
    pictures.write(folder / "image.png", pictures.png(image))
    pictures.write(folder / FULL, json.dumps(read.image.shape[:2]).encode())
    pictures.write(folder / "thumbnail.jpg", pictures.thumbnail(image))
    if read.focal is not None:
        focal = json.dumps(dataclasses.asdict(read.focal))
        pictures.write(folder / pictures.FOCAL, focal.encode())
    if read.alpha is not None:
        pictures.write(folder / "alpha.png", pictures.png(_resized(read.alpha, size)))


def _notes(read: Photo, size: Size) -> list[str]:
    """What people should know of what became of a photo that now has ``size`` (H, W)."""
    notes = []
    height, width = read.image.shape[:2]
    if size != (height, width):
        notes.append(f"reduced from {width} x {height} pixels")
    if read.doubt:
        notes.append(read.doubt)
    elif read.focal is not None:
        notes.append(f"focal length known: {read.focal.source}")
    return notes


def _resized(image: np.ndarray, size: Size) -> np.ndarray:
    if image.shape[1::-1] == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def get(studio: Studio, identifier: str) -> JsonObject:
    """One photo as JSON."""
    return _view(studio, studio.row("photos", identifier))


def every(studio: Studio) -> list[JsonObject]:
    """All photos as JSON, newest first."""
    found = studio.store.all("SELECT * FROM photos ORDER BY created DESC, id")
    return [_view(studio, row) for row in found]


def rename(studio: Studio, identifier: str, name: str) -> JsonObject:
    """Give a photo another name."""
    studio.row("photos", identifier)
    studio.store.update("photos", identifier, name=_named(studio, name), changed=now())
    return get(studio, identifier)


def image_of(studio: Studio, identifier: str) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a photo."""
    studio.row("photos", identifier)
    return pictures.read_picture(studio.folders.of("photos", identifier) / "image.png")


def alpha_of(studio: Studio, identifier: str) -> np.ndarray | None:
    """The opacity (H, W) uint8 of a photo that is a cut-out, or None."""
    if not studio.row("photos", identifier)["alpha"]:
        return None
    return pictures.read_picture(studio.folders.of("photos", identifier) / "alpha.png", "L")


def size_of(studio: Studio, identifier: str) -> Size:
    """(H, W) of a photo."""
    found = studio.row("photos", identifier)
    return found["height"], found["width"]


def full_size(folder: Path, size: Size) -> Size:
    """(H, W) of the picture that came in; ``size`` where that was not noted."""
    path = folder / FULL
    if not path.exists():
        return size
    height, width = json.loads(path.read_bytes())
    return height, width


def _view(studio: Studio, found: Row) -> JsonObject:
    address = f"/api/photos/{found['id']}"
    version = History(studio, "photos", found["id"]).current()
    shown = {key: found[key] for key in _SHOWN}
    for key, file in (("image", "image.png"), ("thumbnail", "thumbnail.jpg"), ("masks", "masks")):
        shown[key] = f"{address}/{file}"
    told = studio.folders.of("photos", found["id"]) / "geometry.json"
    shown["geometry"] = json.loads(told.read_bytes()) if told.exists() else None
    shown["objects"] = len(version.document["objects"])
    shown["version"] = version.number
    return shown


def _named(studio: Studio, name: str) -> str:
    return uploads.shown(name, studio.settings.limits.name_length) or "photo"
