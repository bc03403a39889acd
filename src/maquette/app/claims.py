"""Who works on what: a job is claimed, kept by a lease while it is worked on, and ends once; every
change is one conditional update, so no two agree to differ.

In the flow: queued jobs (jobs.py) -> claims of workers -> scenes, or a reason.
"""

from __future__ import annotations

import json
import secrets
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from maquette.app import scenes
from maquette.app.jobs import NO_PROGRESS, OPEN, JsonObject, instance_view, tell
from maquette.app.problems import conflict
from maquette.app.store import Row, Store, now
from maquette.app.studio import Studio
from maquette.output import clear_leftovers

JOBS = "jobs "  # begins the names of tallies: with a state, ...
STAGE = "seconds "  # ... and with a stage
TRIES = 3  # of a job whose workers are lost
LOOKED_AT = 64  # jobs that wait, for those that can be made together
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


def claim(studio: Studio) -> Row | None:
    """Take the job that has waited longest, or whose lease has ended because its worker was lost;
    it is running then. Of several that ask at the same time no two get the same.
    """
    found = _take(studio, f"{claimable(studio.store)} ORDER BY ordinal LIMIT 1")
    if found is None:
        return None
    if found["tries"] > TRIES:
        lost = f"its worker was lost {TRIES} times; look at the servers' output"
        give_up(studio, found["id"], "failed", lost)
        return claim(studio)
    _begin(studio, found)
    return found


def company(studio: Studio, found: Row, most: int) -> list[Row]:
    """Take up to so many further jobs that can be made together with one that was claimed: they
    wait, and ask for the same but for the seed. A job that was lost before is made alone, for it
    may be what ends its workers.
    """
    if found["kind"] != "generate" or found["tries"] > 1:
        return []
    waiting = studio.store.all(
        "SELECT ordinal, options FROM jobs WHERE state = 'queued' AND kind = 'generate' "
        "AND tries = 0 ORDER BY ordinal LIMIT :most",
        most=LOOKED_AT,
    )
    wanted = _alike(found["options"])
    alike = [row["ordinal"] for row in waiting if _alike(row["options"]) == wanted]
    free = "ordinal = :ordinal AND state = 'queued'"
    taken = [_take(studio, free, ordinal=ordinal) for ordinal in alike[:most]]
    others = [row for row in taken if row is not None]
    for other in others:
        _begin(studio, other)
    return others


def _alike(options: JsonObject) -> JsonObject:
    return {name: value for name, value in options.items() if name != "seed"}


def _take(studio: Studio, which: str, **values: Any) -> Row | None:
    """Claim the job that a condition finds, if there is one."""
    store = studio.store
    mark = secrets.token_hex(8)
    chosen = f"SELECT ordinal FROM jobs WHERE {which} {store.database.skip}"
    store.run(
        "UPDATE jobs SET state = 'running', started = :started, claim = :claim, tries = tries + 1, "
        f"lease = {store.database.clock} + :seconds WHERE ordinal = ({chosen})",
        started=now(),
        claim=mark,
        seconds=studio.lease,
        **values,
    )
    return store.one("SELECT * FROM jobs WHERE claim = :claim", claim=mark)


def _begin(studio: Studio, found: Row) -> None:
    """Tell that a job was taken, and that others have moved up."""
    studio.progress[found["id"]] = {**NO_PROGRESS, "stage": "load"}
    tell(studio, found["id"])
    if studio.lease is None:
        for identifier in _queue(studio):
            tell(studio, identifier)


def give_back(studio: Studio, found: Row) -> None:
    """Let a claimed job wait again, at its place in the queue."""
    waits = studio.store.run(
        "UPDATE jobs SET state = 'queued', started = NULL, claim = NULL, lease = NULL, "
        "instances = '[]' WHERE claim = :claim AND state = 'running'",
        claim=found["claim"],
    )
    studio.progress.pop(found["id"], None)
    if waits:
        tell(studio, found["id"])


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
    studio.news.publish("instance", {"id": identifier, **instance_view(identifier, entry)})


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
            scenes.replace(studio, found["scene"], result, partial(_succeed, studio, found, noted))
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
