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
import dataclasses
import io
import math
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
import trimesh
from PIL import Image

from maquette.containers import MEMORY, MemoryBudget, read_npz, read_picture
from maquette.document.appearance import Appearance, appearance_of, mesh_with, png_bytes
from maquette.document.fields import Fields
from maquette.document.files import DEFAULT_NAME, RESTORE, NewFiles, SavedFiles, delete_quietly
from maquette.document.ply import PlyMesh, decode_ply, encode_ply
from maquette.document.values import dump, finite_or_none, npz_bytes, plain
from maquette.errors import InputError, contained
from maquette.output import atomic_write, clear_leftovers, refuse_overwrite
from maquette.photos.pixels import Size
from maquette.types import (
    GROUND,
    Arrays,
    Camera,
    Failure,
    Focal,
    GivenGeometry,
    Instance,
    InstanceMask,
    JsonObject,
    Scene,
    SceneInput,
    ShapeEstimate,
    StrPath,
    Support,
    arrays_of,
    check_faces,
)

MAX_SIDE = 1 << 16  # pixels of a camera
FORMAT = "maquette scene"
VERSION = 1
PLY_GROWTH = 3  # times that a PLY file grows as arrays of doubles and 64-bit indices


def save(scene: Scene, path: StrPath, *, overwrite: bool = True) -> Path:
    """Write a scene to ``path``: a .json file, or a folder, which then gets scene.json. Returns the
    path of the JSON file.

    Errors: OutputError when the place cannot be written or is taken; InputError for what JSON and
    .npz cannot hold. Either leaves the document that stood there as it was.
    """
    with saving(scene, path, overwrite=overwrite) as document:
        return document


@contextlib.contextmanager
def saving(scene: Scene, path: StrPath, *, overwrite: bool = True) -> Iterator[Path]:
    """Save a scene together with other files: when the body begins, everything of the document is
    on the disk but not yet valid; when it has succeeded, the document is. See ``save``.
    """
    path = _document_path(Path(path))
    refuse_overwrite(path, overwrite)
    _check(scene)
    files = NewFiles(f"{path.stem}_files")
    text = dump(_scene_record(scene, files))
    before = _text_of(path)
    added: list[Path] = []
    done = False
    try:
        with atomic_write(path) as temporary:
            clear_leftovers(path.parent)
            temporary.write_text(text, encoding="utf-8", newline="\n")
            files.add_to(path.parent, added)
            yield path
        done = True
    finally:
        if not done and _text_of(path) != text:  # it may have ended right after the last rename
            for leftover in reversed(added):
                delete_quietly(leftover)
    with contextlib.suppress(OSError):  # the scene is saved, whatever is left over
        files.drop_others(path, before)


def load(path: StrPath, *, budget: int = MEMORY) -> Scene:
    """Read a scene that ``save`` has written; ``path`` is the .json file or its folder. InputError
    names the file and what is wrong: missing, altered since it was saved, damaged.

    budget: bytes that the document with all its meshes, arrays and pictures may take, unpacked.
    """
    memory = MemoryBudget(budget)
    with contained(f"{path}: cannot be read as a scene document", RESTORE):
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
    sums = root.object("files") if root.has("files") else None
    files = SavedFiles(sums, budget or MemoryBudget())
    instances = tuple(instance_from_record(record, files) for record in root.objects("instances"))
    surfaces = root.objects("around") if root.has("around") else ()
    around = tuple(instance_from_record(record, files) for record in surfaces)
    if len({i.label for i in (*instances, *around)}) < len(instances) + len(around):
        raise root.wrong("instances", "different labels")
    camera = _camera(root.object("camera"))
    failures = tuple(_failure(record) for record in root.objects("failures"))
    ground_height = root.number("ground_height")
    frame = root.text("frame")
    scale = _positive(root, "metres_per_unit") if root.has("metres_per_unit") else None
    provenance = dict(root.object("provenance").data)
    given = _input(root.object("input"), files) if root.has("input") else None
    supports = _supports(root, {i.label for i in instances})
    made = instances, camera, failures, ground_height, frame, scale, provenance, given, supports
    return Scene(*made, around)


