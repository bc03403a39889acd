"""Jobs: a bounded queue in the database, from submission to the scene; every change is one
conditional update, so no two agree to differ.

States: queued, running, then done, failed, cancelled or interrupted. A job's folder has copies of
what it was made from.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maquette.app import masks as photo_masks
from maquette.app import pictures, scenes, uploads
from maquette.app.problems import busy, conflict, not_found
from maquette.app.store import Row, now
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.images import read_masks
from maquette.images.masks import select_masks
from maquette.images.write import write_masks
from maquette.output import clear_leftovers

OPEN = ("queued", "running")
FINAL = ("done", "failed", "cancelled", "interrupted")
INPUTS = ("image.png", "thumbnail.jpg", "masks.npz")
USUAL_SECONDS = 20.0  # of a job, before one has been made
_PARTS = {  # of a try: where a stage begins and ends
    "load": (0.0, 0.02),
    "perceive": (0.02, 0.06),
    "scene": (0.06, 0.4),
    "objects": (0.4, 0.93),
    "alone": (0.06, 0.2),
    "layout": (0.2, 0.93),
    "check": (0.93, 0.96),
    "write": (0.96, 1.0),
}

JsonObject = dict[str, Any]


def submit(
    studio: Studio,
    photo: str,
    options: JsonObject,
    only: Sequence[int | str] | None = None,
    name: str = "",
) -> JsonObject:
    """Queue a job for a photo and its newest masks. Problem 429 when the queue is full; InputError
    when there is no mask.
    """
    refuse_when_full(studio)
    with studio.alone("photos", photo):
        found = studio.row("photos", photo)
        version = photo_masks.masks_of(studio, photo)
        if not version:
            raise InputError(
                "the photo has no masks; mark at least one object or import a mask file"
            )
        chosen = version if only is None else select_masks(version, only)
        objects = [{"label": m.label, "name": m.name} for m in chosen]
        title = uploads.shown(name, studio.settings.limits.name_length) or found["name"]
        with _new_folder(studio) as folder, studio.turn():
            _link_inputs(studio.folders.of("photos", photo), folder, INPUTS[:2])
            write_masks(chosen, folder / INPUTS[2])
            _queue(
                studio,
                folder.name,
                kind="generate",
                name=title,
                options=options,
                photo=photo,
                objects=objects,
            )
    tell(studio, folder.name)
    return get(studio, folder.name)


def submit_regeneration(studio: Studio, scene: str, label: int, options: JsonObject) -> JsonObject:
    """Queue making one object of a scene anew. Problem 404, 429; InputError when that is not
    possible.
    """
    refuse_when_full(studio)
    state = scenes.state(studio, scene)
    chosen = [entry for entry in state["instances"] if entry["label"] == label]
    if not chosen:
        raise not_found(f"object ({label})")
    if not chosen[0]["can_regenerate"]:
        raise InputError(
            f"object {label} cannot be regenerated: it is a copy, or the scene does not hold its "
            "photo and masks"
        )
    objects = [{"label": label, "name": chosen[0]["name"]}]
    title = uploads.shown(
        f"{state['name']}: {chosen[0]['node']}", studio.settings.limits.name_length
    )
    with _new_folder(studio) as folder, studio.turn():
        pictures.write(
            folder / "thumbnail.jpg",
            pictures.thumbnail(pictures.read_picture(scenes.photo_file(studio, scene))),
        )
        _queue(
            studio,
            folder.name,
            kind="regenerate",
            name=title,
            options=options,
            photo=state["photo"],
            scene=scene,
            label=label,
            objects=objects,
        )
    tell(studio, folder.name)
    return get(studio, folder.name)


def repeat(studio: Studio, identifier: str, changes: JsonObject) -> JsonObject:
    """Queue a finished or stopped job again, with some options changed. Problem 404, 429."""
    found = studio.row("jobs", identifier)
    options = found["options"] | changes
    if found["kind"] == "regenerate":
        return submit_regeneration(studio, found["scene"], found["label"], options)
    refuse_when_full(studio)
    with _new_folder(studio) as folder:
        _link_inputs(studio.folders.of("jobs", identifier), folder, INPUTS)
        _queue(
            studio,
            folder.name,
            kind="generate",
            name=found["name"],
            options=options,
            photo=found["photo"],
            objects=found["objects"],
        )
    tell(studio, folder.name)
    return get(studio, folder.name)


def refuse_when_full(studio: Studio) -> None:
    """Problem 429, with the time after which a place should be free, when as many jobs wait as may."""
    waiting = studio.store.one("SELECT count(*) AS n FROM jobs WHERE state = 'queued'")["n"]
    if waiting >= studio.settings.queue:
        seconds = max(1, round(_usual_seconds(studio) / studio.settings.workers))
        raise busy(
            f"{waiting} jobs are waiting, which is the most that may; try again in {seconds} "
            "seconds",
            seconds,
        )


def get(studio: Studio, identifier: str) -> JsonObject:
    """One job as JSON."""
    return view(studio, studio.row("jobs", identifier))


def every(
    studio: Studio, state: str | None = None, photo: str | None = None, limit: int = 100
) -> list[JsonObject]:
    """Jobs as JSON, newest first."""
    chosen = "state = coalesce(?, state) AND (? IS NULL OR photo = ?)"
    found = studio.store.all(
        f"SELECT * FROM jobs WHERE {chosen} ORDER BY ordinal DESC LIMIT ?",
        state,
        photo,
        photo,
        limit,
    )
    return [view(studio, job) for job in found]


def view(studio: Studio, found: Row) -> JsonObject:
    """A row as JSON for clients."""
    address = f"/api/jobs/{found['id']}"
    keys = (
        "id",
        "kind",
        "state",
        "name",
        "photo",
        "scene",
        "label",
        "options",
        "objects",
        "failures",
        "warnings",
        "error",
        "seconds",
        "created",
        "started",
        "finished",
    )
    position = None
    if found["state"] == "queued":
        position = studio.store.one(
            "SELECT count(*) AS n FROM jobs WHERE state = 'queued' AND ordinal < ?",
            found["ordinal"],
        )["n"]
    nothing = {
        "stage": "",
        "share": 0.0,
        "overall": 1.0 if found["state"] == "done" else 0.0,
        "instance": None,
        "attempt": 1,
    }
    return {key: found[key] for key in keys} | {
        "thumbnail": f"{address}/thumbnail.jpg",
        "position": position,
        "progress": studio.progress.get(found["id"], nothing),
        "instances": [_instance(found["id"], entry) for entry in found["instances"]],
    }


def _instance(identifier: str, entry: JsonObject) -> JsonObject:
    return {
        **entry,
        "glb": f"/api/jobs/{identifier}/instances/{entry['label']}.glb?attempt={entry['attempt']}",
    }


def claim(studio: Studio) -> Row | None:
    """Take the job that has waited longest; it is running then."""
    with studio.store.transaction():
        found = studio.store.one(
            "SELECT id FROM jobs WHERE state = 'queued' ORDER BY ordinal LIMIT 1"
        )
        if found is None:
            return None
        studio.store.update("jobs", found["id"], state="running", started=now())
        studio.progress[found["id"]] = {
            "stage": "load",
            "share": 0.0,
            "overall": 0.0,
            "instance": None,
            "attempt": 1,
        }
        taken = studio.row("jobs", found["id"])
    tell(studio, taken["id"])
    for waiting in studio.store.all(
        "SELECT id FROM jobs WHERE state = 'queued'"
    ):  # each has moved up
        tell(studio, waiting["id"])
    return taken


def report(studio: Studio, found: Row, message: JsonObject) -> None:
    """Note the progress that a worker tells; it is not stored."""
    identifier = found["id"]
    before = studio.progress.get(identifier)
    if before is None:
        return
    low, high = _PARTS.get(message["stage"], (before["overall"], before["overall"]))
    overall = (message["attempt"] - 1 + low + (high - low) * message["share"]) / (
        found["options"].get("samples") or 1
    )
    known = {key: message[key] for key in ("stage", "share", "instance", "attempt")}
    studio.progress[identifier] = known | {
        "overall": round(max(before["overall"], min(overall, 1.0)), 4)
    }
    studio.news.publish("progress", {"id": identifier, **studio.progress[identifier]})


def add_instance(studio: Studio, identifier: str, message: JsonObject) -> None:
    """Note an object that is there."""
    entry = {key: message[key] for key in ("label", "name", "attempt", "world_from_instance")}
    with studio.store.transaction():
        known = [
            other
            for other in studio.row("jobs", identifier)["instances"]
            if other["label"] != entry["label"]
        ]
        studio.store.update(
            "jobs", identifier, instances=sorted([*known, entry], key=lambda e: e["label"])
        )
    studio.news.publish("instance", {"id": identifier, **_instance(identifier, entry)})


def complete(studio: Studio, found: Row, message: JsonObject) -> None:
    """Make the result of a running job a scene, or a new version of one."""
    identifier = found["id"]
    result = studio.folders.of("jobs", identifier) / "result" / "scene.json"
    adopted = None
    noted = {key: message[key] for key in ("seconds", "failures", "warnings")}
    with studio.alone("jobs", identifier):
        if studio.row("jobs", identifier)["state"] != "running":
            return
        if found["kind"] == "regenerate":
            scenes.replace(studio, found["scene"], result)
            _succeed(studio, identifier, noted)
        else:
            made = scenes.adopted(studio, result, found["name"], identifier, found["photo"])
            with made as adopted:
                _succeed(studio, identifier, {**noted, "scene": adopted})
        shutil.rmtree(result.parent, ignore_errors=True)
    tell(studio, identifier)
    if adopted:
        studio.news.publish("scene", {"id": adopted, "version": 1})


def _succeed(studio: Studio, identifier: str, columns: JsonObject) -> None:
    with studio.store.transaction():
        studio.store.update("jobs", identifier, **columns)
        finish(studio, identifier, "done")


def finish(studio: Studio, identifier: str, state: str, error: str | None = None) -> bool:
    """Give a job that is not finished its final state; returns False when it was finished before."""
    changed = studio.store.run(
        "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE id = ? AND state IN ('queued', "
        "'running')",
        state,
        error,
        now(),
        identifier,
    )
    studio.progress.pop(identifier, None)
    return changed > 0


def give_up(studio: Studio, identifier: str, state: str, error: str) -> None:
    """End a job without a result, also on a full disk."""
    studio.give_room(lambda: finish(studio, identifier, state, error))


def tell(studio: Studio, identifier: str) -> None:
    """Publish a job's state, and its end."""
    found = studio.store.one("SELECT * FROM jobs WHERE id = ?", identifier)
    if found is not None:
        studio.news.publish("job", view(studio, found))
        if found["state"] in FINAL:
            studio.news.publish(
                "end", {"id": identifier, "state": found["state"], "scene": found["scene"]}
            )


