"""Scenes with their history: a version is a scene document whose files lie in the scene's folder;
edits go through ``scene.edits``.
"""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from maquette.app import downloads, history, pictures, scene_files, uploads
from maquette.app.downloads import Download
from maquette.app.problems import Problem, conflict, not_found
from maquette.app.store import now
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.export.glb import glb_bytes, mesh_glb_bytes
from maquette.images.overlay import instance_color
from maquette.render.preview import preview, render_scene
from maquette.scene import edits
from maquette.scene.document import instance_of, scene_of
from maquette.scene.fields import Fields
from maquette.types import Scene

JsonObject = dict[str, Any]
Edit = Callable[
    [Fields], tuple[JsonObject, Sequence[int]]
]  # document -> edited document, changed labels


@contextlib.contextmanager
def adopted(
    studio: Studio, saved: Path, name: str, job: str | None = None, photo: str | None = None
) -> Iterator[str]:
    """Make a scene of a document that the library has saved in a folder of ours; yields its id.
    The rows and the folder stay when the body succeeds.
    """
    with studio.folders.new("scenes") as folder:
        document = scene_files.take_over(saved, folder)
        identifier = folder.name
        stamp = now()
        with studio.store.transaction():
            studio.store.insert(
                "scenes",
                id=identifier,
                name=name,
                job=job,
                photo=photo,
                created=stamp,
                changed=stamp,
            )
            history.start(studio.store, identifier, document, "made")
            yield identifier


def _added(
    studio: Studio, made: Scene, name: str, job: str | None = None, photo: str | None = None
) -> str:
    """A new scene of the app; returns its id."""
    with studio.folders.workbench() as folder:
        saved = scene_files.saved(made, folder)
        with adopted(studio, saved, name, job, photo) as identifier:
            return identifier


def load(studio: Studio, files: Sequence[tuple[str, BinaryIO]]) -> JsonObject:
    """Open a saved scene from a client's files. Raises Problem, InputError."""
    with (
        uploads.incoming(studio.folders, files, studio.settings.limits) as received,
        studio.turn(),
    ):
        scene = scene_files.opened(received)
        name = received.files[0].stem if len(received.files) == 1 else "opened scene"
        identifier = _added(studio, scene, name)
    _news(studio, identifier)
    return state(studio, identifier)


def document(studio: Studio, identifier: str, number: int | None = None) -> Fields:
    """The newest document, or a version. Problem 404."""
    studio.row("scenes", identifier)
    found = history.current(studio.store, identifier, number).document
    place = studio.folders.of("scenes", identifier) / "scene.json"
    return Fields(place, scene_files.with_usable_provenance(found))


def scene(studio: Studio, identifier: str, number: int | None = None) -> Scene:
    """The scene itself. Problem 404."""
    return scene_of(document(studio, identifier, number))


def state(
    studio: Studio, identifier: str, number: int | None = None, brief: bool = False
) -> JsonObject:
    """A scene as JSON; ``brief`` leaves the instances out."""
    found = studio.row("scenes", identifier)
    version = history.current(studio.store, identifier, number)
    root = scene_files.with_usable_provenance(version.document)
    address = f"/api/scenes/{identifier}"
    made = scene_files.Provenance.model_validate(root["provenance"])
    result = {
        "id": identifier,
        "name": found["name"],
        "version": version.number,
        "job": found["job"],
        "photo": found["photo"],
        "method": made.method,
        "seed": made.options.get("seed"),
        "objects": len(root["instances"]),
        "can_undo": version.undo is not None,
        "can_redo": version.redo is not None,
        "undo": version.undo,
        "redo": version.redo,
        "preview": f"{address}/preview.png?version={version.number}",
        "thumbnail": f"{address}/thumbnail.jpg?version={version.number}",
        "image": f"{address}/photo.png" if root["input"] else None,
        "masks": f"{address}/masks.png" if root["input"] else None,
        "created": found["created"],
        "changed_at": found["changed"],
    }
    if brief:
        return result
    labels = {mask["label"] for mask in (root["input"] or {}).get("masks", [])}
    return result | {
        "changed": list(version.changed),
        "camera": {key: value for key, value in root["camera"].items() if key != "convention"},
        "ground_height": root["ground_height"],
        "metres_per_unit": root["metres_per_unit"],
        "instances": [_instance(entry, address, labels) for entry in root["instances"]],
        "failures": root["failures"],
        "warnings": (root["input"] or {}).get("warnings", []),
        "provenance": root["provenance"] | {"seconds": made.seconds},
    }


