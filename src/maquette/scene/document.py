"""The scene document: everything a Scene knows, as JSON and plain files, so that it can be edited,
saved, mailed and regenerated.

``scene.json`` refers to files in ``scene_files/`` beside it: one mesh per instance (binary PLY,
with a PNG where it has a texture), the instances' state (.npz), the photo and the masks (PNG).
Saving and loading is lossless: the arrays come back bit for bit, and saving again gives the same
JSON. docs/scene.schema.json describes every field.

The files are named by their content, so a file never changes and saving over an older scene only
adds some. Replacing scene.json, one rename, is what makes the new scene the saved one; the files
that it no longer needs are deleted after that. Whenever a process is killed or the power fails, the
document is the old scene or the new one, entire. scene.json has the sha256 of each file, and
loading checks it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh
from PIL import Image

from maquette.containers import MEMORY, MemoryBudget, read_bytes, read_npz, read_picture
from maquette.errors import InputError, contained
from maquette.output import (
    TEMPORARY_PREFIX,
    atomic_write,
    clear_leftovers,
    flush_folder,
    refuse_overwrite,
)
from maquette.scene.appearance import Appearance, appearance_of, mesh_with
from maquette.scene.fields import Fields
from maquette.scene.ply import PlyMesh, decode_ply, encode_ply
from maquette.types import (
    Camera,
    Failure,
    Focal,
    Instance,
    InstanceMask,
    Scene,
    SceneInput,
    check_faces,
    check_unicode,
)

FORMAT = "maquette scene"
VERSION = 1
DEFAULT_NAME = "scene.json"
RESTORE = "restore the file or save the scene again"
PLY_GROWTH = 3  # times that a PLY file grows as arrays of doubles and 64-bit indices
DEEPEST = 100  # levels of provenance
DIGITS = 12  # of a file's sha256 that its name carries
# What this program calls its files; without the sum up to version 0.1.0.
_OWN_FILE = re.compile(
    rf"(?:instance_\d+|mask_\d+|photo)(?P<sum>-[0-9a-f]{{{DIGITS}}})?\.(?:ply|png|npz)"
)


def save(scene: Scene, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a scene to ``path``: a .json file, or a folder, which then gets scene.json. Returns the
    path of the JSON file.

    Errors: OutputError when the place cannot be written or is taken; InputError for what JSON and
    .npz cannot hold. Either leaves the document that stood there as it was.
    """
    with saving(scene, path, overwrite=overwrite) as document:
        return document


