"""The masks of a photo with their history: edits go through ``masks.edit``, every version keeps
its masks by their content.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from maquette.app import downloads, photos, pictures, uploads
from maquette.app.downloads import Download
from maquette.app.folders import is_named_by_content
from maquette.app.history import History
from maquette.app.problems import conflict, not_found, too_large
from maquette.app.studio import Studio
from maquette.app.uploads import Named
from maquette.errors import InputError
from maquette.masks import edit as editing
from maquette.masks.diagnose import Diagnosis, diagnose
from maquette.masks.propose import PhotoMasks
from maquette.masks.read import load_masks
from maquette.masks.write import write_masks
from maquette.options import EMBEDDED
from maquette.photos.pixels import Size
from maquette.types import InstanceMask, JsonObject

HIGHEST_LABEL = 65535  # two bytes of a label picture
FORMS = {  # suffix, and what a person calls it
    "label": (".png", "Label picture (PNG)"),
    "rgb": (".png", "Colour picture (PNG)"),
    "coco": (".json", "COCO JSON, polygons"),
    "coco-rle": (".json", "COCO JSON, run lengths"),
    "npz": (".npz", "NumPy archive"),
    "folder": (".zip", "A picture per object (ZIP)"),
}


@dataclasses.dataclass(frozen=True)
class Canvas:
    """What an edit may look at; read when it is asked for."""

    studio: Studio
    photo: str

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return photos.image_of(self.studio, self.photo)

    def seen_by(self, finder: str) -> PhotoMasks:
        """The photo for whoever proposes masks, by a name of ``finders.offered``."""
        key = (self.photo, finder)
        known = self.studio.looked_at.get(key)
        if known is None:
            known = self.studio.finders.proposer(finder)(self.image)
            self.studio.looked_at.clear()
            self.studio.looked_at[key] = known
        return known

    def everything(self, finder: str) -> editing.Edited:
        """All objects. Raises InputError."""
        if finder == EMBEDDED:
            return editing.find_objects(self.image, self.alpha, lambda: self.seen_by(finder))
        return editing.find_all(self.seen_by(finder))

    def named(self, words: str, finder: str) -> editing.Edited:
        """What words name. Raises InputError."""
        masks = tuple(self.studio.finders.by_words(self.image, words, finder))
        return editing.Edited(masks, tuple(mask.label for mask in masks))

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W) uint8 of a cut-out."""
        return photos.alpha_of(self.studio, self.photo)

    @property
    def size(self) -> Size:
        """(H, W)."""
        return photos.size_of(self.studio, self.photo)


Edit = Callable[[editing.Masks, Canvas], editing.Edited]


def state(studio: Studio, photo: str, number: int | None = None) -> JsonObject:
    """The masks as JSON, the newest or a version."""
    height, width = photos.size_of(studio, photo)
    version = _history(studio, photo).current(number)
    address = f"/api/photos/{photo}/masks"
    query = f"?version={version.number}"
    objects = [_shown(entry, address, query) for entry in version.document["objects"]]
    there = [entry["label"] for entry in objects]
    shown = version.summary()
    shown |= {
        "photo": photo,
        "width": width,
        "height": height,
    }
    shown["labels"] = f"{address}/labels.png{query}"
    shown["objects"] = objects
    shown["changed"] = [label for label in version.changed if label in there]
    shown["notes"] = version.document["notes"]
    return shown


def _shown(entry: JsonObject, address: str, query: str) -> JsonObject:
    shown = {key: value for key, value in entry.items() if key != "digest"}
    shown["color"] = pictures.color(entry["label"])
    shown["mask"] = f"{address}/{entry['label']}.png{query}"
    return shown


def masks_of(studio: Studio, photo: str, number: int | None = None) -> editing.Masks:
    """The masks themselves. Problem 404 for a version that is gone."""
    studio.row("photos", photo)
    return _read(studio, photo, _history(studio, photo).current(number).document)


def one_mask(
    studio: Studio,
    photo: str,
    label: int,
    number: int | None,
) -> bytes:
    """PNG of one object's mask. Problem 404."""
    studio.row("photos", photo)
    for entry in _history(studio, photo).current(number).document["objects"]:
        if entry["label"] == label:
            return pictures.mask_picture(_read_one(studio, photo, entry["digest"]))
    raise not_found(f"object ({label})")


def apply(
    studio: Studio,
    photo: str,
    base: int,
    kind: str,
    edit: Edit,
) -> JsonObject:
    """Edit the masks of version ``base``; returns the new state. Problem 409 when that is not the
    newest.
    """
    history = _history(studio, photo)
    with history.editing(lambda: state(studio, photo)), studio.turn():
        edited = edit(_read(studio, photo, history.newest(base).document), Canvas(studio, photo))
        _append(history, base, kind, edited)
    return state(studio, photo)


