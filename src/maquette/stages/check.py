"""The self-check, last station of an object: does what was made look like what the photo shows?

In the flow: placed instances + Perception -> the same instances with a confidence, which says that
they look right from where the photo was taken, and an estimate of their shapes, which says how much
of them the photo tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from maquette.render.silhouette import silhouette_scores
from maquette.stages.estimate import shape_estimate
from maquette.stages.perceive import Perception
from maquette.types import Instance


def check(instances: Sequence[Instance], perception: Perception) -> tuple[Instance, ...]:
    """The self-check: the same instances with the IoU of their projected silhouette and input mask
    as confidence, and with what is to be expected of their shapes.
    """
    scores = silhouette_scores(instances, perception.given.masks, perception.camera)
    return tuple(
        replace(
            instance,
            confidence=scores[instance.label].visible,
            estimate=shape_estimate(perception, instance.label),
        )
        for instance in instances
    )
