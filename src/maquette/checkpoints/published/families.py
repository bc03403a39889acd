"""All families of published models, in one tuple: what a configuration is looked up in."""

from __future__ import annotations

from maquette.checkpoints.published import (
    clip,
    dinov2,
    iscene,
    midi,
    trellis_slat,
    trellis_structure,
    triposg,
)

FAMILIES = (dinov2, clip, triposg, midi, iscene, trellis_structure, trellis_slat)
