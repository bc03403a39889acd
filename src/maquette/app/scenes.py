"""Scenes with their history: a version is a scene document whose files lie in the scene's folder;
edits go through ``document.edits``.
"""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from maquette.app import downloads, pictures, scene_files, uploads
from maquette.app.downloads import Download
from maquette.app.history import History, Version
from maquette.app.problems import not_found
from maquette.app.store import Row, now
from maquette.app.studio import Studio
from maquette.app.uploads import Named
from maquette.document import edits
from maquette.document.fields import Fields
from maquette.document.scene_json import instance_from_record, scene_of
from maquette.errors import InputError, present
from maquette.export.glb import glb_bytes, mesh_glb_bytes
from maquette.options import FileSpace
from maquette.photos.pixels import scaled_size
from maquette.render.preview import preview, render_scene
from maquette.types import JsonObject, Scene

# document -> edited document, changed labels
Edit = Callable[[Fields], tuple[JsonObject, Sequence[int]]]

_ROW = ("id", "name", "job", "photo", "created")
_INSTANCE = ("label", "node", "name", "seed", "confidence", "warnings", "world_from_instance")
_MESH_ALONE = {  # what an entry of ``instances`` needs besides its files
    "label": 1,
    "node": "mesh",
    "name": "",
    "seed": 0,
    "warnings": [],
    "world_from_instance": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
}


@contextlib.contextmanager
def adopted(
    studio: Studio,
    saved: Path,
    name: str,
    job: str | None = None,
    photo: str | None = None,
) -> Iterator[str]:
    """Make a scene of a document that the library has saved in a folder of ours; yields its id.
    The rows and the folder stay when the body succeeds.
    """
    stamp = now()
    with studio.folders.new("scenes") as folder:
        document = scene_files.take_over(saved, folder)
        row = {
            "id": folder.name,
            "name": name,
            "job": job,
            "photo": photo,
        }
        with studio.store.transaction():
            studio.store.insert(
                "scenes",
                **row,
                created=stamp,
                changed=stamp,
            )
            _history(studio, folder.name).start(document, "made")
            yield folder.name


def _added(
    studio: Studio,
    made: Scene,
    name: str,
    job: str | None = None,
    photo: str | None = None,
) -> JsonObject:
    """A new scene of the app; returns its state."""
    with studio.folders.workbench() as folder:
        saved = scene_files.saved(made, folder)
        with adopted(studio, saved, name, job, photo) as identifier:
            pass
    _history(studio, identifier).tell()
    return state(studio, identifier)


def load(studio: Studio, files: Sequence[Named]) -> JsonObject:
    """Open a saved scene from a client's files. Raises Problem, InputError."""
    limits = studio.settings.limits
    with uploads.incoming(studio.folders, files, limits) as received, studio.turn():
        scene = scene_files.opened(received)
        name = received.files[0].stem if len(received.files) == 1 else "opened scene"
        return _added(studio, scene, name)


def document(studio: Studio, identifier: str, number: int | None = None) -> Fields:
    """The newest document, or a version. Problem 404."""
    studio.row("scenes", identifier)
    return _document(_history(studio, identifier).current(number), studio, identifier)


def _document(version: Version, studio: Studio, identifier: str) -> Fields:
    place = studio.folders.of("scenes", identifier) / "scene.json"
    return Fields(place, scene_files.with_usable_provenance(version.document))


def scene(studio: Studio, identifier: str, number: int | None = None) -> Scene:
    """The scene itself. Problem 404."""
    return scene_of(document(studio, identifier, number))


