"""maquette: one photo in, an editable 3D scene out.

Importing this package is cheap; heavy modules load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maquette.errors import (
    CheckpointError,
    InputError,
    MaquetteError,
    MissingExtraError,
    OutputError,
)
from maquette.types import Camera, Failure, Instance, InstanceMask, Scene, SceneInput

if TYPE_CHECKING:
    from maquette.pipeline import generate, imagine
    from maquette.simulation.files import read_scene as load

__version__ = "0.2.0"

__all__ = [
    "Camera",
    "CheckpointError",
    "Failure",
    "InputError",
    "Instance",
    "InstanceMask",
    "MaquetteError",
    "MissingExtraError",
    "OutputError",
    "Scene",
    "SceneInput",
    "generate",
    "imagine",
    "load",
]


def __getattr__(name: str) -> Any:
    """Load the verbs on first use, so that ``import maquette`` does not import torch."""
    if name in ("generate", "imagine"):
        from maquette import pipeline

        return getattr(pipeline, name)
    if name == "load":
        from maquette.simulation.files import read_scene

        return read_scene
    raise AttributeError(f"module 'maquette' has no attribute {name!r}")