@contextlib.contextmanager
def saving(scene: Scene, path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Save a scene together with other files: when the body begins, everything of the document is
    on the disk but not yet valid; when it has succeeded, the document is. See ``save``.
    """
    path = _document_path(Path(path))
    refuse_overwrite(path, overwrite)
    _check(scene)
    files = _NewFiles(f"{path.stem}_files")
    text = _dump(_scene_record(scene, files))
    before = _text_of(path)
    added: list[Path] = []
    done = False
    try:
        with atomic_write(path) as temporary:
            clear_leftovers(path.parent)
            temporary.write_text(text, encoding="utf-8", newline="\n")
            _add_files(path.parent, files, added)
            yield path
        done = True
    finally:
        if not done and _text_of(path) != text:  # it may have ended right after the last rename
            for leftover in reversed(added):
                _delete_quietly(leftover)
    _drop_unused(path, files, before)


def load(path: str | Path, *, budget: int = MEMORY) -> Scene:
    """Read a scene that ``save`` has written; ``path`` is the .json file or its folder. InputError
    names the file and what is wrong: missing, altered since it was saved, damaged.

    budget: bytes that the document with all its meshes, arrays and pictures may take, unpacked.
    """
    memory = MemoryBudget(budget)
    return scene_of(Fields.read(_document_path(Path(path)), memory), memory)


def scene_of(root: Fields, budget: MemoryBudget | None = None) -> Scene:
    """Read the scene of a document that is in memory; the names in it are relative to the folder of
    ``root.file``. Raises InputError.
    """
    if root.data.get("format") != FORMAT:
        raise root.wrong("format", f"{FORMAT!r}: this is not a scene document")
    version = root.whole("version", 1)
    if version != VERSION:
        raise InputError(
            f"{root.file}: document version {version}, but this maquette reads version {VERSION}; "
            "use a matching maquette"
        )
    if root.data.get("frame") not in ("view-centric", "canonical"):
        raise root.wrong("frame", "'view-centric' or 'canonical'")
    files = SavedFiles(
        root.object("files") if root.has("files") else None, budget or MemoryBudget()
    )
    instances = tuple(instance_of(record, files) for record in root.objects("instances"))
    if len({i.label for i in instances}) < len(instances):
        raise root.wrong("instances", "different labels")
    return Scene(
        instances=instances,
        camera=_camera(root.object("camera")),
        failures=tuple(_failure(record) for record in root.objects("failures")),
        ground_height=root.number("ground_height"),
        frame=root.text("frame"),
        metres_per_unit=_positive(root, "metres_per_unit") if root.has("metres_per_unit") else None,
        provenance=dict(root.object("provenance").data),
        input=_input(root.object("input"), files) if root.has("input") else None,
    )


def _document_path(path: Path) -> Path:
    return path if path.suffix.lower() == ".json" else path / DEFAULT_NAME


# The files of a document on the disk


@dataclass(frozen=True)
class _NewFiles:
    """The files of a scene that is being saved: contents by the name that the document uses."""

    folder: str
    contents: dict[str, bytes] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)

    def add(self, stem: str, suffix: str, content: bytes) -> str:
        """Take a file in; returns its name."""
        digest = hashlib.sha256(content).hexdigest()
        name = f"{self.folder}/{stem}-{digest[:DIGITS]}{suffix}"
        self.contents[name] = content
        self.sums[name] = digest
        return name

    def records(self) -> dict[str, Any]:
        """The entry ``files`` of the document."""
        return {
            name: {"bytes": len(content), "sha256": self.sums[name]}
            for name, content in self.contents.items()
        }


def _add_files(root: Path, files: _NewFiles, added: list[Path]) -> None:
    """Write the files that are not there yet; ``added`` gets the names that are new."""
    folder = root / files.folder
    clear_leftovers(folder)
    if not folder.exists():
        added.append(folder)
        folder.mkdir()
    for name, content in files.contents.items():
        path = root / name
        if not path.exists():
            added.append(path)
        elif path.stat().st_size == len(content) and path.read_bytes() == content:
            continue
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    flush_folder(folder)


def _text_of(path: Path) -> str:
    """What a text file holds; nothing when it cannot be read."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""


def _drop_unused(path: Path, files: _NewFiles, document_before: str) -> None:
    """Delete files of older scenes: those with a name that only this program gives, and those that
    the document before named as version 0.1.0 did. Somebody else's files stay.

    While another process is saving here, nothing is deleted, for it may count on what is there.
    """
    if any(other.suffix == path.suffix for other in path.parent.glob(f"{TEMPORARY_PREFIX}*")):
        return
    for file in (path.parent / files.folder).iterdir():
        name = _OWN_FILE.fullmatch(file.name)
        reference = f"{files.folder}/{file.name}"
        if name is None or reference in files.contents:
            continue
        if name["sum"] or f'"{reference}"' in document_before:
            _delete_quietly(file)


def _delete_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()


# Scene -> records and files


def _check(scene: Scene) -> None:
    labels = [instance.label for instance in scene.instances]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"the scene has instances {labels}; expected each label once; delete the repeated ones"
        )
    for instance in scene.instances:
        mesh = instance.mesh
        name = f"the mesh of instance {instance.label}"
        if not len(mesh.vertices):
            raise InputError(
                f"{name} has no vertices; expected a surface; delete or replace the instance"
            )
        check_faces(np.asarray(mesh.faces), len(mesh.vertices), name)


def _scene_record(scene: Scene, files: _NewFiles) -> dict[str, Any]:
    from maquette import __version__

    camera = scene.camera
    record = {
        "format": FORMAT,
        "version": VERSION,
        "generator": f"maquette {__version__}",
        "frame": scene.frame,
        "up": "+Y",
        "metres_per_unit": scene.metres_per_unit,
        "ground_height": float(scene.ground_height),
    }
    record["camera"] = {
        "convention": "opencv",
        "width": int(camera.width),
        "height": int(camera.height),
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.tolist(),
    }
    record["instances"] = [_instance_record(instance, files) for instance in scene.instances]
    record["failures"] = [
        {"label": int(failure.label), "stage": failure.stage, "reason": failure.reason}
        for failure in scene.failures
    ]
    record["input"] = None if scene.input is None else _input_record(scene.input, files)
    record["provenance"] = _plain(scene.provenance, "provenance")
    record["files"] = files.records()
    return record


