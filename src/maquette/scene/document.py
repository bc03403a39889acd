"""The scene document: everything a Scene knows, as JSON and plain files, so that it can be edited,
saved, mailed and regenerated.

``scene.json`` refers to files in ``scene_files/`` beside it: one mesh per instance (binary PLY,
with a PNG where it has a texture), the instances' state (.npz), the photo and the masks (PNG).
Saving and loading is lossless: the arrays come back bit for bit, and saving again gives the same
JSON. docs/scene.schema.json describes every field. The folder belongs to the document and is
rewritten with it.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh
from PIL import Image

from maquette.errors import InputError, OutputError
from maquette.output import atomic_folder, atomic_write, refuse_overwrite
from maquette.scene.appearance import Appearance, appearance_of, mesh_with
from maquette.scene.fields import Fields, read_json
from maquette.scene.ply import PlyMesh, decode_ply, encode_ply
from maquette.types import Camera, Failure, Focal, Instance, InstanceMask, Scene, SceneInput

FORMAT = "maquette scene"
VERSION = 1
DEFAULT_NAME = "scene.json"
_OWN_FILES = re.compile(r"(instance_\d+|mask_\d+|photo)\.(ply|png|npz)|\..*")


def save(scene: Scene, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a scene to ``path``: a .json file, or a folder, which then gets scene.json. Returns the
    path of the JSON file.

    Errors: OutputError when the place cannot be written or is taken; InputError for what JSON and
    .npz cannot hold.
    """
    path = _document_path(Path(path))
    refuse_overwrite(path, overwrite)
    folder = path.parent / f"{path.stem}_files"
    _refuse_foreign(folder)
    _check(scene)
    text = _dump(_scene_record(scene, folder.name))
    contents = _files(scene)
    with atomic_write(path) as temporary, atomic_folder(folder) as filling:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        for name, content in contents.items():
            (filling / name).write_bytes(content)
    return path


def load(path: str | Path) -> Scene:
    """Read a scene that ``save`` has written; ``path`` is the .json file or its folder. InputError
    names the file and what is wrong.
    """
    return scene_of(read_json(_document_path(Path(path))))


def scene_of(root: Fields) -> Scene:
    """Read the scene of a document that is in memory; the names in it are relative to the folder of
    ``root.file``. Raises InputError.
    """
    if root.data.get("format") != FORMAT:
        raise root.wrong("format", f"{FORMAT!r}: this is not a scene document")
    version = root.whole("version", 1)
    if version != VERSION:
        raise InputError(
            f"{root.file}: document version {version}, but this maquette reads version {VERSION}; use a matching maquette"
        )
    instances = tuple(instance_of(record) for record in root.objects("instances"))
    if len({i.label for i in instances}) < len(instances):
        raise root.wrong("instances", "different labels")
    if root.data.get("frame") not in ("view-centric", "canonical"):
        raise root.wrong("frame", "'view-centric' or 'canonical'")
    return Scene(
        instances=instances,
        camera=_camera(root.object("camera")),
        failures=tuple(
            Failure(f.whole("label"), f.text("stage"), f.text("reason"))
            for f in root.objects("failures")
        ),
        ground_height=root.number("ground_height"),
        frame=root.text("frame"),
        metres_per_unit=None
        if root.data.get("metres_per_unit") is None
        else root.number("metres_per_unit"),
        provenance=dict(root.object("provenance").data),
        input=None if root.data.get("input") is None else _input(root.object("input")),
    )


def _document_path(path: Path) -> Path:
    return path if path.suffix.lower() == ".json" else path / DEFAULT_NAME


def _refuse_foreign(folder: Path) -> None:
    """Make sure that the folder, which saving replaces, holds nothing but what an earlier saving
    put there.
    """
    foreign = (
        [file.name for file in folder.iterdir() if not _OWN_FILES.fullmatch(file.name)]
        if folder.is_dir()
        else []
    )
    if foreign:
        raise OutputError(
            f"{folder}: holds {foreign[0]!r}, which maquette did not write and would delete; move it or save elsewhere"
        )


