"""The pictures that come with the package, for whoever has no photo at hand."""

from __future__ import annotations

from pathlib import Path

from maquette.app import masks, photos, pictures
from maquette.app.problems import not_found
from maquette.app.studio import Studio
from maquette.export.bundle import assets_folder
from maquette.masks.read import load_masks
from maquette.photos import read_image
from maquette.types import JsonObject

EXAMPLES = {  # folder, title
    "demo": ("demo", "Room"),
    "table": ("examples/table", "Table"),
    "garden": ("examples/garden", "Garden"),
}


def every() -> list[JsonObject]:
    """What there is, as JSON."""
    shown = []
    for name, (_, title) in EXAMPLES.items():
        count = len(load_masks(_folder(name) / "masks.png").masks)
        address = f"/api/examples/{name}/thumbnail.jpg"
        shown.append(
            {
                "name": name,
                "title": title,
                "objects": count,
                "thumbnail": address,
            }
        )
    return shown


def thumbnail(name: str) -> bytes:
    """A small JPEG. Problem 404."""
    return pictures.thumbnail(read_image(_folder(name) / "photo.jpg"))


def start(studio: Studio, name: str) -> JsonObject:
    """A photo with its masks of an example. Problem 404."""
    folder = _folder(name)
    with studio.turn():
        photo = photos.add_file(studio, folder / "photo.jpg", EXAMPLES[name][1])
    with open(folder / "masks.png", "rb") as stream:
        masks.load(studio, photo["id"], [("masks.png", stream)])
    return photos.get(studio, photo["id"])


def _folder(name: str) -> Path:
    if name not in EXAMPLES:
        raise not_found("example")
    return assets_folder() / EXAMPLES[name][0]
