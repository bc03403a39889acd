"""The masks of a photo with their history: edits go through ``images.edit``, every version keeps
its masks by their content.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from maquette.app import downloads, history, photos, pictures, uploads
from maquette.app.downloads import Download
from maquette.app.folders import is_named_by_content
from maquette.app.problems import Problem, conflict, not_found, too_large
from maquette.app.store import now
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.images import edit as editing
from maquette.images.diagnose import diagnose
from maquette.images.masks import load_masks
from maquette.images.overlay import instance_color
from maquette.images.write import write_masks
from maquette.types import InstanceMask

HIGHEST_LABEL = 65535  # two bytes of a label picture
FORMS = {  # suffix, and what a person calls it
    "label": (".png", "Label picture (PNG)"),
    "rgb": (".png", "Colour picture (PNG)"),
    "coco": (".json", "COCO JSON, polygons"),
    "coco-rle": (".json", "COCO JSON, run lengths"),
    "npz": (".npz", "NumPy archive"),
    "folder": (".zip", "A picture per object (ZIP)"),
}

JsonObject = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Canvas:
    """What an edit may look at; read when it is asked for."""

    studio: Studio
    photo: str

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return photos.image_of(self.studio, self.photo)

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W) uint8 of a cut-out."""
        return photos.alpha_of(self.studio, self.photo)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        found = self.studio.row("photos", self.photo)
        return found["height"], found["width"]


Edit = Callable[[editing.Masks, Canvas], editing.Edited]


def state(studio: Studio, photo: str, number: int | None = None) -> JsonObject:
    """The masks as JSON, the newest or a version."""
    found = studio.row("photos", photo)
    version = history.current(studio.store, photo, number)
    address = f"/api/photos/{photo}/masks"
    objects = [
        {
            **{key: value for key, value in entry.items() if key != "digest"},
            "color": "#{:02x}{:02x}{:02x}".format(*instance_color(entry["label"])),
            "mask": f"{address}/{entry['label']}.png?version={version.number}",
        }
        for entry in version.document["objects"]
    ]
    return {
        "photo": photo,
        "version": version.number,
        "width": found["width"],
        "height": found["height"],
        "can_undo": version.undo is not None,
        "can_redo": version.redo is not None,
        "undo": version.undo,
        "redo": version.redo,
        "labels": f"{address}/labels.png?version={version.number}",
        "objects": objects,
        "changed": [
            label for label in version.changed if any(entry["label"] == label for entry in objects)
        ],
        "notes": version.document["notes"],
    }


def masks_of(studio: Studio, photo: str, number: int | None = None) -> editing.Masks:
    """The masks themselves. Problem 404 for a version that is gone."""
    studio.row("photos", photo)
    return _read(studio, photo, history.current(studio.store, photo, number).document)


def one_mask(studio: Studio, photo: str, label: int, number: int | None) -> bytes:
    """PNG of one object's mask. Problem 404."""
    studio.row("photos", photo)
    for entry in history.current(studio.store, photo, number).document["objects"]:
        if entry["label"] == label:
            return pictures.mask_picture(_read_one(studio, photo, entry["digest"]))
    raise not_found(f"object ({label})")


def apply(studio: Studio, photo: str, base: int, kind: str, edit: Edit) -> JsonObject:
    """Edit the masks of version ``base``; returns the new state. Problem 409 when that is not the
    newest.
    """
    with _telling(studio, photo), studio.alone("photos", photo), studio.turn():
        studio.row("photos", photo)
        version = history.current(studio.store, photo)
        if version.number != base:
            raise conflict(
                f"the edit was made on version {base}, but the newest is {version.number}; "
                "repeat it on that"
            )
        edited = edit(_read(studio, photo, version.document), Canvas(studio, photo))
        _append(studio, photo, base, kind, edited.masks, edited.changed, [])
    return state(studio, photo)


def step(studio: Studio, photo: str, base: int, back: bool) -> JsonObject:
    """Undo or redo. Problem 409 when ``base`` is not the newest, or there is nothing."""
    studio.row("photos", photo)
    with _telling(studio, photo), studio.alone("photos", photo):
        history.step(studio.store, photo, base, back)
    _changed(studio, photo)
    return state(studio, photo)


