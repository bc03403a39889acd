"""Photos: taken in once, upright, sRGB and of working size; what masks and jobs start from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from maquette.app import history, pictures, uploads
from maquette.app.store import Row, now
from maquette.app.studio import Studio
from maquette.images.pixels import working_size
from maquette.images.read import read_photo

JsonObject = dict[str, Any]


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
    image = read.image
    alpha = read.alpha
    height, width = image.shape[:2]
    size = working_size((height, width))
    notes = [] if size == (height, width) else [f"reduced from {width} x {height} pixels"]
    notes += (
        [read.doubt]
        if read.doubt
        else []
        if read.focal is None
        else [f"focal length known: {read.focal.source}"]
    )
    image = _resized(image, size)
    stamp = now()
    with studio.folders.new("photos") as folder:
        identifier = folder.name
        (folder / "masks").mkdir()
        pictures.write(folder / "image.png", pictures.png(image))
        pictures.write(folder / "thumbnail.jpg", pictures.thumbnail(image))
        if read.focal is not None:
            focal = json.dumps(dataclasses.asdict(read.focal))
            pictures.write(folder / pictures.FOCAL, focal.encode())
        if alpha is not None:
            pictures.write(folder / "alpha.png", pictures.png(_resized(alpha, size)))
        with studio.store.transaction():
            studio.store.insert(
                "photos",
                id=identifier,
                name=_named(studio, name),
                width=size[1],
                height=size[0],
                alpha=int(alpha is not None),
                notes=notes,
                created=stamp,
                changed=stamp,
            )
            history.start(studio.store, identifier, {"objects": [], "notes": []})
    studio.news.publish("photo", {"id": identifier, "version": 1})
    return get(studio, identifier)


def get(studio: Studio, identifier: str) -> JsonObject:
    """One photo as JSON."""
    return _view(studio, studio.row("photos", identifier))


def every(studio: Studio) -> list[JsonObject]:
    """All photos as JSON, newest first."""
    return [
        _view(studio, found)
        for found in studio.store.all("SELECT * FROM photos ORDER BY created DESC, id")
    ]


def rename(studio: Studio, identifier: str, name: str) -> JsonObject:
    """Give a photo another name."""
    studio.row("photos", identifier)
    studio.store.update("photos", identifier, name=_named(studio, name), changed=now())
    return get(studio, identifier)


def delete(studio: Studio, identifier: str) -> None:
    """Delete a photo with its masks; jobs and scenes have copies."""
    with studio.alone("photos", identifier):
        studio.row("photos", identifier)
        studio.give_room(lambda: _forget(studio, identifier))
    studio.news.publish("deleted", {"kind": "photo", "id": identifier})


def _forget(studio: Studio, identifier: str) -> None:
    with studio.store.transaction():
        studio.store.run("DELETE FROM photos WHERE id = ?", identifier)
        history.forget(studio.store, identifier)
    studio.folders.remove("photos", identifier)


def image_of(studio: Studio, identifier: str) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a photo."""
    studio.row("photos", identifier)
    return pictures.read_picture(studio.folders.of("photos", identifier) / "image.png")


def alpha_of(studio: Studio, identifier: str) -> np.ndarray | None:
    """The opacity (H, W) uint8 of a photo that is a cut-out, or None."""
    path = studio.folders.of("photos", identifier) / "alpha.png"
    return pictures.read_picture(path, "L") if studio.row("photos", identifier)["alpha"] else None


def _view(studio: Studio, found: Row) -> JsonObject:
    address = f"/api/photos/{found['id']}"
    version = history.current(studio.store, found["id"])
    keys = ("id", "name", "width", "height", "notes", "created", "changed")
    return {key: found[key] for key in keys} | {
        "image": f"{address}/image.png",
        "thumbnail": f"{address}/thumbnail.jpg",
        "masks": f"{address}/masks",
        "objects": len(version.document["objects"]),
        "version": version.number,
    }


def _named(studio: Studio, name: str) -> str:
    return uploads.shown(name, studio.settings.limits.name_length) or "photo"


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return (
        image
        if image.shape[:2] == size
        else cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    )
