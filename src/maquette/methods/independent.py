"""The baseline that every method should beat: each object by the instance generator alone, where
its mask and the depth say it is.

One pass, no scene: the cube of an object is as wide as the box of its visible surface with a
margin, starts just in front of that surface and ends behind it, and the generator fills it from the
crop and the lifted surface. Nothing is known of the other objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from maquette.errors import present
from maquette.geometry.boxes import longest_side
from maquette.methods.base import EmbeddedMethod, Made, Models, Sampling, Watch
from maquette.stages.crop import ZOOM_MARGIN, box_cube
from maquette.stages.perceive import Perception
from maquette.stages.zoom import zoom_again, zoom_all


def make_independent(
    models: Models,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    watch: Watch,
) -> Iterator[Made]:
    """The instances of a photo."""
    states = {}
    for label in labels:
        visible = present(perception.visible_box(label), f"pixel of instance {label}")
        states[label] = {"scene_from_cube": front_cube(visible)}
    yield from zoom_all(models, perception, states, sampling, watch.progress)


def front_cube(visible: np.ndarray) -> np.ndarray:
    """(4, 4) scene_from_cube of an object with a visible box (2, 3): what is seen is its front, so
    the room left in depth is behind it.
    """
    cube = box_cube([visible])
    margin = (ZOOM_MARGIN - 1) / 2 * longest_side(visible)
    front = visible[1, 2] + margin  # the camera looks along -Z
    cube[2, 3] = front - cube[0, 0] / 2
    return cube


INDEPENDENT = EmbeddedMethod(
    "independent", make_independent, zoom_again, ("generator", "volume-vae"), Models
)