def _instance(entry: JsonObject, address: str, masked: set[int]) -> JsonObject:
    keys = ("label", "node", "name", "seed", "confidence", "warnings", "world_from_instance", "box")
    return {key: entry[key] for key in keys} | {
        "hidden": entry.get("hidden") is True,
        "color": "#{:02x}{:02x}{:02x}".format(*instance_color(entry["label"])),
        "glb": f"{address}/meshes/{Path(entry['mesh']).stem}.glb",
        "can_regenerate": entry["state"] is not None and entry["label"] in masked,
    }


def every(studio: Studio) -> list[JsonObject]:
    """All scenes as JSON, newest first, without their instances."""
    return [
        state(studio, found["id"], brief=True)
        for found in studio.store.all("SELECT id FROM scenes ORDER BY created DESC, id")
    ]


def apply(studio: Studio, identifier: str, base: int, kind: str, edit: Edit) -> JsonObject:
    """Edit version ``base``; returns the new state. Problem 409 when that is not the newest."""
    with _telling(studio, identifier), studio.alone("scenes", identifier):
        current = document(studio, identifier)
        newest = history.current(studio.store, identifier).number
        if newest != base:
            raise conflict(
                f"the edit was made on version {base}, but the newest is {newest}; repeat it on "
                "that"
            )
        edited, changed = edit(current)
        _append(studio, identifier, base, kind, edited, changed)
    return state(studio, identifier)


def replace(studio: Studio, identifier: str, saved: Path) -> None:
    """Give an object the shape of the only instance of a saved document, in the newest version,
    whatever else was edited.
    """
    with studio.alone("scenes", identifier):
        current = document(studio, identifier)
        (made,) = scene_files.take_over(saved, studio.folders.of("scenes", identifier))["instances"]
        version = history.current(studio.store, identifier).number
        _append(
            studio, identifier, version, "regenerate", edits.replace(current, made), [made["label"]]
        )


def step(studio: Studio, identifier: str, base: int, back: bool) -> JsonObject:
    """Undo or redo. Problem 409 when ``base`` is not the newest, or there is nothing."""
    with _telling(studio, identifier), studio.alone("scenes", identifier):
        studio.row("scenes", identifier)
        history.step(studio.store, identifier, base, back)
    _changed(studio, identifier)
    return state(studio, identifier)


def made_with(studio: Studio, identifier: str) -> JsonObject:
    """The options with which a scene was made, as far as they are known."""
    found = studio.row("scenes", identifier)
    job = studio.store.one("SELECT options FROM jobs WHERE id = ?", found["job"])
    noted = document(studio, identifier).data["provenance"].get("options", {})
    return job["options"] if job else noted


def rename(studio: Studio, identifier: str, name: str) -> JsonObject:
    """Give a scene another name."""
    studio.row("scenes", identifier)
    studio.store.update(
        "scenes",
        identifier,
        name=uploads.shown(name, studio.settings.limits.name_length) or "scene",
    )
    _changed(studio, identifier)
    return state(studio, identifier)


def delete(studio: Studio, identifier: str) -> None:
    """Delete a scene; its job stays."""
    with studio.alone("scenes", identifier):
        studio.row("scenes", identifier)
        studio.give_room(lambda: _forget(studio, identifier))
    studio.news.publish("deleted", {"kind": "scene", "id": identifier})