def stop(studio: Studio, identifier: str) -> bool:
    """Mark a job as cancelled; returns whether it was still open. The crew stops its worker."""
    with studio.alone("jobs", identifier):
        studio.row("jobs", identifier)
        stopped = studio.give_room(lambda: finish(studio, identifier, "cancelled"))
    if stopped:
        tell(studio, identifier)
    return stopped


def delete(studio: Studio, identifier: str) -> None:
    """Delete a job that no worker works on any more; its scene stays."""
    with studio.alone("jobs", identifier):
        if studio.row("jobs", identifier)["state"] in OPEN:
            raise conflict("the job is not finished; cancel it first")
        studio.give_room(lambda: _forget(studio, identifier))
    studio.news.publish("deleted", {"kind": "job", "id": identifier})


def _forget(studio: Studio, identifier: str) -> None:
    studio.store.run("DELETE FROM jobs WHERE id = ?", identifier)
    studio.folders.remove("jobs", identifier)


def tidy(studio: Studio, identifier: str) -> None:
    """Remove what a stopped worker left half-written, and the folder of a job that was deleted
    meanwhile.
    """
    folder = studio.folders.of("jobs", identifier)
    with studio.alone("jobs", identifier):
        if studio.store.one("SELECT 1 FROM jobs WHERE id = ?", identifier) is None:
            studio.folders.remove("jobs", identifier)
        elif folder.is_dir():
            for written in (folder, folder / "instances"):
                clear_leftovers(written)
            shutil.rmtree(folder / "result", ignore_errors=True)


