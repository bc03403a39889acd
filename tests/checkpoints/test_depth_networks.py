"""Depth models of others, on tiny random ones: metric or inverse, and whose focal length."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maquette.checkpoints.depth_networks import open_depth_network
from maquette.errors import CheckpointError, InputError
from tests.checkpoints import tiny_hub
from tests.checkpoints.published.test_moge import released

pytest.importorskip("transformers")
PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
HERE = torch.device("cpu")


def test_a_relative_depth_anything_tells_inverse_depth(tmp_path):
    network = open_depth_network(str(tiny_hub.depth_anything(tmp_path)), HERE)
    seen = network.look(PHOTO, None)
    assert seen.depth.shape == (60, 90) and seen.inverse and not seen.metric
    assert seen.focal is None and np.isfinite(seen.depth).all()


def test_a_metric_depth_anything_tells_metres(tmp_path):
    network = open_depth_network(str(tiny_hub.depth_anything(tmp_path, "metric")), HERE)
    seen = network.look(PHOTO, None)
    known = seen.depth[np.isfinite(seen.depth)]
    assert seen.metric and not seen.inverse and (known > 0).all() and (known < 20).all()


def test_depth_pro_tells_its_focal_length_and_follows_a_known_one(tmp_path):
    network = open_depth_network(str(tiny_hub.depth_pro(tmp_path)), HERE)
    seen = network.look(PHOTO, None)
    assert seen.metric and seen.depth.shape == (60, 90) and seen.focal > 0
    longer = network.look(PHOTO, 2 * seen.focal)
    free = (seen.depth > 2e-4) & (longer.depth < 5e3)  # not at the ends of the published range
    assert np.allclose(longer.depth[free], 2 * seen.depth[free], rtol=1e-3) and free.mean() > 0.5


def test_depth_pro_agrees_with_its_own_post_processing(tmp_path):
    from transformers import DepthProForDepthEstimation

    folder = tiny_hub.depth_pro(tmp_path)
    seen = open_depth_network(str(folder), HERE).look(PHOTO, None)
    network = DepthProForDepthEstimation.from_pretrained(folder).eval()
    picture = torch.from_numpy(PHOTO).permute(2, 0, 1)[None] / 127.5 - 1
    pixels = torch.nn.functional.interpolate(picture, (128, 128), mode="bilinear")
    with torch.no_grad():
        out = network(pixels)
    focal = 45 / np.tan(np.radians(out.field_of_view.item()) / 2)
    assert seen.focal * 90 == pytest.approx(focal, rel=1e-5)
    inverse = (out.predicted_depth * 90 / focal)[None]
    inverse = torch.nn.functional.interpolate(inverse, (60, 90), mode="bilinear")[0, 0]
    wanted = 1 / inverse.clamp(1e-4, 1e4).numpy()
    assert np.allclose(seen.depth, wanted, rtol=1e-3)


def test_moge_is_known_by_its_tensors(tmp_path):
    save_file(released(), tmp_path / "model.safetensors")
    try:
        seen = open_depth_network(str(tmp_path), HERE).look(PHOTO, 0.8)
    except InputError as error:  # random points: no camera may see them
        assert "no camera" in str(error)
        return
    assert seen.metric and seen.focal == 0.8 and seen.depth.shape == (60, 90)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"not on this machine.*research.*models fetch depth-pro"):
        open_depth_network("depth-pro", HERE)
    with pytest.raises(InputError, match="OWNER/NAME"):
        open_depth_network("no such thing", HERE)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="is a bert"):
        open_depth_network(str(tmp_path), HERE)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match="not those of MoGe"):
        open_depth_network(str(tmp_path), HERE)