def _instance_record(instance: Instance, files: _NewFiles) -> dict[str, Any]:
    stem = f"instance_{int(instance.label)}"
    mesh = instance.mesh
    appearance = appearance_of(mesh)
    texture = None
    if appearance.image is not None:
        texture = files.add(stem, ".png", png_bytes(appearance.image))
    ply = PlyMesh(
        np.asarray(mesh.vertices), np.asarray(mesh.faces), appearance.colors, appearance.uv
    )
    content = encode_ply(ply, texture=Path(texture or "").name)
    record = {
        "label": int(instance.label),
        "node": instance.node_name,
        "name": instance.name,
        "mesh": files.add(stem, ".ply", content),
        "texture": texture,
        "world_from_instance": instance.world_from_instance.tolist(),
        "box": instance.box.tolist(),
        "seed": int(instance.seed),
        "confidence": _finite_or_none(instance.confidence),
        "warnings": list(instance.warnings),
    }
    record["state"] = files.add(stem, ".npz", _npz_bytes(instance)) if instance.state else None
    record["hidden"] = instance.hidden
    return record


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _input_record(given: SceneInput, files: _NewFiles) -> dict[str, Any]:
    record: dict[str, Any] = {
        "photo": files.add("photo", ".png", _photo_bytes(given.image)),
        "source": given.source,
        "warnings": list(given.warnings),
    }
    if given.focal is not None:
        record["focal"] = {"ratio": float(given.focal.ratio), "source": given.focal.source}
    record["masks"] = [_mask_record(mask, files) for mask in given.masks]
    return record


def _mask_record(mask: InstanceMask, files: _NewFiles) -> dict[str, Any]:
    label = int(mask.label)
    content = png_bytes(Image.fromarray(mask.mask))
    return {
        "label": label,
        "name": mask.name,
        "mask": files.add(f"mask_{label}", ".png", content),
    }


def _photo_bytes(image: np.ndarray) -> bytes:
    """Return a lossless PNG in half of Pillow's time, which for a photo is seconds."""
    _, content = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    return content.tobytes()


def png_bytes(image: Image.Image) -> bytes:
    """Return the image as a PNG without metadata, so that equal pixels give equal bytes."""
    stream = io.BytesIO()
    bare = image.copy()
    bare.info = {}
    bare.save(stream, "PNG")
    return stream.getvalue()


