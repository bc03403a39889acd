"""The baseline that every method should beat: each object by the instance generator alone, where
its mask and the depth say it is.

One pass, no scene: the cube of an object is as wide as the box of its visible surface with a
margin, starts just in front of that surface and ends behind it, and the generator fills it from the
crop and the lifted surface. Nothing is known of the other objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maquette.methods.base import (
    Method,
    Models,
    OnShape,
    Outcome,
    Progress,
    Sampling,
    Shape,
    ignore,
    silent,
    visible_labels,
)
from maquette.scene.perceive import Perception
from maquette.scene.zoom import ZOOM_MARGIN, box_cube, zoom_all, zoom_pass


def generate_independent(
    models: Models,
    image: np.ndarray,
    perception: Perception,
    labels: Sequence[int],
    seed: int,
    sampling: Sampling,
    progress: Progress = silent,
    on_shape: OnShape = ignore,
) -> Outcome:
    """All instances of a photo (H, W, 3), one after the other. An instance without a pixel at the
    working size is a Failure.
    """
    visible, failures = visible_labels(perception, labels)
    states = {
        label: {"scene_from_cube": front_cube(perception.visible_box(label))} for label in visible
    }

    def make(label: int, drawn: int, state: dict[str, np.ndarray]) -> Shape:
        return zoom_pass(models, image, perception, label, drawn, state, sampling)

    return Outcome(zoom_all(states, seed, make, progress, on_shape), failures)


def front_cube(visible: np.ndarray) -> np.ndarray:
    """(4, 4) scene_from_cube of an object with a visible box (2, 3): what is seen is its front, so
    the room left in depth is behind it.
    """
    cube = box_cube([visible])
    side = float((visible[1] - visible[0]).max())
    cube[2, 3] = (
        visible[1, 2] + (ZOOM_MARGIN - 1) / 2 * side - cube[0, 0] / 2
    )  # the camera looks along -Z
    return cube


INDEPENDENT = Method("independent", generate_independent, zoom_pass, ("generator", "volume-vae"))
