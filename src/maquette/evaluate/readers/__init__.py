"""Ground truth that others made -> cases: a plain folder layout, GLB scenes, and MIDI's public
3D-FRONT. See docs/evaluation-data.md.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from maquette.errors import InputError
from maquette.evaluate.readers.folder import folder_sources
from maquette.evaluate.readers.front import front_sources
from maquette.evaluate.readers.glb import glb_sources
from maquette.evaluate.readers.source import FileSource
from maquette.types import StrPath

FORMATS = {
    "folder": folder_sources,
    "glb": glb_sources,
    "midi-3dfront": front_sources,
}


def sources_of(path: StrPath, form: str, most: int | None = None) -> list[FileSource]:
    """The scenes at a path, the first ``most`` of a fixed order, none of them read yet. InputError
    when there are none or the format is unknown.
    """
    if form not in FORMATS:
        raise InputError(f"unknown ground-truth format {form!r}; choose from {', '.join(FORMATS)}")
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; give the place of the ground truth")
    return list(islice(FORMATS[form](Path(path)), most))