def _forget(studio: Studio, identifier: str) -> None:
    with studio.store.transaction():
        studio.store.run("DELETE FROM scenes WHERE id = ?", identifier)
        studio.store.run(
            "UPDATE jobs SET scene = NULL WHERE scene = ? AND kind = 'generate'", identifier
        )
        history.forget(studio.store, identifier)
    studio.folders.remove("scenes", identifier)


def copy(studio: Studio, identifier: str) -> JsonObject:
    """A scene of its own with the newest version."""
    found = studio.row("scenes", identifier)
    name = f"{found['name']} (copy)"[-studio.settings.limits.name_length :]
    with studio.turn():
        made = _added(studio, scene(studio, identifier), name, found["job"], found["photo"])
    _news(studio, made)
    return state(studio, made)


def mesh_glb(studio: Studio, identifier: str, digest: str) -> Path:
    """The mesh of a content name as GLB in its own frame, made once. Problem 404."""
    studio.row("scenes", identifier)
    folder = studio.folders.of("scenes", identifier)
    source = folder / "files" / f"{digest}.ply"
    target = folder / "cache" / f"{digest}.glb"
    if not target.exists():
        if not source.is_file():
            raise not_found("mesh")
        texture = source.with_suffix(".png")
        entry = {
            "label": 1,
            "node": "mesh",
            "name": "",
            "mesh": f"files/{source.name}",
            "seed": 0,
            "warnings": [],
            "texture": f"files/{texture.name}" if texture.is_file() else None,
            "world_from_instance": np.eye(4).tolist(),
        }
        _cached(
            studio,
            identifier,
            target,
            mesh_glb_bytes(instance_of(Fields(folder / "scene.json", entry))),
        )
    return target


def instance_file(studio: Studio, identifier: str, label: int) -> Download:
    """One object alone, placed, as GLB. Problem 404."""
    current = document(studio, identifier)
    chosen = [entry for entry in current.data["instances"] if entry["label"] == label]
    if not chosen:
        raise not_found(f"object ({label})")
    shown = {**current.data, "instances": [{**chosen[0], "hidden": False}]}
    return Download(
        f"{downloads.file_stem(chosen[0]['node'], 'object')}.glb",
        glb_bytes(scene_of(Fields(current.file, shown))),
    )


def preview_file(studio: Studio, identifier: str, number: int | None) -> Path:
    """The preview picture of a version, made once. Problem 404."""
    studio.row("scenes", identifier)
    wanted = history.current(studio.store, identifier, number).number
    target = studio.folders.of("scenes", identifier) / "cache" / f"preview_{wanted}.png"
    if not target.exists():
        with studio.turn():
            content = pictures.png(preview(scene(studio, identifier, wanted)))
        _cached(studio, identifier, target, content)
    return target


def thumbnail_file(studio: Studio, identifier: str, number: int | None) -> Path:
    """A small picture of a version from the photo's camera, made once. Problem 404."""
    studio.row("scenes", identifier)
    wanted = history.current(studio.store, identifier, number).number
    target = studio.folders.of("scenes", identifier) / "cache" / f"thumbnail_{wanted}.jpg"
    if not target.exists():
        with studio.turn():
            shown = scene(studio, identifier, wanted)
            scale = pictures.THUMBNAIL / max(shown.camera.width, shown.camera.height)
            size = (
                max(1, round(shown.camera.width * scale)),
                max(1, round(shown.camera.height * scale)),
            )
            content = pictures.thumbnail(render_scene(shown, size=size))
        _cached(studio, identifier, target, content)
    return target


def photo_file(studio: Studio, identifier: str) -> Path:
    """The photo of a scene. Problem 404 when it has none."""
    current = document(studio, identifier)
    if current.data["input"] is None:
        raise not_found("photo of this scene")
    return current.file.parent / current.data["input"]["photo"]