def _document_path(path: Path) -> Path:
    return path if path.suffix.lower() == ".json" else path / DEFAULT_NAME


def _text_of(path: Path) -> str:
    """What a text file holds; nothing when it cannot be read."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""


# Scene -> records and files


def _check(scene: Scene) -> None:
    labels = [instance.label for instance in scene.everything]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"the scene has instances {labels}; expected each label once; delete the repeated ones"
        )
    for instance in scene.everything:
        mesh = instance.mesh
        name = f"the mesh of instance {instance.label}"
        if not len(mesh.vertices):
            raise InputError(
                f"{name} has no vertices; expected a surface; delete or replace the instance"
            )
        check_faces(np.asarray(mesh.faces), len(mesh.vertices), name)


def _scene_record(scene: Scene, files: NewFiles) -> JsonObject:
    from maquette import __version__

    record = {"format": FORMAT, "version": VERSION, "generator": f"maquette {__version__}"}
    record |= {
        "frame": scene.frame,
        "up": "+Y",
        "metres_per_unit": scene.metres_per_unit,
    }
    record["ground_height"] = float(scene.ground_height)
    record["camera"] = _camera_record(scene.camera)
    record["instances"] = [_instance_record(instance, files) for instance in scene.instances]
    if scene.around:
        record["around"] = [_instance_record(surface, files) for surface in scene.around]
    record["failures"] = [dataclasses.asdict(failure) for failure in scene.failures]
    if scene.supports:
        supports = sorted(scene.supports.items())
        record["supports"] = {str(label): support.on for label, support in supports}
        confidence = {str(label): float(support.confidence) for label, support in supports}
        record["support_confidence"] = confidence
    record["input"] = None if scene.input is None else _input_record(scene.input, files)
    record["provenance"] = plain(scene.provenance, "provenance")
    record["files"] = files.records
    return record


def _camera_record(camera: Camera) -> JsonObject:
    return {
        "convention": "opencv",
        "width": camera.width,
        "height": camera.height,
        "intrinsics": camera.intrinsics,
        "world_from_camera": camera.world_from_camera,
    }


def _instance_record(instance: Instance, files: NewFiles) -> JsonObject:
    stem = f"instance_{int(instance.label)}"
    record = {
        "label": instance.label,
        "node": instance.node_name,
        "name": instance.name,
    }
    record |= _mesh_record(instance.mesh, stem, files)
    record |= {
        "world_from_instance": instance.world_from_instance,
        "box": instance.box,
        "seed": instance.seed,
        "confidence": finite_or_none(instance.confidence),
        "warnings": instance.warnings,
    }
    record["state"] = None
    if instance.state:
        content = npz_bytes(instance.state, f"instance {instance.label}: state")
        record["state"] = files.take(stem, ".npz", content)
    record["hidden"] = instance.hidden
    estimate = instance.estimate
    record["estimate"] = None if estimate is None else dataclasses.asdict(estimate)
    return record


def _mesh_record(mesh: trimesh.Trimesh, stem: str, files: NewFiles) -> JsonObject:
    appearance = appearance_of(mesh)
    texture = None
    if appearance.image is not None:
        texture = files.take(stem, ".png", png_bytes(appearance.image))
    vertices, faces = arrays_of(mesh)
    ply = PlyMesh(vertices, faces, appearance.colors, appearance.uv)
    content = encode_ply(ply, texture=Path(texture or "").name)
    return {"mesh": files.take(stem, ".ply", content), "texture": texture}


def _input_record(given: SceneInput, files: NewFiles) -> JsonObject:
    photo = files.take("photo", ".png", _photo_bytes(given.image))
    record: JsonObject = {
        "photo": photo,
        "source": given.source,
        "warnings": given.warnings,
    }
    if given.focal is not None:
        record["focal"] = dataclasses.asdict(given.focal)
    if given.geometry is not None:
        record["geometry"] = _geometry_record(given.geometry, files)
    record["masks"] = [_mask_record(mask, files) for mask in given.masks]
    return record


def _geometry_record(known: GivenGeometry, files: NewFiles) -> JsonObject:
    depth = None
    if known.depth is not None:
        depth = files.take("depth", ".npz", npz_bytes({"depth": known.depth}, "the known depth"))
    return {
        "depth": depth,
        "metric": known.metric,
        "intrinsics": known.intrinsics,
        "down": known.down,
        "source": known.source,
    }


def _mask_record(mask: InstanceMask, files: NewFiles) -> JsonObject:
    stem = f"mask_{int(mask.label)}"
    picture = files.take(stem, ".png", png_bytes(Image.fromarray(mask.mask)))
    return {
        "label": mask.label,
        "name": mask.name,
        "mask": picture,
    }


def _photo_bytes(image: np.ndarray) -> bytes:
    """Return a lossless PNG in half of Pillow's time, which for a photo is seconds."""
    _, content = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    return content.tobytes()