def state(studio: Studio, identifier: str, number: int | None = None) -> JsonObject:
    """A scene as JSON."""
    found = studio.row("scenes", identifier)
    version = _history(studio, identifier).current(number)
    root = _document(version, studio, identifier).data
    given = root["input"] or {}
    masked = {mask["label"] for mask in given.get("masks", [])}
    address = f"/api/scenes/{identifier}"
    shown = _brief(found, version, root)
    shown["changed"] = list(version.changed)
    shown["camera"] = {k: value for k, value in root["camera"].items() if k != "convention"}
    for key in ("ground_height", "metres_per_unit", "failures"):
        shown[key] = root[key]
    shown["instances"] = [_instance(entry, address, masked) for entry in root["instances"]]
    for one in shown["instances"]:
        one["stands_on"] = root.get("supports", {}).get(str(one["label"]))
    shown["around"] = [_instance(entry, address, set()) for entry in root.get("around", [])]
    shown["warnings"] = given.get("warnings", [])
    shown["provenance"] = {"seconds": {}, **root["provenance"]}
    return shown


def _brief(found: Row, version: Version, root: JsonObject) -> JsonObject:
    """A scene as JSON, without its instances."""
    address = f"/api/scenes/{found['id']}"
    query = f"?version={version.number}"
    made = root["provenance"]
    shown = {key: found[key] for key in _ROW} | version.summary()
    shown["changed_at"] = found["changed"]
    shown["method"] = made.get("method")
    shown["seed"] = made.get("options", {}).get("seed")
    shown["objects"] = len(root["instances"])
    shown["preview"] = f"{address}/preview.png{query}"
    shown["thumbnail"] = f"{address}/thumbnail.jpg{query}"
    shown["image"] = f"{address}/photo.png" if root["input"] else None
    shown["masks"] = f"{address}/masks.png" if root["input"] else None
    return shown


def _instance(entry: JsonObject, address: str, masked: set[int]) -> JsonObject:
    shown = {key: entry[key] for key in _INSTANCE}
    shown["box"] = entry["box"]
    shown["estimate"] = entry.get("estimate")
    shown["hidden"] = entry.get("hidden") is True
    shown["color"] = pictures.color(entry["label"])
    shown["glb"] = f"{address}/meshes/{Path(entry['mesh']).stem}.glb"
    shown["can_regenerate"] = entry["state"] is not None and entry["label"] in masked
    return shown


def every(studio: Studio) -> list[JsonObject]:
    """All scenes as JSON, newest first, without their instances."""
    shown = []
    for found in studio.store.all("SELECT * FROM scenes ORDER BY created DESC, id"):
        version = _history(studio, found["id"]).current()
        shown.append(_brief(found, version, _document(version, studio, found["id"]).data))
    return shown


def apply(
    studio: Studio,
    identifier: str,
    base: int,
    kind: str,
    edit: Edit,
) -> JsonObject:
    """Edit version ``base``; returns the new state. Problem 409 when that is not the newest."""
    history = _history(studio, identifier)
    with history.editing(lambda: state(studio, identifier)):
        edited, changed = edit(_document(history.newest(base), studio, identifier))
        _noted(history, _append(history, base, kind, edited, changed))
    return state(studio, identifier)


def replace(
    studio: Studio,
    identifier: str,
    saved: Path,
    succeed: Callable[[], None],
) -> None:
    """Give an object the shape of the only instance of a saved document, in the newest version,
    whatever else was edited, together with what ``succeed`` notes.
    """
    history = _history(studio, identifier)
    with studio.alone("scenes", identifier):
        current = document(studio, identifier)
        (made,) = scene_files.take_over(saved, current.file.parent)["instances"]
        edited = edits.replace(current, made)
        base = history.current().number
        with studio.store.transaction():
            succeed()
            dropped = _append(history, base, "regenerate", edited, [made["label"]])
        _noted(history, dropped)


def step(
    studio: Studio,
    identifier: str,
    base: int,
    back: bool,
) -> JsonObject:
    """Undo or redo. Problem 409 when ``base`` is not the newest, or there is nothing."""
    return _history(studio, identifier).stepped(base, back, lambda: state(studio, identifier))