def masks_file(studio: Studio, identifier: str) -> Path:
    """The label picture of a scene's masks, made once. Problem 404 when it has none."""
    current = document(studio, identifier)
    target = current.file.parent / "cache" / "masks.png"
    if not target.exists():
        given = scene(studio, identifier).input
        if given is None:
            raise not_found("photo of this scene")
        _cached(
            studio, identifier, target, pictures.label_picture(given.masks, given.image.shape[:2])
        )
    return target


def export(studio: Studio, identifier: str, form: str, number: int | None) -> Download:
    """A version as a file of one of ``scene_files.FORMATS``. Raises Problem, InputError."""
    found = studio.row("scenes", identifier)
    with studio.turn():
        return scene_files.exported(
            scene(studio, identifier, number), found["name"], form, studio.folders
        )


def compare(studio: Studio, one: str, other: str) -> JsonObject:
    """Two scenes side by side, their objects matched by label. Problem 404."""
    roots = [document(studio, identifier) for identifier in (one, other)]
    photos = [
        root.file.parent / root.data["input"]["photo"] if root.data["input"] else None
        for root in roots
    ]
    entries = [{entry["label"]: entry for entry in root.data["instances"]} for root in roots]
    names = {label: entry["name"] for side in reversed(entries) for label, entry in side.items()}

    def side(k: int, label: int) -> JsonObject | None:
        entry = entries[k].get(label)
        return entry and {
            "confidence": entry["confidence"],
            "faces": _faces(roots[k].file.parent / entry["mesh"]),
        }

    return {
        "same_photo": all(photos) and filecmp.cmp(*photos, shallow=False),
        "a": _summary(studio, one, roots[0].data),
        "b": _summary(studio, other, roots[1].data),
        "objects": [
            {"label": label, "name": names[label], "a": side(0, label), "b": side(1, label)}
            for label in sorted(names)
        ],
    }


def _summary(studio: Studio, identifier: str, root: JsonObject) -> JsonObject:
    known = [entry["confidence"] for entry in root["instances"] if entry["confidence"] is not None]
    seconds = root["provenance"].get("seconds")
    return {
        "id": identifier,
        "name": studio.row("scenes", identifier)["name"],
        "method": root["provenance"].get("method"),
        "seconds": round(sum(seconds.values()), 2) if seconds else None,
        "confidence": round(sum(known) / len(known), 4) if known else None,
    }


def _faces(path: Path) -> int:
    with open(path, "rb") as file:
        header = file.read(1024).partition(b"end_header")[0]
    return next(
        (int(line.split()[-1]) for line in header.splitlines() if line.startswith(b"element face")),
        0,
    )


def _append(
    studio: Studio,
    identifier: str,
    base: int,
    kind: str,
    edited: JsonObject,
    changed: Sequence[int],
) -> None:
    if len(edited["instances"]) > 4 * studio.settings.limits.objects:
        raise InputError(
            f"the scene would have {len(edited['instances'])} objects; delete some first"
        )
    studio.folders.spare.require()
    if history.append(
        studio.store, identifier, base, kind, edited, changed, studio.settings.limits.versions
    ):
        scene_files.drop_unused(
            studio.folders.of("scenes", identifier), history.documents(studio.store, identifier)
        )
    _changed(studio, identifier)


def _changed(studio: Studio, identifier: str) -> None:
    studio.store.update("scenes", identifier, changed=now())
    _news(studio, identifier)


def _news(studio: Studio, identifier: str) -> None:
    studio.news.publish(
        "scene", {"id": identifier, "version": history.current(studio.store, identifier).number}
    )


def _cached(studio: Studio, identifier: str, target: Path, content: bytes) -> None:
    studio.folders.spare.require()
    with studio.alone("scenes", identifier):
        studio.row("scenes", identifier)  # not deleted meanwhile
        target.parent.mkdir(exist_ok=True)
        pictures.write(target, content)


@contextlib.contextmanager
def _telling(studio: Studio, identifier: str) -> Iterator[None]:
    """Put the newest state into a conflict's answer."""
    try:
        yield
    except Problem as error:
        if error.code == "conflict":
            error.details.setdefault("current", state(studio, identifier))
        raise