def load(
    studio: Studio, photo: str, files: Sequence[tuple[str, BinaryIO]], base: int | None = None
) -> JsonObject:
    """Replace all masks by uploaded files in any form that is read. Raises Problem, InputError."""
    found = studio.row("photos", photo)
    size = (found["height"], found["width"])
    with (
        uploads.incoming(studio.folders, files, studio.settings.limits) as received,
        _telling(studio, photo),
        studio.alone("photos", photo),
        studio.turn(),
    ):
        studio.row("photos", photo)
        source, names = uploads.mask_source(received)
        reading = load_masks(source, size, image_name=found["name"])
        masks = tuple(
            InstanceMask(
                m.label,
                m.mask,
                (names.get(m.label) or m.name)[: studio.settings.limits.name_length],
            )
            for m in reading.masks
        )
        notes = [received.renamed(note) for note in reading.warnings]
        if masks[-1].label > HIGHEST_LABEL:
            masks = editing.reorder(masks, [m.label for m in masks]).masks
            notes.append(f"labels above {HIGHEST_LABEL} are numbered 1, 2, 3, ... here")
        version = history.current(studio.store, photo).number if base is None else base
        _append(studio, photo, version, "import", masks, [m.label for m in masks], notes)
    return state(studio, photo)


def export(studio: Studio, photo: str, form: str) -> Download:
    """The masks as a file of one of FORMS. Raises Problem, InputError."""
    found = studio.row("photos", photo)
    if form not in FORMS:
        raise InputError(f"form {form!r} is not known; choose one of {', '.join(FORMS)}")
    masks = masks_of(studio, photo)
    if not masks:
        raise conflict("there are no masks to export; mark an object first")
    stem = downloads.file_stem(found["name"], "masks")
    suffix = FORMS[form][0]
    with studio.folders.workbench() as folder, studio.turn():
        written = write_masks(
            masks,
            folder / ("masks" if form == "folder" else f"masks{suffix}"),
            form,
            image_name=f"{stem}.png",
        )
        return Download(
            f"{stem}_masks{suffix}",
            downloads.zipped(folder) if form == "folder" else written.read_bytes(),
        )


def _append(
    studio: Studio,
    photo: str,
    base: int,
    kind: str,
    masks: editing.Masks,
    changed: Sequence[int],
    notes: list[str],
) -> None:
    limits = studio.settings.limits
    if len(masks) > limits.objects:
        raise too_large(
            f"{len(masks)} objects; at most {limits.objects} are taken here, delete or merge some"
        )
    studio.folders.spare.require()
    folder = studio.folders.of("photos", photo) / "masks"
    objects = []
    for m, d in zip(masks, diagnose(masks) if masks else ()):
        numbers = dataclasses.asdict(d) | {
            "overlaps": [{"label": label, "share": share} for label, share in d.overlaps]
        }
        objects.append({**numbers, "name": m.name, "digest": pictures.write_mask(folder, m.mask)})
    if history.append(
        studio.store,
        photo,
        base,
        kind,
        {"objects": objects, "notes": notes},
        changed,
        limits.versions,
    ):
        _drop_unused(studio, photo)
    _changed(studio, photo)


def _drop_unused(studio: Studio, photo: str) -> None:
    used = {
        entry["digest"]
        for document in history.documents(studio.store, photo)
        for entry in document["objects"]
    }
    for file in (studio.folders.of("photos", photo) / "masks").iterdir():
        if is_named_by_content(file) and file.stem not in used:
            file.unlink(missing_ok=True)


def _changed(studio: Studio, photo: str) -> None:
    studio.store.update("photos", photo, changed=now())
    studio.news.publish(
        "photo", {"id": photo, "version": history.current(studio.store, photo).number}
    )


def _read(studio: Studio, photo: str, document: JsonObject) -> editing.Masks:
    return tuple(
        InstanceMask(entry["label"], _read_one(studio, photo, entry["digest"]), entry["name"])
        for entry in document["objects"]
    )


def _read_one(studio: Studio, photo: str, digest: str) -> np.ndarray:
    try:
        return pictures.read_mask(studio.folders.of("photos", photo) / "masks", digest)
    except FileNotFoundError as error:  # dropped by an edit in the same moment
        raise conflict("the masks have just been changed; look at the newest version") from error


@contextlib.contextmanager
def _telling(studio: Studio, photo: str) -> Iterator[None]:
    """Put the newest state into a conflict's answer."""
    try:
        yield
    except Problem as error:
        if error.code == "conflict":
            error.details.setdefault("current", state(studio, photo))
        raise