def made_with(studio: Studio, identifier: str) -> JsonObject:
    """The options with which a scene was made, as far as they are known."""
    found = studio.row("scenes", identifier)
    job = studio.store.one("SELECT options FROM jobs WHERE id = :id", id=found["job"])
    noted = document(studio, identifier).data["provenance"].get("options", {})
    return job["options"] if job else noted


def rename(studio: Studio, identifier: str, name: str) -> JsonObject:
    """Give a scene another name."""
    studio.row("scenes", identifier)
    shown = uploads.shown(name, studio.settings.limits.name_length) or "scene"
    studio.store.update("scenes", identifier, name=shown)
    _history(studio, identifier).changed()
    return state(studio, identifier)


def copy(studio: Studio, identifier: str) -> JsonObject:
    """A scene of its own with the newest version."""
    found = studio.row("scenes", identifier)
    name = f"{found['name']} (copy)"[-studio.settings.limits.name_length :]
    with studio.turn():
        return _added(studio, scene(studio, identifier), name, found["job"], found["photo"])


def mesh_glb(studio: Studio, identifier: str, digest: str) -> Path:
    """The mesh of a content name as GLB in its own frame, made once. Problem 404."""
    studio.row("scenes", identifier)
    folder = studio.folders.of("scenes", identifier)
    files = {"mesh": f"files/{digest}.ply", "texture": f"files/{digest}.png"}
    there = {key: name for key, name in files.items() if (folder / name).is_file()}
    if "mesh" not in there:
        raise not_found("mesh")
    entry = Fields(folder / "scene.json", {**_MESH_ALONE, **there})
    return _cached(
        studio, identifier, f"{digest}.glb", lambda: mesh_glb_bytes(instance_from_record(entry))
    )


def instance_file(studio: Studio, identifier: str, label: int) -> Download:
    """One object alone, placed, as GLB. Problem 404."""
    current = document(studio, identifier)
    chosen = [entry for entry in current.data["instances"] if entry["label"] == label]
    if not chosen:
        raise not_found(f"object ({label})")
    alone = {**current.data, "instances": [{**chosen[0], "hidden": False}]}
    name = f"{downloads.file_stem(chosen[0]['node'], 'object')}.glb"
    return Download(name, glb_bytes(scene_of(Fields(current.file, alone))))


def preview_file(studio: Studio, identifier: str, number: int | None) -> Path:
    """The preview picture of a version, made once. Problem 404."""
    wanted = _number(studio, identifier, number)

    def made() -> bytes:
        with studio.turn():
            return pictures.png(preview(scene(studio, identifier, wanted)))

    return _cached(studio, identifier, f"preview_{wanted}.png", made)


def thumbnail_file(studio: Studio, identifier: str, number: int | None) -> Path:
    """A small picture of a version from the photo's camera, made once. Problem 404."""
    wanted = _number(studio, identifier, number)

    def made() -> bytes:
        with studio.turn():
            shown = scene(studio, identifier, wanted)
            sides = shown.camera.size
            small = scaled_size(sides, pictures.THUMBNAIL / max(sides))
            return pictures.thumbnail(render_scene(shown, size=small))

    return _cached(studio, identifier, f"thumbnail_{wanted}.jpg", made)


def _number(studio: Studio, identifier: str, number: int | None) -> int:
    """The number of a version that is there."""
    studio.row("scenes", identifier)
    return _history(studio, identifier).current(number).number


def photo_file(studio: Studio, identifier: str) -> Path:
    """The photo of a scene. Problem 404 when it has none."""
    found = _photo(document(studio, identifier))
    if found is None:
        raise not_found("photo of this scene")
    return found


def _photo(root: Fields) -> Path | None:
    return root.object("input").path("photo") if root.has("input") else None


