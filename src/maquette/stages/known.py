"""Which objects of a photo have a shape that their outlines tell: bodies of revolution and boxes.

In the flow: part of ``perceive``; masks, camera and depth, estimated or measured -> outlines
(``outline``) -> shapes (``profile``, ``cuboid``), about the eye.
"""

from __future__ import annotations

import numpy as np

from maquette.masks.labels import labels_in
from maquette.stages.cuboid import cuboid
from maquette.stages.frame import DepthPicture
from maquette.stages.outline import Outline
from maquette.stages.profile import WINDOW, turned_body
from maquette.stages.shapes import KnownShape, KnownShapes

FINE = 224  # pixels a side at most, for a second look, as close as the photo admits
LEAST_PIXELS = 150  # of a mask; less of an outline tells nothing


def known_shapes(seen: DepthPicture, photo: np.ndarray, labels: np.ndarray) -> KnownShapes:
    """The objects of a photo (H, W, 3) with labels (H, W) that are bodies of revolution, as far as
    outline and estimated relief tell, or boxes; each about the eye, its middle at distance 1. How
    often that is wrong: docs/log.md, "Bodies of revolution".
    """
    found: dict[int, KnownShape] = {}
    for label in labels_in(labels).tolist():
        if (labels == label).sum() < LEAST_PIXELS:
            continue
        outline = Outline.of(seen, photo, labels, label, WINDOW)
        if not outline.tells:
            continue
        size = int(np.clip(outline.step * WINDOW, WINDOW, FINE))
        finer = Outline.of(seen, photo, labels, label, size)
        shape = turned_body(outline, finer) or cuboid(finer)
        if shape is not None:
            found[label] = shape
    return found