def step(
    studio: Studio,
    photo: str,
    base: int,
    back: bool,
) -> JsonObject:
    """Undo or redo. Problem 409 when ``base`` is not the newest, or there is nothing."""
    return _history(studio, photo).stepped(base, back, lambda: state(studio, photo))


def load(
    studio: Studio,
    photo: str,
    files: Sequence[Named],
    base: int | None = None,
) -> JsonObject:
    """Replace all masks by uploaded files in any form that is read. Raises Problem, InputError."""
    found = studio.row("photos", photo)
    limits = studio.settings.limits
    history = _history(studio, photo)
    with (
        uploads.incoming(studio.folders, files, limits) as received,
        history.editing(lambda: state(studio, photo)),
        studio.turn(),
    ):
        source, names = uploads.mask_source(received)
        reading = load_masks(source, (found["height"], found["width"]), image_name=found["name"])
        masks = tuple(_renamed(m, names.get(m.label), limits.name_length) for m in reading.masks)
        notes = [received.renamed(note) for note in reading.warnings]
        if masks[-1].label > HIGHEST_LABEL:
            masks = editing.reorder(masks, [m.label for m in masks]).masks
            notes.append(f"labels above {HIGHEST_LABEL} are numbered 1, 2, 3, ... here")
        loaded = editing.Edited(masks, tuple(m.label for m in masks))
        _append(
            history, history.current().number if base is None else base, "import", loaded, notes
        )
    return state(studio, photo)


def _renamed(mask: InstanceMask, name: str | None, length: int) -> InstanceMask:
    return dataclasses.replace(mask, name=(name or mask.name)[:length])


def export(studio: Studio, photo: str, form: str) -> Download:
    """The masks as a file of one of FORMS. Raises Problem, InputError."""
    name = studio.row("photos", photo)["name"]
    if form not in FORMS:
        raise InputError(f"form {form!r} is not known; choose one of {', '.join(FORMS)}")
    masks = masks_of(studio, photo)
    if not masks:
        raise conflict("there are no masks to export; mark an object first")
    stem = downloads.file_stem(name, "masks")
    suffix = FORMS[form][0]
    is_folder = form == "folder"
    with studio.folders.workbench() as folder, studio.turn():
        target = folder / ("masks" if is_folder else f"masks{suffix}")
        written = write_masks(masks, target, form, image_name=f"{stem}.png")
        content = downloads.zipped(folder) if is_folder else written.read_bytes()
    return Download(f"{stem}_masks{suffix}", content)


def _history(studio: Studio, photo: str) -> History:
    return History(studio, "photos", photo)


def _folder(studio: Studio, photo: str) -> Path:
    return studio.folders.of("photos", photo) / "masks"


def _append(
    history: History,
    base: int,
    kind: str,
    edited: editing.Edited,
    notes: Sequence[str] = (),
) -> None:
    studio = history.studio
    masks = edited.masks
    most = studio.settings.limits.objects
    if len(masks) > most:
        raise too_large(
            f"{len(masks)} objects; at most {most} are taken here, delete or merge some"
        )
    studio.folders.spare.require()
    folder = _folder(studio, history.owner)
    diagnoses = diagnose(masks) if masks else ()
    objects = [_kept(folder, mask, found) for mask, found in zip(masks, diagnoses)]
    if history.append(base, kind, {"objects": objects, "notes": list(notes)}, edited.changed):
        _drop_unused(folder, history.documents())
    history.changed()


def _kept(folder: Path, mask: InstanceMask, diagnosis: Diagnosis) -> JsonObject:
    """An object as a version keeps it; its pixels go into a file."""
    kept = dataclasses.asdict(diagnosis)
    kept["overlaps"] = [{"label": label, "share": share} for label, share in diagnosis.overlaps]
    kept["name"] = mask.name
    kept["digest"] = pictures.write_mask(folder, mask.mask)
    return kept


def _drop_unused(folder: Path, documents: Sequence[JsonObject]) -> None:
    used = {entry["digest"] for document in documents for entry in document["objects"]}
    for file in folder.iterdir():
        if is_named_by_content(file) and file.stem not in used:
            file.unlink(missing_ok=True)


def _read(studio: Studio, photo: str, document: JsonObject) -> editing.Masks:
    return tuple(
        InstanceMask(entry["label"], _read_one(studio, photo, entry["digest"]), entry["name"])
        for entry in document["objects"]
    )


def _read_one(studio: Studio, photo: str, digest: str) -> np.ndarray:
    try:
        return pictures.read_mask(_folder(studio, photo), digest)
    except FileNotFoundError as error:  # dropped by an edit in the same moment
        raise conflict("the masks have just been changed; look at the newest version") from error