# Records and files -> Scene


def _camera(record: Fields) -> Camera:
    intrinsics = record.matrix("intrinsics", 3, 3)
    world_from_camera = record.matrix("world_from_camera", 4, 4)
    width = record.whole("width", 1, MAX_SIDE)
    return Camera(intrinsics, world_from_camera, width, record.whole("height", 1, MAX_SIDE))


def _failure(record: Fields) -> Failure:
    return Failure(record.whole("label"), record.text("stage"), record.text("reason"))


def _supports(root: Fields, labels: Collection[int]) -> dict[int, Support]:
    """What the instances stand on; nothing in older documents."""
    if not root.has("supports"):
        return {}
    told = root.object("supports")
    confidence = root.object("support_confidence") if root.has("support_confidence") else None
    supports = {}
    for key, on in told.data.items():
        if key not in {str(label) for label in labels}:
            raise told.wrong(key, f"labels of the scene: {sorted(labels)}")
        is_known = type(on) is int and on in labels and str(on) != key
        if not (is_known or on in (GROUND, None)):
            raise told.wrong(key, f"the label of another instance, {GROUND!r} or null")
        sure = 1.0
        if confidence is not None and confidence.has(key):
            sure = confidence.number(key)
        supports[int(key)] = Support(on, sure)
    return supports


def _positive(record: Fields, key: str) -> float:
    value = record.number(key)
    if value <= 0:
        raise record.wrong(key, "a number above 0")
    return value


def instance_from_record(record: Fields, files: SavedFiles | None = None) -> Instance:
    """Read one entry of ``instances`` with its files. Raises InputError."""
    files = files or SavedFiles()
    label = record.whole("label")
    mesh = _read_mesh(record, files)
    placed = record.matrix("world_from_instance", 4, 4)
    seed = record.whole("seed")
    confidence = record.number("confidence") if record.has("confidence") else math.nan
    name = record.text("name")
    node = record.text("node")
    if node == f"instance_{label}":  # what it is called unless renamed
        node = ""
    warnings = record.texts("warnings")
    state = _read_state(record, files) if record.has("state") else {}
    hidden = record.data.get("hidden") is True
    estimate = _estimate(record.object("estimate")) if record.has("estimate") else None
    made = Instance(label, mesh, placed, seed, confidence, name, node, warnings, state, hidden)
    return dataclasses.replace(made, estimate=estimate)


def _estimate(record: Fields) -> ShapeEstimate:
    return ShapeEstimate(record.number("f_score"), record.text("reason"))


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


def _read_state(record: Fields, files: SavedFiles) -> Arrays:
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
    geometry = None
    if record.has("geometry"):
        geometry = _geometry(record.object("geometry"), files, (height, width))
    source = record.text("source")
    return SceneInput(image, tuple(masks), source, record.texts("warnings"), focal, geometry)


def _geometry(record: Fields, files: SavedFiles, size: Size) -> GivenGeometry:
    depth = None
    if record.has("depth"):
        path, content = files.read(record, "depth")
        depth = read_npz(io.BytesIO(content), path, files.budget).get("depth")
        if depth is None or depth.shape != size or depth.dtype.kind != "f":
            raise record.wrong("depth", "a depth map of the photo's size, the array 'depth'")
    intrinsics = record.matrix("intrinsics", 3, 3) if record.has("intrinsics") else None
    down = record.vector("down", 3) if record.has("down") else None
    metric = record.data.get("metric") is True
    return GivenGeometry(depth, metric, intrinsics, down, record.text("source"))
