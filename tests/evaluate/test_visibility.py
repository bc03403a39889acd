import numpy as np
import pytest
import trimesh

from maquette.evaluate.visibility import (
    hidden_shares,
    mean_silhouette_iou,
    seen_surface,
    surface_alignment,
)
from maquette.geometry.cameras import intrinsics_from_fov
from maquette.geometry.transforms import similarity
from maquette.types import Camera, InstanceMask


def camera(size=200):
    """Far away, looking along -Z at the origin, about 100 pixels per unit there."""
    pose = similarity(1.0, np.diag([1.0, -1.0, -1.0]), [0.0, 0.0, 100.0])
    return Camera(intrinsics_from_fov(2 * np.arctan(1.0 / 100.0), size, size), pose, size, size)


def plate(x, z, side=1.0):
    return trimesh.creation.box((side, side, 0.01)).apply_translation((x, 0.0, z))


@pytest.mark.parametrize(
    "shift, share", [(1.0, 0.0), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.0, 1.0)]
)
def test_a_plate_hides_what_lies_behind_it(shift, share):
    shares = hidden_shares({"front": plate(shift - 0.5, 0.1), "back": plate(-0.5, -0.1)}, camera())
    assert shares["front"] == pytest.approx(0.0, abs=0.01) and shares["back"] == pytest.approx(
        share, abs=0.02
    )


def test_what_is_outside_the_frame_has_no_share():
    assert np.isnan(hidden_shares({"there": plate(0, 0), "away": plate(30, 0)}, camera())["away"])


def test_silhouettes_agree_with_their_own_masks_and_half_with_shifted_ones():
    mask = np.zeros((200, 200), bool)
    mask[50:150, 50:150] = True
    masks = [InstanceMask(1, mask)]
    assert mean_silhouette_iou({"instance_1": plate(0.0, 0.0)}, masks, camera()) == pytest.approx(
        1.0, abs=0.03
    )
    assert mean_silhouette_iou({"instance_1": plate(0.5, 0.0)}, masks, camera()) == pytest.approx(
        1 / 3, abs=0.03
    )


def test_absent_objects_count_as_zero():
    mask = np.ones((200, 200), bool)
    masks = [InstanceMask(1, mask), InstanceMask(2, mask)]
    one = mean_silhouette_iou({"instance_1": plate(0.0, 0.0, 3.0)}, masks, camera())
    assert one == pytest.approx(0.5, abs=0.01) and mean_silhouette_iou({}, masks, camera()) == 0.0


def test_alignment_is_the_squared_distance_of_what_is_seen_in_thousandths_of_the_longest_side():
    truth = {"instance_1": plate(0.0, 0.0, side=2.0)}
    seen = seen_surface(truth, camera())["instance_1"]
    np.testing.assert_allclose(
        seen[:, 2], 0.005, atol=1e-6
    )  # the front of the plate, never its back
    assert surface_alignment(truth, truth, camera()) == pytest.approx(0.0, abs=0.05)
    behind = {"instance_1": plate(0.0, -0.2, side=2.0)}
    assert surface_alignment(behind, truth, camera()) == pytest.approx(
        1000 * (0.19 / 2) ** 2, rel=0.15
    )  # its nearest face or its front
    assert surface_alignment({}, truth, camera()) == pytest.approx(250.0)  # half the longest side


def test_alignment_is_a_mean_over_objects_and_leaves_out_what_is_not_seen():
    truth = {
        "instance_1": plate(-1.0, 0.0),
        "instance_2": plate(1.0, 0.0),
        "instance_3": plate(300.0, 0.0),
    }
    one = surface_alignment({"instance_1": truth["instance_1"]}, truth, camera(400))
    assert one == pytest.approx(0.5 * 1000 * (0.5 / 301) ** 2, rel=0.05)
