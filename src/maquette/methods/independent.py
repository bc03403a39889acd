"""The baseline that every method should beat: each object by the instance generator alone, where its mask and the depth say it is.

One pass, no scene: the cube of an object is the box of its visible surface with a margin, and the generator fills it from the
crop and the lifted surface. Nothing is known of what is hidden, of the other objects or of the ground they share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maquette.methods.base import Method, Models, OnShape, Outcome, Progress, Sampling, ignore, silent, visible_labels
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.scene.zoom import box_cube, zoom_pass


def generate_independent(models: Models, image: np.ndarray, perception: Perception, labels: Sequence[int], seed: int, sampling: Sampling,
                         progress: Progress = silent, on_shape: OnShape = ignore) -> Outcome:  # fmt: skip
    """All instances of a photo (H, W, 3), one after the other. An instance without a pixel at the working size is a Failure."""
    visible, failures = visible_labels(perception, labels)
    shapes = []
    for done, label in enumerate(visible):
        progress("objects", done / len(visible))
        state = {"scene_from_cube": box_cube([perception.visible_box(label)])}
        shapes.append(zoom_pass(models, image, perception, label, instance_seed(seed, label), state, sampling))
        on_shape(shapes[-1])
    progress("objects", 1.0)
    return Outcome(tuple(shapes), failures)


INDEPENDENT = Method("independent", generate_independent, zoom_pass, ("generator", "volume-vae"))
