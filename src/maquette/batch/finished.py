"""What a result was made from, and whether it is finished: enough to leave a photo alone without
loading a network, or anything else that is heavy.

In the flow: Jobs -> those to be made, and Outcomes of those that are finished. A result is finished
when its scene.json is there, whose provenance says what it was made from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maquette import __version__
from maquette.batch.pairs import Job
from maquette.checkpoints.embedded import embedded_folder
from maquette.containers import MemoryBudget, checked_file, read_json
from maquette.errors import InputError, MaquetteError, OutputError, contained, present, reason_of
from maquette.execute.store import is_far
from maquette.options import (
    EMBEDDED,
    MESH_FORMATS,
    SPACELESS,
    TUNING,
    FileSpace,
    GeometryOptions,
    ScaleOptions,
    SceneOptions,
    Surroundings,
)
from maquette.output import TEMPORARY_PREFIX
from maquette.types import JsonObject

DOCUMENT = "scene.json"
DOCUMENT_FILES = "scene_files"
PREVIEW = "preview.png"
SEPARATE = "scene_instances"
# Files that may be replaced and deleted because a result's document lists them.
_PRODUCT = re.compile(
    rf"(?:scene(?:_[\w.-]+)?|{SEPARATE}/[\w.-]+)\.(?:glb|obj|mtl|ply|stl|html|png)|{PREVIEW}"
)

Request = JsonObject  # what decides a result, as JSON


@dataclass(frozen=True)
class Products:
    """What is written besides the scene document."""

    formats: tuple[str, ...] = ("glb",)
    separate: bool = False  # one file per instance and format, too
    preview: bool = True
    space: FileSpace = field(default_factory=FileSpace)  # of OBJ, PLY and STL
    around: Surroundings = field(default_factory=Surroundings)

    def __post_init__(self) -> None:
        unknown = [repr(name) for name in self.formats if name not in MESH_FORMATS]
        if unknown or not self.formats:
            known = ",".join(MESH_FORMATS)
            raise InputError(
                f"--format {', '.join(unknown) or '(none given)'} cannot be written; "
                f"choose some of {known}"
            )
        if self.space.is_asked_for and not {*self.formats} & {*SPACELESS}:
            raise InputError(
                f"--unit, --size and --up are of {', '.join(SPACELESS)} only; "
                "write one of them, too (--format), or leave them out"
            )

    def names(self) -> list[str]:
        """File and folder names below the result's folder, the document's own two not counted."""
        names = [f"scene.{name}" for name in self.formats]
        if "obj" in self.formats:
            names.append("scene.mtl")
        return names + [SEPARATE] * self.separate + [PREVIEW] * self.preview


@dataclass(frozen=True)
class Wanted:
    """What is asked of all photos of a run, without what only making them needs."""

    options: SceneOptions = field(default_factory=SceneOptions)
    only: tuple[str, ...] | None = None  # labels or names
    products: Products = field(default_factory=Products)
    weights: Path | None = None  # None = embedded
    overwrite: bool = False
    geometry: GeometryOptions = field(default_factory=GeometryOptions)  # of all photos, see Job
    scale: ScaleOptions = field(default_factory=ScaleOptions)


@dataclass(frozen=True)
class Outcome:
    """What became of a photo; the fields are what ``--json`` prints."""

    photo: str
    masks: str
    folder: str
    status: str  # "made", "kept" (was finished before) or "failed"
    error: str = ""  # one line
    files: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # per stage; "load" once per run
    instances: tuple[JsonObject, ...] = ()  # label, name, node, confidence, estimate, warnings
    failures: tuple[JsonObject, ...] = ()  # label, stage, reason
    warnings: tuple[str, ...] = ()  # of the input
    tries: tuple[JsonObject, ...] = ()  # seed, score, kept
    proposed: bool = False  # the masks were not given: they were found, and lie in the folder
    # of a published model: plan, estimated and measured peaks in MB by stage
    memory: JsonObject = field(default_factory=dict)


def content_hash(source: Path) -> str:
    """Sha256 of a file, or of the names and contents of a folder's files. InputError when it is
    missing.
    """
    if not source.is_dir():
        return hashlib.sha256(checked_file(source, "a file").read_bytes()).hexdigest()
    total = hashlib.sha256()
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_document(folder: Path) -> JsonObject | None:
    """The JSON of a finished result; None when there is none, also when scene.json is not a
    maquette scene.
    """
    try:
        document = read_json(folder / DOCUMENT, "make it again", MemoryBudget())
    except InputError:
        return None
    is_ours = isinstance(document, dict) and isinstance(document.get("provenance"), dict)
    return document if is_ours else None


def is_finished(folder: Path, request: Request, products: Products) -> bool:
    """Tell whether the folder holds the scene that this request would make, edited by hand or not.

    OutputError when it holds another one, or other files of the names that would be written.
    """
    document = read_document(folder)
    if document is None:
        for name in (DOCUMENT, DOCUMENT_FILES, *products.names()):
            if os.path.lexists(folder / name):
                raise OutputError(
                    f"{folder / name}: already exists and would be overwritten; "
                    "choose another folder or pass --overwrite"
                )
        return False
    made_from = document["provenance"].get("request")
    wanted = json.loads(json.dumps(request))
    if made_from != wanted:
        raise OutputError(
            f"{folder / DOCUMENT}: was made with {_difference(made_from, wanted)}; "
            "choose another folder or pass --overwrite to replace it"
        )
    return True


def missing(folder: Path, products: Products) -> Products | None:
    """What to write so that a finished result has the products, too, besides those it had; None
    when it has them all.
    """
    if all((folder / name).exists() for name in products.names()):
        return None
    had = {name.partition("/")[0] for name in listed_files(folder)}
    before = [name for name in MESH_FORMATS if f"scene.{name}" in had]
    formats = dict.fromkeys([*products.formats, *before])
    return dataclasses.replace(
        products,
        formats=tuple(formats),
        separate=products.separate or SEPARATE in had,
        preview=products.preview or PREVIEW in had,
    )


def request_of(job: Job, wanted: Wanted, weights: Mapping[str, str]) -> Request:
    """What decides the result of a job; ``weights``: their sums. Device, memory and precision do
    not belong to it: moving to another machine makes no result outdated.
    """
    options = {f.name: getattr(wanted.options, f.name) for f in dataclasses.fields(SceneOptions)}
    del options["device"], options["memory"], options["precision"]
    if not options["settle"]:
        del options["settle"]
    if options["perception"] == EMBEDDED:
        del options["perception"]
    options = {
        key: value for key, value in options.items() if key not in TUNING or value is not None
    }
    files = {
        "photo": content_hash(job.photo),
        "masks": content_hash(present(job.masks, "masks")),
        "weights": weights,
    }
    only = None if wanted.only is None else sorted(wanted.only)
    products = wanted.products
    asked: Request = {}
    if products.space.is_asked_for:
        asked["space"] = dataclasses.asdict(products.space)
    if products.around.ground is not None:
        asked["ground"] = products.around.ground
    if products.around.room:
        asked["room"] = True
    if wanted.scale.is_asked_for:
        asked["scale"] = dataclasses.asdict(wanted.scale)
    if job.geometry.is_there:
        asked["geometry"] = _geometry_request(job.geometry)
    return files | {"only": only} | options | asked


def _geometry_request(known: GeometryOptions) -> JsonObject:
    """The known geometry by the contents of its files."""
    told = dataclasses.asdict(known)
    for key in ("depth", "points", "intrinsics"):
        if told[key] is not None and Path(told[key]).is_file():
            told[key] = content_hash(Path(told[key]))
    return told


def kept_before(job: Job, wanted: Wanted) -> Outcome | None:
    """The outcome of a photo that is finished beyond doubt; None for any other one.

    The embedded weights are told by the package's list of their sums. Where anything is unusual
    (weights of a folder, a method of a file, another version, leftovers of a killed run, files that
    are still to be written) making it decides, with all that it loads.
    """
    options = wanted.options
    if wanted.overwrite or job.problem or job.masks is None or is_far(job.folder):
        return None
    is_ours = wanted.weights is None and options.model == options.perception == EMBEDDED
    if not is_ours or not isinstance(options.method, str) or ".py:" in options.method:
        return None
    document = read_document(job.folder)
    if document is None or any(job.folder.glob(f"{TEMPORARY_PREFIX}*")):
        return None
    provenance = document["provenance"]
    made_from = provenance.get("request")
    if provenance.get("maquette") != __version__ or not isinstance(made_from, dict):
        return None
    weights = made_from.get("weights")
    if not isinstance(weights, dict) or not set(weights.values()) <= _embedded_sums():
        return None
    try:
        request = json.loads(json.dumps(request_of(job, wanted, weights)))
        is_kept = request == made_from and missing(job.folder, wanted.products) is None
        return finished(job, "kept", document) if is_kept else None
    except (MaquetteError, OSError):  # making it says what is wrong
        return None


def _embedded_sums() -> set[str]:
    """Sha256 of the weights that the package brings."""
    try:
        listed = (embedded_folder() / "manifest.json").read_text("utf-8")
        return set(json.loads(listed).values())
    except (OSError, ValueError):
        return set()


def failed(job: Job, error: BaseException) -> Outcome:
    """The outcome of a photo that raised."""
    return outcome_of(job, "failed", reason_of(error))


def outcome_of(job: Job, status: str, error: str = "") -> Outcome:
    """An outcome of which nothing more is known."""
    return Outcome(str(job.photo), str(job.masks or ""), str(job.folder), status, error)


def finished(job: Job, status: str, read: JsonObject | None = None) -> Outcome:
    """The outcome of a finished photo, as its document tells it, which may be ``read`` already.
    InputError when it cannot.
    """
    place = job.folder / DOCUMENT
    with contained(f"{place}: not a scene document that can be read", "pass --overwrite"):
        document = present(read or read_document(job.folder), "scene document")
        provenance = document["provenance"]
        listed = dict.fromkeys(name.partition("/")[0] for name in provenance.get("files", ()))
        names = [*(name for name in listed if (job.folder / name).exists()), DOCUMENT]
        instances = [_told_of(entry) for entry in document["instances"]]
        found: JsonObject = {key: provenance.get(key, {}) for key in ("seconds", "memory")}
        found["files"] = tuple(str(job.folder / name) for name in names)
        found["instances"] = tuple(instances)
        found["failures"] = tuple(document["failures"])
        found["warnings"] = tuple((document["input"] or {}).get("warnings", ()))
        found["tries"] = tuple(provenance.get("tries", ()))
        return dataclasses.replace(outcome_of(job, status), **found)


def _told_of(entry: JsonObject) -> JsonObject:
    """What the summary says of an instance; documents before estimates have none."""
    told = {key: entry[key] for key in ("label", "name", "node", "confidence", "warnings")}
    return told | {"estimate": entry.get("estimate")}


def listed_files(folder: Path) -> set[str]:
    """The products that a result's document lists, whatever else somebody may have put there."""
    document = read_document(folder)
    return set(own_names(document["provenance"].get("files"))) if document else set()


def own_names(names: Any) -> list[str]:
    """Those of the names that products have: a list that somebody edited deletes nothing else."""
    listed = names if isinstance(names, list) else []
    return [name for name in listed if isinstance(name, str) and _PRODUCT.fullmatch(name)]


def _difference(made_from: Any, wanted: Request) -> str:
    if not isinstance(made_from, dict):
        return "unknown options"
    sources = {
        "photo": "another photo",
        "masks": "other masks",
        "geometry": "another depth or camera",
        "weights": "other weights",
    }
    changes = []
    for name in [*sources, *sorted({*made_from, *wanted})]:
        before = made_from.get(name)
        now = wanted.get(name)
        if before != now and name in sources:
            return sources[name]
        if before != now:
            changes.append(f"{name} {before} instead of {now}")
    return ", ".join(changes)
