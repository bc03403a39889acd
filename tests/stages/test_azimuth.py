"""The azimuth of a scene in the data's axes is the one at which its volumes meet what is seen."""

import numpy as np
import torch

from maquette.geometry.transforms import rotation_y
from maquette.geometry.volumes import cell_centres, turn_volume
from maquette.stages.azimuth import CANDIDATES, view_azimuth

BOX = torch.tensor([0.22, 0.1, 0.06])  # half sides
PLACE = torch.tensor([0.12, 0.0, 0.15])


def box_distance(resolution: int) -> torch.Tensor:
    """(R, R, R) signed distance of a box beside the middle, over the truncation."""
    beyond = (cell_centres(resolution) - PLACE).abs() - BOX
    distance = beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)
    return (16 * distance).clamp(-1, 1)


def surface_points(count: int) -> np.ndarray:
    """(count, 3) points of two sides of the box, which is what one view shows."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (count, 3)) * BOX.numpy()
    points[: count // 2, 2], points[count // 2 :, 0] = BOX[2], BOX[0]
    return points + PLACE.numpy()


def test_the_azimuth_is_the_one_that_the_volumes_were_turned_back_by():
    data = box_distance(48)
    for wanted in (0, 13, 50):
        yaw = 2 * np.pi * wanted / CANDIDATES
        seen = surface_points(200) @ rotation_y(yaw).T  # the same object in the view's axes
        assert np.isclose(view_azimuth({3: data}, {3: seen}), yaw)
        turned = turn_volume(data[None], yaw)
        assert view_azimuth({3: turned[0]}, {3: seen}) == 0.0


def test_what_is_not_seen_has_no_say():
    data = box_distance(24)
    assert view_azimuth({1: data}, {1: np.zeros((0, 3)), 2: np.ones((5, 3))}) == 0.0
