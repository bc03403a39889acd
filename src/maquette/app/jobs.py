"""Jobs: a bounded queue in the database, and what clients see of it. Who works on them, and how
they end, is in claims.py.

States: queued, running, then done, failed, cancelled or interrupted. A job's folder has copies of
what it was made from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from maquette.app import geometry, pictures, scenes, uploads
from maquette.app import masks as photo_masks
from maquette.app.known import KNOWN
from maquette.app.problems import busy, not_found
from maquette.app.store import Row, now
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.masks import read_masks
from maquette.masks.read import select_masks
from maquette.masks.write import write_masks
from maquette.types import JsonObject, Which

OPEN = ("queued", "running")
FINAL = ("done", "failed", "cancelled", "interrupted")
MASKS = "masks.npz"
PICTURES = ("image.png", "thumbnail.jpg")
USUAL_SECONDS = 20.0  # of a job, before one has been made
_SHOWN = (
    *("id", "kind", "state", "name", "photo", "scene", "label", "options", "objects"),
    *("failures", "warnings", "error", "seconds", "created", "started", "finished"),
)
NO_PROGRESS = {
    "stage": "",
    "share": 0.0,
    "overall": 0.0,
    "instance": None,
    "attempt": 1,
}


def submit(
    studio: Studio,
    photo: str,
    options: JsonObject,
    only: Sequence[Which] | None = None,
    name: str = "",
) -> JsonObject:
    """Queue a job for a photo and its newest masks. Problem 429 when the queue is full; InputError
    when there is no mask.
    """
    refuse_when_full(studio)
    with studio.alone("photos", photo):
        found = studio.row("photos", photo)
        masks = photo_masks.masks_of(studio, photo)
        if not masks:
            raise InputError(
                "the photo has no masks; mark at least one object or import a mask file"
            )
        chosen = masks if only is None else select_masks(masks, only)

        source = studio.folders.of("photos", photo)
        geometry.check(source, chosen)

        def fill(folder: Path) -> None:
            _link(source, folder, PICTURES)
            with studio.turn():
                write_masks(chosen, folder / MASKS)

        return _queued(
            studio,
            fill,
            kind="generate",
            name=uploads.shown(name, studio.settings.limits.name_length) or found["name"],
            options=options,
            photo=photo,
            objects=[{"label": m.label, "name": m.name} for m in chosen],
        )


def submit_regeneration(
    studio: Studio,
    scene: str,
    label: int,
    options: JsonObject,
) -> JsonObject:
    """Queue making one object of a scene anew. Problem 404, 429; InputError when that is not
    possible.
    """
    refuse_when_full(studio)
    state = scenes.state(studio, scene)
    chosen = next((entry for entry in state["instances"] if entry["label"] == label), None)
    if chosen is None:
        raise not_found(f"object ({label})")
    if not chosen["can_regenerate"]:
        raise InputError(
            f"object {label} cannot be regenerated: "
            "it is a copy, or the scene does not hold its photo and masks"
        )
    title = f"{state['name']}: {chosen['node']}"

    def fill(folder: Path) -> None:
        with studio.turn():
            photo = pictures.read_picture(scenes.photo_file(studio, scene))
            pictures.write(folder / "thumbnail.jpg", pictures.thumbnail(photo))

    return _queued(
        studio,
        fill,
        kind="regenerate",
        name=uploads.shown(title, studio.settings.limits.name_length),
        options=options,
        photo=state["photo"],
        scene=scene,
        label=label,
        objects=[{"label": label, "name": chosen["name"]}],
    )


def repeat(studio: Studio, identifier: str, changes: JsonObject) -> JsonObject:
    """Queue a finished or stopped job again, with some options changed. Problem 404, 429."""
    found = studio.row("jobs", identifier)
    options = found["options"] | changes
    if found["kind"] == "regenerate":
        return submit_regeneration(studio, found["scene"], found["label"], options)
    refuse_when_full(studio)
    source = studio.folders.of("jobs", identifier)
    same = {key: found[key] for key in ("kind", "name", "photo", "objects")}
    return _queued(
        studio,
        lambda folder: _link(source, folder, (*PICTURES, MASKS)),
        options=options,
        **same,
    )


def _queued(studio: Studio, fill: Callable[[Path], None], **columns: Any) -> JsonObject:
    """A new job whose folder is filled with what it is made from."""
    nothing_yet: JsonObject = {
        "instances": [],
        "failures": [],
        "warnings": [],
        "seconds": {},
    }
    with studio.folders.new("jobs") as folder:
        (folder / "instances").mkdir()
        fill(folder)
        row = {
            "id": folder.name,
            "state": "queued",
            "created": now(),
            **nothing_yet,
            **columns,
        }
        with studio.store.transaction():
            refuse_when_full(studio)
            studio.store.insert("jobs", **row)
    tell(studio, folder.name)
    return get(studio, folder.name)


def _link(source: Path, target: Path, names: Sequence[str]) -> None:
    """Give files that never change, and what is known of depth and camera, a second name; copy them
    where the disk has no such thing.
    """
    known = (name for name in (pictures.FOCAL, KNOWN) if (source / name).exists())
    for name in (*names, *known):
        try:
            os.link(source / name, target / name)
        except FileNotFoundError as error:
            raise not_found("photo") from error
        except OSError:
            shutil.copyfile(source / name, target / name)


def refuse_when_full(studio: Studio) -> None:
    """Problem 429 when as many jobs wait as may, with the time after which there should be room."""
    count = waiting(studio)
    if count >= studio.settings.queue:
        seconds = max(1, round(_usual_seconds(studio) / studio.settings.workers))
        raise busy(
            f"{count} jobs are waiting, which is the most that may; try again in {seconds} seconds",
            seconds,
        )


def waiting(studio: Studio, before: int = 2**62) -> int:
    """How many jobs wait that came before an ordinal number."""
    counted = "SELECT count(*) AS n FROM jobs WHERE state = 'queued' AND ordinal < :before"
    return studio.store.only(counted, before=before)["n"]


def _usual_seconds(studio: Studio) -> float:
    recent = studio.store.all(
        "SELECT seconds FROM jobs WHERE state = 'done' ORDER BY ordinal DESC LIMIT 5"
    )
    totals = [sum(job["seconds"].values()) for job in recent if job["seconds"]]
    return sum(totals) / len(totals) if totals else USUAL_SECONDS


def get(studio: Studio, identifier: str) -> JsonObject:
    """One job as JSON."""
    return view(studio, studio.row("jobs", identifier))


def every(
    studio: Studio,
    state: str | None = None,
    photo: str | None = None,
    limit: int = 100,
) -> list[JsonObject]:
    """Jobs as JSON, newest first."""
    asked = {"state": state, "photo": photo}
    wanted = {name: value for name, value in asked.items() if value is not None}
    such = "".join(f" AND {name} = :{name}" for name in wanted)
    statement = f"SELECT * FROM jobs WHERE ordinal > 0{such} ORDER BY ordinal DESC LIMIT :limit"
    found = studio.store.all(statement, limit=limit, **wanted)
    return [view(studio, job) for job in found]


def view(studio: Studio, found: Row) -> JsonObject:
    """A row as JSON for clients."""
    identifier = found["id"]
    state = found["state"]
    shown = {key: found[key] for key in _SHOWN}
    shown["thumbnail"] = f"/api/jobs/{identifier}/thumbnail.jpg"
    shown["position"] = waiting(studio, found["ordinal"]) if state == "queued" else None
    still = {**NO_PROGRESS, "overall": 1.0 if state == "done" else 0.0}
    shown["progress"] = studio.progress.get(identifier, still)
    shown["instances"] = [instance_view(identifier, entry) for entry in found["instances"]]
    return shown


def instance_view(identifier: str, entry: JsonObject) -> JsonObject:
    """An object that is there, as JSON for clients."""
    file = f"{entry['label']}.glb?attempt={entry['attempt']}"
    return {**entry, "glb": f"/api/jobs/{identifier}/instances/{file}"}


def tell(studio: Studio, identifier: str) -> None:
    """Publish a job's state, and its end."""
    found = studio.store.one("SELECT * FROM jobs WHERE id = :id", id=identifier)
    if found is not None:
        for name, data in events_of(view(studio, found)):
            studio.news.publish(name, data)


def events_of(shown: JsonObject) -> list[tuple[str, JsonObject]]:
    """What a stream says of the state of a job."""
    said = [("job", shown)]
    if shown["state"] in FINAL:
        said.append(("end", {key: shown[key] for key in ("id", "state", "scene")}))
    return said


def masks_picture(studio: Studio, identifier: str) -> bytes:
    """The label picture of what a job is made from. Problem 404."""
    studio.row("jobs", identifier)
    path = studio.folders.of("jobs", identifier) / MASKS
    if not path.is_file():
        raise not_found("mask picture of this job")
    masks = read_masks(path)
    return pictures.label_picture(masks, masks[0].mask.shape)
