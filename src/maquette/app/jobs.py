"""Jobs: a bounded queue in the database, from submission to the scene; every change is one
conditional update, so no two agree to differ.

States: queued, running, then done, failed, cancelled or interrupted. A job's folder has copies of
what it was made from.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maquette.app import geometry, pictures, scenes, uploads
from maquette.app import masks as photo_masks
from maquette.app.known import KNOWN
from maquette.app.problems import busy, conflict, not_found
from maquette.app.store import Row, Store, now
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.masks import read_masks
from maquette.masks.read import select_masks
from maquette.masks.write import write_masks
from maquette.output import clear_leftovers

OPEN = ("queued", "running")
FINAL = ("done", "failed", "cancelled", "interrupted")
MASKS = "masks.npz"
PICTURES = ("image.png", "thumbnail.jpg")
JOBS = "jobs "  # begins the names of tallies: with a state, ...
STAGE = "seconds "  # ... and with a stage
TRIES = 3  # of a job whose workers are lost
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
_SHOWN = (
    *("id", "kind", "state", "name", "photo", "scene", "label", "options", "objects"),
    *("failures", "warnings", "error", "seconds", "created", "started", "finished"),
)
_NOTHING = {
    "stage": "",
    "share": 0.0,
    "overall": 0.0,
    "instance": None,
    "attempt": 1,
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
    waiting = _waiting(studio)
    if waiting >= studio.settings.queue:
        seconds = max(1, round(_usual_seconds(studio) / studio.settings.workers))
        raise busy(
            f"{waiting} jobs are waiting, which is the most that may; "
            f"try again in {seconds} seconds",
            seconds,
        )


def _waiting(studio: Studio, before: int = 2**62) -> int:
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
    shown["position"] = _waiting(studio, found["ordinal"]) if state == "queued" else None
    still = {**_NOTHING, "overall": 1.0 if state == "done" else 0.0}
    shown["progress"] = studio.progress.get(identifier, still)
    shown["instances"] = [_instance(identifier, entry) for entry in found["instances"]]
    return shown


def _instance(identifier: str, entry: JsonObject) -> JsonObject:
    file = f"{entry['label']}.glb?attempt={entry['attempt']}"
    return {**entry, "glb": f"/api/jobs/{identifier}/instances/{file}"}


def claim(studio: Studio) -> Row | None:
    """Take the job that has waited longest, or whose lease has ended because its worker was lost;
    it is running then. Of several that ask at the same time no two get the same.
    """
    store = studio.store
    mark = secrets.token_hex(8)
    clock = store.database.clock
    longest = (
        f"SELECT ordinal FROM jobs WHERE {claimable(store)} "
        f"ORDER BY ordinal LIMIT 1 {store.database.skip}"
    )
    store.run(
        "UPDATE jobs SET state = 'running', started = :started, claim = :claim, "
        f"tries = tries + 1, lease = {clock} + :seconds WHERE ordinal = ({longest})",
        started=now(),
        claim=mark,
        seconds=studio.lease,
    )
    found = store.one("SELECT * FROM jobs WHERE claim = :claim", claim=mark)
    if found is None:
        return None
    if found["tries"] > TRIES:
        lost = f"its worker was lost {TRIES} times; look at the servers' output"
        give_up(studio, found["id"], "failed", lost)
        return claim(studio)
    studio.progress[found["id"]] = {**_NOTHING, "stage": "load"}
    tell(studio, found["id"])
    if studio.lease is None:
        for identifier in _queue(studio):  # each has moved up
            tell(studio, identifier)
    return found


def claimable(store: Store) -> str:
    """The condition of jobs that can be taken; an index has the open ones."""
    late = f"lease < {store.database.clock}"
    return f"state IN ('queued', 'running') AND (state = 'queued' OR {late})"


def _queue(studio: Studio) -> list[str]:
    waiting = "SELECT id FROM jobs WHERE state = 'queued' ORDER BY ordinal"
    return [job["id"] for job in studio.store.all(waiting)]


def renew(studio: Studio, found: Row) -> bool:
    """Keep a claimed job, and note how far it is, for other processes; returns whether it still
    belongs to this claim.
    """
    clock = studio.store.database.clock
    progress = studio.progress.get(found["id"])
    changed = studio.store.run(
        f"UPDATE jobs SET lease = {clock} + :seconds, progress = :progress "
        "WHERE claim = :claim AND state = 'running'",
        seconds=studio.lease,
        progress=json.dumps(progress),
        claim=found["claim"],
    )
    return changed > 0


def report(studio: Studio, found: Row, message: JsonObject) -> None:
    """Note the progress that a worker tells; it is not stored."""
    identifier = found["id"]
    before = studio.progress.get(identifier)
    if before is None:
        return
    known = {key: message[key] for key in ("stage", "share", "instance", "attempt")}
    begin, end = _PARTS.get(known["stage"], (before["overall"], before["overall"]))
    done = known["attempt"] - 1 + begin + (end - begin) * known["share"]
    overall = min(done / (found["options"].get("samples") or 1), 1.0)
    known["overall"] = round(max(before["overall"], overall), 4)
    studio.progress[identifier] = known
    studio.news.publish("progress", {"id": identifier, **known})


def add_instance(studio: Studio, found: Row, message: JsonObject) -> None:
    """Note an object that is there, unless somebody else has the job by now."""
    identifier = found["id"]
    entry = {key: message[key] for key in ("label", "name", "attempt", "world_from_instance")}
    with studio.store.transaction():
        current = studio.row("jobs", identifier)
        if current["claim"] != found["claim"]:
            return
        known = {other["label"]: other for other in current["instances"]}
        known[entry["label"]] = entry
        instances = [known[label] for label in sorted(known)]
        studio.store.update("jobs", identifier, instances=instances)
    studio.news.publish("instance", {"id": identifier, **_instance(identifier, entry)})


def complete(studio: Studio, found: Row, message: JsonObject) -> None:
    """Make the result of a running job a scene, or a new version of one."""
    identifier = found["id"]
    result = result_of(studio, found) / "scene.json"
    adopted = None
    noted = {key: message[key] for key in ("seconds", "failures", "warnings")}
    with studio.alone("jobs", identifier):
        current = studio.row("jobs", identifier)
        if current["state"] != "running" or current["claim"] != found["claim"]:
            return
        if found["kind"] == "regenerate":
            succeed = partial(_succeed, studio, found, noted)
            scenes.replace(studio, found["scene"], result, succeed)
        else:
            made = scenes.adopted(studio, result, found["name"], identifier, found["photo"])
            with made as adopted:
                _succeed(studio, found, {**noted, "scene": adopted})
        shutil.rmtree(result.parent, ignore_errors=True)
    tell(studio, identifier)
    if adopted:
        studio.news.publish("scene", {"id": adopted, "version": 1})


def result_of(studio: Studio, found: Row) -> Path:
    """Where the worker of a claim leaves the scene; who has lost the job writes elsewhere."""
    return studio.folders.of("jobs", found["id"]) / f"result-{found['claim']}"


def _succeed(studio: Studio, found: Row, columns: JsonObject) -> None:
    with studio.store.transaction():
        studio.store.update("jobs", found["id"], **columns)
        if not _finish(studio, found["id"], "done", claim=found["claim"]):
            raise conflict("the job has ended, or somebody else has taken it")
        for stage, seconds in columns["seconds"].items():
            _count(studio, STAGE + stage, seconds)


def _finish(
    studio: Studio,
    identifier: str,
    state: str,
    error: str | None = None,
    claim: str | None = None,
) -> bool:
    """Give a job its final state; returns False when it had one before, or now belongs to another
    claim than the given one.
    """
    same = "" if claim is None else "AND claim = :claim"
    with studio.store.transaction():
        changed = studio.store.run(
            "UPDATE jobs SET state = :state, error = :error, finished = :finished "
            f"WHERE id = :id AND state IN ('queued', 'running') {same}",
            id=identifier,
            state=state,
            error=error,
            finished=now(),
            claim=claim,
        )
        if changed:
            _count(studio, JOBS + state)
    studio.progress.pop(identifier, None)
    return changed > 0


def _count(studio: Studio, name: str, amount: float = 0.0) -> None:
    """Add to what was counted since the database was made; it stays when jobs are deleted."""
    studio.store.run(
        "INSERT INTO tallies (name, number, total) VALUES (:name, 1, :amount) ON CONFLICT (name) "
        "DO UPDATE SET number = tallies.number + 1, total = tallies.total + excluded.total",
        name=name,
        amount=amount,
    )


def give_up(
    studio: Studio,
    identifier: str,
    state: str,
    error: str | None = None,
    claim: str | None = None,
) -> bool:
    """End a job without a result, also on a full disk; returns whether it was still open, and of
    this claim if one is given.
    """
    ended = studio.give_room(lambda: _finish(studio, identifier, state, error, claim))
    if ended:
        tell(studio, identifier)
    return ended


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


def stop(studio: Studio, identifier: str) -> bool:
    """Mark a job as cancelled; returns whether it was still open. The crew stops its worker."""
    with studio.alone("jobs", identifier):
        studio.row("jobs", identifier)
        return give_up(studio, identifier, "cancelled")


def delete(studio: Studio, identifier: str) -> None:
    """Delete a job that no worker works on any more; its scene stays."""
    with studio.alone("jobs", identifier):
        if studio.row("jobs", identifier)["state"] in OPEN:
            raise conflict("the job is not finished; cancel it first")
        studio.delete("jobs", identifier)


def tidy(studio: Studio, identifier: str, claim: str | None = None) -> None:
    """Remove what the stopped worker of a claim (of any, if none is given) left half-written, and
    the folder of a job that was deleted meanwhile.
    """
    folder = studio.folders.of("jobs", identifier)
    with studio.alone("jobs", identifier):
        if studio.store.one("SELECT 1 FROM jobs WHERE id = :id", id=identifier) is None:
            studio.folders.remove("jobs", identifier)
        elif folder.is_dir():
            for written in (folder, folder / "instances"):
                clear_leftovers(written)
            for result in folder.glob("result*" if claim is None else f"result-{claim}"):
                shutil.rmtree(result, ignore_errors=True)


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
    path = studio.folders.of("jobs", identifier) / MASKS
    if not path.is_file():
        raise not_found("mask picture of this job")
    masks = read_masks(path)
    return pictures.label_picture(masks, masks[0].mask.shape)
