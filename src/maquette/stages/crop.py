"""Where to look closely: the cube of the scene frame around what is known of one object.

In the flow: Perception and, when a first pass knows it, a coarse volume -> ``scene_from_cube`` of
the object, in which it is lifted, sampled and decoded at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres, sample_volume
from maquette.stages.perceive import Perception

# side of the zoom cube over the longest side of the box of what is known of the instance
ZOOM_MARGIN = 1.2


# ``scene_from_cube`` (4, 4) and, when there is one, ``coarse`` (G, G, G), both saved with the
# scene; of a generator in the canonical frame also ``azimuth`` (), when a first pass has found it
State = dict[str, np.ndarray]


def zoom_state(
    perception: Perception,
    label: int,
    coarse: Tensor,
    resolution: int,
) -> State:
    """What ``zoom.zoom_pass`` needs, from the coarse volume (R, R, R) of an instance in the scene's
    cube; resolution: of the lifted grid.
    """
    cube = cube_around(coarse, perception.visible_box(label))
    return {"scene_from_cube": cube, "coarse": coarse_in_cube(coarse, cube, resolution)}


def box_cube(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """(4, 4) scene_from_cube around boxes (2, 3), with a margin."""
    whole = bounding_box(np.concatenate(boxes))
    side = ZOOM_MARGIN * longest_side(whole)
    return similarity(max(side, 0.02), None, whole.mean(0))


def cube_around(coarse: Tensor, visible: np.ndarray | None) -> np.ndarray:
    """(4, 4) scene_from_cube around the coarse volume's box joined with the visible
    surface's box.
    """
    inside = torch.nonzero(coarse < 0).numpy()
    boxes = [] if visible is None else [visible]
    if len(inside):
        centres = (inside + 0.5) / len(coarse) - 0.5
        half = 0.5 / len(coarse)
        low, high = (np.quantile(centres, q, axis=0) for q in (0.01, 0.99))
        boxes.append(np.stack([low - half, high + half]))
    return box_cube(boxes)


def coarse_in_cube(coarse: Tensor, cube: np.ndarray, resolution: int) -> np.ndarray:
    """(G, G, G) float16 the coarse TSDF resampled to a zoom cube, in units of that cube's
    truncation.
    """
    side = float(cube[0, 0])
    points = cell_centres(resolution) * side + torch.from_numpy(cube[:3, 3]).float()
    return (sample_volume(coarse[None], points)[0] / side).clamp(-1, 1).half().numpy()