def _npz_bytes(instance: Instance) -> bytes:
    """Return the state as .npz, with fixed dates, so that equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in instance.state.items():
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise InputError(
                    f"instance {instance.label}: state {key!r} holds Python objects; "
                    "expected a plain array; convert it"
                )
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return stream.getvalue()


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return the JSON form of provenance: numpy numbers become numbers, tuples lists, nan and
    infinity null.
    """
    if depth > DEEPEST:
        raise InputError(f"{where[:60]}... is nested more than {DEEPEST} levels deep; flatten it")
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        items = value.items()
        return {str(key): _plain(item, f"{where}.{key}", depth + 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, float):
        return _finite_or_none(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise InputError(
        f"{where} is a {type(value).__name__}; expected what JSON can hold; "
        "convert it to text or numbers"
    )


def _dump(record: dict[str, Any]) -> str:
    """Return indented JSON in which a row of numbers is one line."""
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"the scene has a number that is not finite, or too long ({error}), in its camera, "
            "a transform, a mesh or the provenance; fix or delete it"
        ) from error
    check_unicode(text, "the scene has a name or another text that")
    rows = re.compile(r"\[\n\s*([-+0-9.eE,\s]+?)\n\s*\]")
    return rows.sub(lambda row: f"[{' '.join(row[1].split())}]", text) + "\n"


# Records and files -> Scene


@dataclass(frozen=True, eq=False)
class SavedFiles:
    """How to read the files of a document: checked against the sums that it has, within a budget.

    A file without a sum is taken as it is: version 0.1.0 wrote none, and whoever replaces a file
    on purpose names another one or deletes its entry.
    """

    sums: Fields | None = None
    budget: MemoryBudget = field(default_factory=MemoryBudget)

    def read(self, record: Fields, key: str) -> tuple[Path, bytes]:
        """The file that ``record`` names, and its content. Raises InputError."""
        path = record.path(key)
        content = read_bytes(path, RESTORE, self.budget)
        name = record.text(key)
        if self.sums is None or name not in self.sums.data:
            return path, content
        expected = self.sums.object(name)
        size = expected.whole("bytes")
        if len(content) != size:
            raise InputError(f"{path}: has {len(content)} bytes instead of {size}; {RESTORE}")
        if hashlib.sha256(content).hexdigest() != expected.text("sha256"):
            raise InputError(
                f"{path}: was altered or damaged after it was saved (its sha256 is not the one in "
                f"{record.file.name}); {RESTORE}, or delete its entry in 'files' there to keep it"
            )
        return path, content


def _camera(record: Fields) -> Camera:
    return Camera(
        record.matrix("intrinsics", 3, 3),
        record.matrix("world_from_camera", 4, 4),
        record.whole("width", 1),
        record.whole("height", 1),
    )


def _failure(record: Fields) -> Failure:
    return Failure(record.whole("label"), record.text("stage"), record.text("reason"))


def _positive(record: Fields, key: str) -> float:
    value = record.number(key)
    if value <= 0:
        raise record.wrong(key, "a number above 0")
    return value


def instance_of(record: Fields, files: SavedFiles | None = None) -> Instance:
    """Read one entry of ``instances`` with its files. Raises InputError."""
    files = files or SavedFiles()
    label = record.whole("label")
    node = record.text("node")
    return Instance(
        label=label,
        mesh=_read_mesh(record, files),
        world_from_instance=record.matrix("world_from_instance", 4, 4),
        seed=record.whole("seed"),
        confidence=record.number("confidence") if record.has("confidence") else math.nan,
        name=record.text("name"),
        node="" if node == f"instance_{label}" else node,
        warnings=record.texts("warnings"),
        state=_read_state(record, files) if record.has("state") else {},
        hidden=record.data.get("hidden") is True,
    )


def _read_mesh(record: Fields, files: SavedFiles) -> trimesh.Trimesh:
    path, content = files.read(record, "mesh")
    files.budget.take(PLY_GROWTH * len(content), path)
    with contained(f"{path}: not a mesh that can be read", RESTORE):
        ply = decode_ply(content) or _foreign_ply(content, path)
    check_faces(ply.faces, len(ply.vertices), f"{path}")
    image = _read_image(record, "texture", files) if record.has("texture") else None
    if (image is None) != (ply.uv is None):
        raise record.wrong(
            "texture", "an image for a mesh with texture coordinates, and null for one without"
        )
    return mesh_with(ply.vertices, ply.faces, Appearance(ply.colors, ply.uv, image))


def _foreign_ply(content: bytes, path: Path) -> PlyMesh:
    """A mesh that another program has written."""
    kind = path.suffix.removeprefix(".").lower()
    mesh = trimesh.load_mesh(io.BytesIO(content), file_type=kind, process=False)
    if not isinstance(mesh, trimesh.Trimesh):
        raise InputError(f"{path}: has no faces; {RESTORE}")
    appearance = appearance_of(mesh)
    return PlyMesh(
        np.asarray(mesh.vertices), np.asarray(mesh.faces), appearance.colors, appearance.uv
    )


def _read_state(record: Fields, files: SavedFiles) -> dict[str, np.ndarray]:
    path, content = files.read(record, "state")
    return read_npz(io.BytesIO(content), path, files.budget)


def _read_image(record: Fields, key: str, files: SavedFiles) -> Image.Image:
    path, content = files.read(record, key)
    return read_picture(content, path, files.budget)


def _input(record: Fields, files: SavedFiles) -> SceneInput:
    image = np.array(_read_image(record, "photo", files).convert("RGB"))
    height, width = image.shape[:2]
    masks = []
    for entry in record.objects("masks"):
        mask = np.array(_read_image(entry, "mask", files).convert("L")) > 0
        if mask.shape != (height, width):
            size = f"{mask.shape[1]}x{mask.shape[0]}"
            raise entry.wrong("mask", f"a mask of the photo's size {width}x{height}, not {size}")
        masks.append(InstanceMask(entry.whole("label", 1), mask, entry.text("name")))
    focal = None
    if record.has("focal"):
        told = record.object("focal")
        focal = Focal(_positive(told, "ratio"), told.text("source"))
    return SceneInput(image, tuple(masks), record.text("source"), record.texts("warnings"), focal)
