"""The self-check, last station of an object: does what was made look like what the photo shows?

In the flow: placed instances + Perception -> the same instances with a confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from maquette.render.silhouette import silhouette_scores
from maquette.stages.perceive import Perception
from maquette.types import Instance


def check(instances: Sequence[Instance], perception: Perception) -> tuple[Instance, ...]:
    """The self-check: the same instances with the IoU of their projected silhouette and input mask
    as confidence.
    """
    scores = silhouette_scores(instances, perception.given.masks, perception.camera)
    return tuple(replace(i, confidence=scores[i.label].visible) for i in instances)
