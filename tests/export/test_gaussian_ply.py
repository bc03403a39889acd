"""Gaussians survive the file, and turned Gaussians are the same ellipsoids elsewhere."""

import pytest
import torch

from maquette.errors import InputError
from maquette.export.gaussian_ply import (
    RELEASED_TURN,
    Z_UP_TO_Y_UP,
    decode_gaussian_ply,
    encode_gaussian_ply,
    write_gaussian_ply,
)
from maquette.geometry.gaussians import rotated
from tests.geometry.test_gaussians import some


def test_everything_comes_back(tmp_path):
    gaussians = some()
    found = decode_gaussian_ply(write_gaussian_ply(tmp_path / "a.ply", gaussians).read_bytes())
    for name in ("positions", "scales", "rotations", "opacities", "harmonics"):
        torch.testing.assert_close(
            getattr(found, name), getattr(gaussians, name), atol=1e-6, rtol=1e-5
        )


def test_opaque_and_invisible_ones_stay_finite():
    gaussians = some()
    gaussians.opacities[0] = 0.0
    gaussians.opacities[1] = 1.0
    found = decode_gaussian_ply(encode_gaussian_ply(gaussians))
    assert (
        torch.isfinite(found.opacities).all()
        and found.opacities[0] < 1e-6
        and found.opacities[1] > 1 - 1e-6
    )


def test_the_turns_put_up_where_they_say():
    up = some(1)
    up.positions[0] = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(
        rotated(up, Z_UP_TO_Y_UP).positions[0], torch.tensor([1.0, 3.0, -2.0])
    )
    torch.testing.assert_close(
        rotated(up, RELEASED_TURN).positions[0], torch.tensor([1.0, -3.0, 2.0])
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data.replace(b"f_dc_0", b"red   "),
        lambda data: b"ply\n",
    ],
)
def test_other_files_are_refused(damage):
    with pytest.raises(InputError, match=r"b\.ply"):
        decode_gaussian_ply(damage(encode_gaussian_ply(some())), "b.ply")