# Scene -> records and files


def _check(scene: Scene) -> None:
    labels = [instance.label for instance in scene.instances]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"the scene has instances {labels}; expected each label once; delete the repeated ones"
        )
    for instance in scene.instances:
        if not len(instance.mesh.vertices):
            raise InputError(
                f"the mesh of instance {instance.label} has no vertices; expected a surface; delete or replace the instance"
            )


def _scene_record(scene: Scene, folder: str) -> dict[str, Any]:
    from maquette import __version__

    return {
        "format": FORMAT,
        "version": VERSION,
        "generator": f"maquette {__version__}",
        "frame": scene.frame,
        "up": "+Y",
        "metres_per_unit": scene.metres_per_unit,
        "ground_height": float(scene.ground_height),
        "camera": {
            "convention": "opencv",
            "width": int(scene.camera.width),
            "height": int(scene.camera.height),
            "intrinsics": scene.camera.intrinsics.tolist(),
            "world_from_camera": scene.camera.world_from_camera.tolist(),
        },
        "instances": [_instance_record(instance, folder) for instance in scene.instances],
        "failures": [
            {"label": int(f.label), "stage": f.stage, "reason": f.reason} for f in scene.failures
        ],
        "input": None if scene.input is None else _input_record(scene.input, folder),
        "provenance": _plain(scene.provenance, "provenance"),
    }


def _instance_record(instance: Instance, folder: str) -> dict[str, Any]:
    stem = f"{folder}/instance_{int(instance.label)}"
    return {
        "label": int(instance.label),
        "node": instance.node_name,
        "name": instance.name,
        "mesh": f"{stem}.ply",
        "texture": None if appearance_of(instance.mesh).image is None else f"{stem}.png",
        "world_from_instance": instance.world_from_instance.tolist(),
        "box": instance.box.tolist(),
        "seed": int(instance.seed),
        "confidence": float(instance.confidence) if math.isfinite(instance.confidence) else None,
        "warnings": list(instance.warnings),
        "state": f"{stem}.npz" if instance.state else None,
        "hidden": instance.hidden,
    }


def _input_record(given: SceneInput, folder: str) -> dict[str, Any]:
    return {
        "photo": f"{folder}/photo.png",
        "source": given.source,
        "warnings": list(given.warnings),
        **(
            {}
            if given.focal is None
            else {"focal": {"ratio": float(given.focal.ratio), "source": given.focal.source}}
        ),
        "masks": [
            {"label": int(m.label), "name": m.name, "mask": f"{folder}/mask_{int(m.label)}.png"}
            for m in given.masks
        ],
    }


def _files(scene: Scene) -> dict[str, bytes]:
    """Return the content of every file of the document's folder, by name."""
    files: dict[str, bytes] = {}
    for instance in scene.instances:
        stem = f"instance_{int(instance.label)}"
        mesh = instance.mesh
        appearance = appearance_of(instance.mesh)
        plain = PlyMesh(
            np.asarray(mesh.vertices), np.asarray(mesh.faces), appearance.colors, appearance.uv
        )
        files[f"{stem}.ply"] = encode_ply(
            plain, texture="" if appearance.image is None else f"{stem}.png"
        )
        if appearance.image is not None:
            files[f"{stem}.png"] = png_bytes(appearance.image)
        if instance.state:
            files[f"{stem}.npz"] = _npz_bytes(instance)
    if scene.input is not None:
        files["photo.png"] = _photo_bytes(scene.input.image)
        files |= {
            f"mask_{int(m.label)}.png": png_bytes(Image.fromarray(m.mask))
            for m in scene.input.masks
        }
    return files


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
                    f"instance {instance.label}: state {key!r} holds Python objects; expected a plain array; convert it"
                )
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return stream.getvalue()