def recover(studio: Studio) -> None:
    """At a start: jobs that were running when the server stopped are interrupted; those that waited
    go on waiting.
    """
    for found in studio.store.all("SELECT id FROM jobs WHERE state = 'running'"):
        give_up(studio, found["id"], "interrupted", "the server was stopped; repeat the job")
        tidy(studio, found["id"])


def masks_picture(studio: Studio, identifier: str) -> bytes:
    """The label picture of what a job is made from. Problem 404."""
    studio.row("jobs", identifier)
    path = studio.folders.of("jobs", identifier) / "masks.npz"
    if not path.is_file():
        raise not_found("mask picture of this job")
    masks = read_masks(path)
    return pictures.label_picture(masks, masks[0].mask.shape)


def _queue(studio: Studio, identifier: str, **columns: Any) -> None:
    with studio.store.transaction():
        refuse_when_full(studio)
        studio.store.insert(
            "jobs",
            id=identifier,
            state="queued",
            instances=[],
            failures=[],
            warnings=[],
            seconds={},
            created=now(),
            **columns,
        )


@contextlib.contextmanager
def _new_folder(studio: Studio) -> Iterator[Path]:
    """The folder of a new job, named by its id; gone again when the body fails."""
    with studio.folders.new("jobs") as folder:
        (folder / "instances").mkdir()
        yield folder


def _link_inputs(source: Path, target: Path, parts: Sequence[str]) -> None:
    """The parts, and the focal length where there is one."""
    for part in (*parts, pictures.FOCAL) if (source / pictures.FOCAL).exists() else parts:
        _link(source / part, target / part)


def _link(source: Path, target: Path) -> None:
    """A second name for a file that never changes; a copy where the disk has no such thing."""
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise not_found("photo") from error
    except OSError:
        shutil.copyfile(source, target)


def _usual_seconds(studio: Studio) -> float:
    recent = studio.store.all(
        "SELECT seconds FROM jobs WHERE state = 'done' ORDER BY ordinal DESC LIMIT 5"
    )
    totals = [sum(job["seconds"].values()) for job in recent if job["seconds"]]
    return sum(totals) / len(totals) if totals else USUAL_SECONDS
