"""Weights in the layout of a repository on the Hugging Face Hub: the files, a ``config.json``, and
the model card ``README.md`` with its YAML head.

What comes out is a folder as ``--weights`` takes it: the same files with their sums, so it can be
uploaded, fetched and used without a word changed. Layout of the card: the
documentation of the Hub, "Model Cards".
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file

from maquette import __version__
from maquette.checkpoints.embedded import FILES, MANIFEST, ModelSet
from maquette.checkpoints.store import describe_file
from maquette.errors import CheckpointError
from maquette.output import atomic_folder, refuse_overwrite
from maquette.types import JsonObject

HEAD = """---
license: apache-2.0
library_name: maquette
pipeline_tag: image-to-3d
tags:
- image-to-3d
- 3d
- scene-generation
- single-image
- glb
---
"""
CARD = """
# {name}

Networks of maquette {version}: one photo and the masks of its
objects in, an editable 3D scene out, every object a separate, complete, coloured mesh.

## How to use it

Bring this folder onto a machine with maquette, then

```sh
maquette generate photo.jpg --masks masks.png -o OUT/ --weights FOLDER
```

or in Python `maquette.generate("photo.jpg", masks="masks.png", weights="FOLDER")`.

## Files

| file | network | parameters | trained |
|---|---|---|---|
{rows}

`config.json` holds the configuration and the sha256 of each; `{manifest}` is what maquette checks
them against.

## Limits

Small networks: hidden sides are guesses, and one photo tells no scale. Not for measuring, not for
recognising people, not for decisions that need the true shape of anything. maquette's own model
card says what they were trained on and how well they do.

## Licence

Apache-2.0.
"""


def pack(
    models: ModelSet,
    folder: Path,
    name: str,
    overwrite: bool = False,
) -> Path:
    """Write the weights that a set has as such a folder; returns it. Each file is read and checked
    first. Raises CheckpointError, OutputError.
    """
    refuse_overwrite(folder, overwrite)
    kinds = [kind for kind in FILES if models.has(kind)]
    if not kinds:
        raise CheckpointError(f"{models.folder}: holds no weights; give a folder of them")
    config: JsonObject = {"model_type": "maquette", "maquette_version": __version__}
    config["networks"] = {}
    sums = {}
    rows = []
    for kind in kinds:
        found = models[kind]
        sums[FILES[kind]] = found.sha256
        told = describe_file(models.file(kind))
        config["networks"][kind] = {
            "file": FILES[kind],
            "sha256": found.sha256,
            **told,
        }
        count = sum(tensor.numel() for tensor in load_file(models.file(kind)).values())
        rows.append(
            f"| `{FILES[kind]}` | {kind} | {count / 1e6:.1f} M | {_trained(found.metadata)} |"
        )
    text = CARD.format(
        name=name,
        version=__version__,
        rows="\n".join(rows),
        manifest=MANIFEST,
    )
    with atomic_folder(folder) as temporary:
        for kind in kinds:
            shutil.copyfile(models.file(kind), temporary / FILES[kind])
        (temporary / MANIFEST).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
        (temporary / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        (temporary / "README.md").write_text(HEAD + text, encoding="utf-8")
    return folder


def _trained(metadata: JsonObject) -> str:
    """What a file's header says of its training, in a few words."""
    steps = metadata.get("step")
    minutes = metadata.get("seconds")
    told = [] if steps is None else [f"{steps:,} steps"]
    told += [] if minutes is None else [f"{minutes / 60:.0f} minutes"]
    return ", ".join(told) or "-"