def masks_file(studio: Studio, identifier: str) -> Path:
    """The label picture of a scene's masks, made once. Problem 404 when it has none."""
    photo_file(studio, identifier)

    def made() -> bytes:
        given = present(scene(studio, identifier).input, "photo")
        return pictures.label_picture(given.masks, given.image.shape[:2])

    return _cached(studio, identifier, "masks.png", made)


def export(
    studio: Studio,
    identifier: str,
    form: str,
    space: FileSpace,
    room: bool,
    number: int | None,
) -> Download:
    """A version as a file of one of ``scene_files.FORMATS``. Raises Problem, InputError."""
    name = studio.row("scenes", identifier)["name"]
    with studio.turn():
        shown = scene(studio, identifier, number)
        return scene_files.exported(shown, name, form, space, room, studio.folders)


def compare(studio: Studio, one: str, other: str) -> JsonObject:
    """Two scenes side by side, their objects matched by label. Problem 404."""
    roots = {"a": document(studio, one), "b": document(studio, other)}
    shown: JsonObject = {"same_photo": _same(_photo(roots["a"]), _photo(roots["b"]))}
    for side, identifier in (("a", one), ("b", other)):
        summary = {"id": identifier, "name": studio.row("scenes", identifier)["name"]}
        shown[side] = summary | _summary(roots[side].data)
    objects: dict[int, JsonObject] = {}
    for side, root in roots.items():
        for entry in root.data["instances"]:
            both = {
                "label": entry["label"],
                "name": entry["name"],
                "a": None,
                "b": None,
            }
            faces = _faces(root.file.parent / entry["mesh"])
            numbers = {"confidence": entry["confidence"], "faces": faces}
            objects.setdefault(entry["label"], both)[side] = numbers
    shown["objects"] = [objects[label] for label in sorted(objects)]
    return shown


def _same(one: Path | None, other: Path | None) -> bool:
    """Whether two files have the same content."""
    return one is not None and other is not None and filecmp.cmp(one, other, shallow=False)


def _summary(root: JsonObject) -> JsonObject:
    known = [entry["confidence"] for entry in root["instances"] if entry["confidence"] is not None]
    seconds = root["provenance"].get("seconds", {})
    return {
        "method": root["provenance"].get("method"),
        "seconds": round(sum(seconds.values()), 2) if seconds else None,
        "confidence": round(sum(known) / len(known), 4) if known else None,
    }


def _faces(path: Path) -> int:
    """The number of faces of a mesh, by its header."""
    with open(path, "rb") as file:
        header = file.read(1024).partition(b"end_header")[0]
    counts = [line.split()[-1] for line in header.splitlines() if line.startswith(b"element face")]
    return int(counts[0]) if counts else 0


def _history(studio: Studio, identifier: str) -> History:
    return History(studio, "scenes", identifier)


def _append(
    history: History,
    base: int,
    kind: str,
    edited: JsonObject,
    changed: Sequence[int],
) -> bool:
    """Add a version; returns whether others were dropped. To be followed by ``_noted``."""
    studio = history.studio
    count = len(edited["instances"])
    if count > 4 * studio.settings.limits.objects:
        raise InputError(f"the scene would have {count} objects; delete some first")
    studio.folders.spare.require()
    return history.append(base, kind, edited, changed)


def _noted(history: History, dropped: bool) -> None:
    """Delete the files of dropped versions, and tell of the new one."""
    if dropped:
        folder = history.studio.folders.of("scenes", history.owner)
        scene_files.drop_unused(folder, history.documents())
    history.changed()


def _cached(
    studio: Studio,
    identifier: str,
    name: str,
    make: Callable[[], bytes],
) -> Path:
    """A file that can be made again, made once."""
    target = studio.folders.of("scenes", identifier) / "cache" / name
    if not target.exists():
        studio.folders.spare.require()
        content = make()
        with studio.alone("scenes", identifier):
            studio.row("scenes", identifier)  # not deleted meanwhile
            target.parent.mkdir(exist_ok=True)
            pictures.write(target, content)
    return target
