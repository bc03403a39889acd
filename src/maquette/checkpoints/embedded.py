"""The weights that ship with the package: where they are, and proof that they are what was released."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from maquette.checkpoints.store import Checkpoint, load_model
from maquette.errors import CheckpointError

FILES = {"volume-vae": "volume-vae.safetensors", "image-encoder": "image-encoder.safetensors", "generator": "generator.safetensors"}


@dataclass(frozen=True, eq=False)
class ModelSet:
    """The three networks of a pipeline."""

    geometry: Checkpoint  # GeometryNet
    generator: Checkpoint  # Generator
    vae: Checkpoint  # VolumeVAE
    name: str = "embedded"  # or the folder's name

    def provenance(self) -> dict[str, object]:
        """Name and sha256 of each file, for scene.json."""
        return {"name": self.name, "sha256": {c.kind: c.sha256 for c in (self.geometry, self.generator, self.vae)}}


def embedded_folder() -> Path:
    """Where the embedded weights lie."""
    return Path(str(resources.files("maquette"))) / "weights"


def load_models(folder: str | Path | None = None) -> ModelSet:
    """Load the embedded weights (each file's sha256 is checked), or those of a folder with the same file names."""
    chosen = Path(folder) if folder is not None else embedded_folder()
    manifest = chosen / "manifest.json"
    if folder is None and not manifest.exists():
        raise CheckpointError(f"no embedded weights here ({manifest} is missing); reinstall maquette or pass --weights FOLDER")
    try:
        sums = json.loads(manifest.read_text()) if manifest.exists() else {}
    except ValueError as error:
        raise CheckpointError(f"{manifest} is damaged ({error}); reinstall maquette") from error
    loaded = {kind: load_model(chosen / name, kind, sums.get(name)) for kind, name in FILES.items()}
    name = "embedded" if folder is None else chosen.resolve().name
    return ModelSet(loaded["image-encoder"], loaded["generator"], loaded["volume-vae"], name)
