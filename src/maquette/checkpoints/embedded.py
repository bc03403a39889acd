"""The weights that ship with the package: where they are, and proof that they are what was
released.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maquette.checkpoints.store import Checkpoint, kind_of, load_model
from maquette.errors import CheckpointError, contained
from maquette.models.image_prior import ImagePrior
from maquette.output import sha256_of
from maquette.types import StrPath

KINDS = (
    "volume-vae",
    "image-encoder",
    "segmenter",
    "generator",
    "midi",
    "shapes",
    "coherent",
    "text-to-image",
)
FILES = {kind: f"{kind}.safetensors" for kind in KINDS}
MANIFEST = "manifest.json"  # beside weights: file -> sha256
WEIGHTS = "weights.safetensors"  # what a run of ``maquette train`` leaves, of any kind
PERCEPTION = "image-encoder"  # the kind that every method starts from
PAINTER = "text-to-image"  # the kind whose place a published pipeline may take
BASES = {"midi": "generator"}  # kinds that are stored as a difference to another kind


@dataclass(frozen=True, eq=False)
class ModelSet:
    """The networks of a folder by kind. Each is read, and its sha256 checked, when it is first
    asked for.
    """

    folder: Path
    sums: Mapping[Path, str]  # file -> sha256; files that are not listed are not checked
    name: str = "embedded"  # or the folder's name
    # kind of what ``maquette train`` wrote there: other kinds that the folder does not hold are the
    # embedded ones
    run: str | None = None
    _loaded: dict[str, Checkpoint] = field(
        default_factory=dict,
        init=False,
        repr=False,
    )

    def file(self, kind: str) -> Path:
        """Where the weights of a kind are, or would be."""
        own = self.folder / FILES[kind]
        if self.run is None or own.exists():
            return own
        return self.folder / WEIGHTS if kind == self.run else embedded_folder() / FILES[kind]

    def __getitem__(self, kind: str) -> Checkpoint:
        """The checkpoint of a kind. Raises CheckpointError when its file is missing, damaged, or
        was trained with others than lie here.
        """
        if kind not in self._loaded:
            self._loaded[kind] = self._read(kind)
        return self._loaded[kind]

    def _read(self, kind: str) -> Checkpoint:
        path = self.file(kind)
        if not path.exists():
            trained = "iscene" if kind == "generator" else kind
            raise CheckpointError(
                f"{path}: no such file; train it with 'maquette train {trained} ...', choose "
                "another folder with --weights, or another --method"
            )
        base = self[BASES[kind]] if kind in BASES else None
        checkpoint = load_model(path, kind, self.sums.get(path), base)
        for other, wanted in checkpoint.metadata.get("needs", {}).items():
            found = self[other].sha256
            if found != wanted:
                before = f"the {other} {wanted[:12]}..."
                raise CheckpointError(
                    f"{path} was trained with {before}, but {found[:12]}... lies beside it; "
                    f"train {kind} again or put files of one release together"
                )
        return checkpoint

    def has(self, kind: str) -> bool:
        """Whether the weights of a kind are here."""
        return kind in self._loaded or self.file(kind).exists()

    def models(self, kinds: Iterable[str], device: torch.device | str = "cpu") -> list[Any]:
        """The networks of several kinds, on a device; a pipeline is where it was opened."""
        found = [self[kind].model for kind in kinds]
        return [model.to(device) if isinstance(model, nn.Module) else model for model in found]

    def with_painter(self, pipeline: ImagePrior, folder: Path) -> ModelSet:
        """The same set with an image prior of a local folder in place of the text-to-image network.

        Its files may be gigabytes: what stands for their sha256 is that of their names and sizes.
        """
        lines = []
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                lines.append(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}")
        digest = sha256_of("\n".join(lines).encode())
        other = dataclasses.replace(self)
        other._loaded.update(self._loaded)
        other._loaded[PAINTER] = Checkpoint(pipeline, PAINTER, digest, {"folder": str(folder)})
        return other

    def provenance(self, kinds: Iterable[str]) -> dict[str, object]:
        """Name of the set and sha256 of the files of these kinds, for scene.json."""
        return {"name": self.name, "sha256": {kind: self[kind].sha256 for kind in kinds}}


def embedded_folder() -> Path:
    """Where the embedded weights lie."""
    return Path(str(resources.files("maquette"))) / "weights"


def load_models(folder: StrPath | None = None, kinds: Iterable[str] = ()) -> ModelSet:
    """The embedded weights (each file's sha256 is checked), or those of a folder.

    A folder has files with the names of the embedded ones; what is not there is missing. Or it is a
    run of ``maquette train``: then its ``weights.safetensors`` takes the place of its kind among
    the embedded weights; what was trained with others than these is refused. ``kinds`` are read at
    once, so that a missing or damaged file of theirs is an error here and not later. Raises
    CheckpointError.
    """
    chosen = embedded_folder() if folder is None else Path(folder)
    run = kind_of(chosen / WEIGHTS) if (chosen / WEIGHTS).exists() else None
    if run is not None and run not in FILES:
        raise CheckpointError(
            f"{chosen} holds {WEIGHTS} of kind {run!r}; expected one of {', '.join(FILES)}"
        )
    if run is not None and (chosen / FILES[run]).exists():
        raise CheckpointError(
            f"{chosen} holds {WEIGHTS} of kind {run!r} and {FILES[run]}; keep one of them"
        )
    trusted = chosen if run is None else embedded_folder()
    manifest = trusted / MANIFEST
    if folder is None and not manifest.exists():
        raise CheckpointError(
            f"no embedded weights here ({manifest} is missing); reinstall maquette or pass "
            "--weights FOLDER"
        )
    sums = {}
    if manifest.exists():
        with contained(f"{manifest} is damaged", "reinstall maquette", CheckpointError):
            listed = json.loads(manifest.read_text())
        sums = {trusted / name: digest for name, digest in listed.items()}
    models = ModelSet(chosen, sums, "embedded" if folder is None else chosen.resolve().name, run)
    for kind in kinds:
        models[kind]
    return models