def _plain(value: Any, where: str) -> Any:
    """Return the JSON form of provenance: numpy numbers become numbers, tuples lists, nan and
    infinity null.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise InputError(
        f"{where} is a {type(value).__name__}; expected what JSON can hold; convert it to text or numbers"
    )


def _dump(record: dict[str, Any]) -> str:
    """Return indented JSON in which a row of numbers is one line."""
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(
            "the scene has a number that is not finite in its camera, a transform or a mesh; fix or delete it"
        ) from error
    return (
        re.sub(
            r"\[\n\s*([-+0-9.eE,\s]+?)\n\s*\]",
            lambda match: "[" + " ".join(match[1].split()) + "]",
            text,
        )
        + "\n"
    )


# Records and files -> Scene


def _camera(record: Fields) -> Camera:
    return Camera(
        record.matrix("intrinsics", 3, 3),
        record.matrix("world_from_camera", 4, 4),
        record.whole("width", 1),
        record.whole("height", 1),
    )


def instance_of(record: Fields) -> Instance:
    """Read one entry of ``instances`` with its files. Raises InputError."""
    label = record.whole("label")
    node = record.text("node")
    return Instance(
        label=label,
        mesh=_read_mesh(record),
        world_from_instance=record.matrix("world_from_instance", 4, 4),
        seed=record.whole("seed"),
        confidence=math.nan
        if record.data.get("confidence") is None
        else record.number("confidence"),
        name=record.text("name"),
        node="" if node == f"instance_{label}" else node,
        warnings=record.texts("warnings"),
        state={} if record.data.get("state") is None else _read_state(record.path("state")),
        hidden=record.data.get("hidden") is True,
    )


def _read_mesh(record: Fields) -> trimesh.Trimesh:
    path = record.path("mesh")
    try:
        ply = decode_ply(path.read_bytes())
        if ply is None:  # another program has written it
            mesh = trimesh.load_mesh(path, process=False)
            if not isinstance(mesh, trimesh.Trimesh):
                raise ValueError("it has no faces")
            ply = PlyMesh(
                np.asarray(mesh.vertices),
                np.asarray(mesh.faces),
                appearance_of(mesh).colors,
                appearance_of(mesh).uv,
            )
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise InputError(
            f"{path}: not a mesh that can be read ({error}); restore the file or save the scene again"
        ) from error
    if len(ply.faces) and not 0 <= ply.faces.min() <= ply.faces.max() < len(ply.vertices):
        raise InputError(
            f"{path}: faces refer to vertices that are not there; restore the file or save the scene again"
        )
    image = None if record.data.get("texture") is None else _read_image(record.path("texture"))
    if (image is None) != (ply.uv is None):
        raise record.wrong(
            "texture", "an image for a mesh with texture coordinates, and null for one without"
        )
    return mesh_with(ply.vertices, ply.faces, Appearance(ply.colors, ply.uv, image))


def _read_state(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(
            io.BytesIO(path.read_bytes()), allow_pickle=False
        ) as archive:  # np.load leaks a file that it cannot read
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: not a state file that can be read ({error}); restore the file or save the scene again"
        ) from error


def _input(record: Fields) -> SceneInput:
    image = np.array(_read_image(record.path("photo")).convert("RGB"))
    masks = []
    for entry in record.objects("masks"):
        mask = np.array(_read_image(entry.path("mask")).convert("L")) > 0
        if mask.shape != image.shape[:2]:
            raise entry.wrong(
                "mask",
                f"a mask of the photo's size {image.shape[1]}x{image.shape[0]}, not {mask.shape[1]}x{mask.shape[0]}",
            )
        masks.append(InstanceMask(entry.whole("label", 1), mask, entry.text("name")))
    focal = None if record.data.get("focal") is None else _focal(record.object("focal"))
    return SceneInput(image, tuple(masks), record.text("source"), record.texts("warnings"), focal)


def _focal(record: Fields) -> Focal:
    ratio = record.number("ratio")
    if ratio <= 0:
        raise record.wrong("ratio", "a focal length above 0, in longer sides of the photo")
    return Focal(ratio, record.text("source"))


def _read_image(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except (
        OSError,
        ValueError,
        SyntaxError,
    ) as error:  # Pillow reports broken PNG chunks as SyntaxError
        raise InputError(
            f"{path}: not an image that can be read ({error}); restore the file or save the scene again"
        ) from error
