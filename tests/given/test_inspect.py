"""Inspection tells true lengths of what is seen."""

import numpy as np
import pytest
from PIL import Image

from maquette.given.inspect import inspect_geometry
from maquette.masks.write import write_masks
from maquette.options import GeometryOptions
from tests.given.scenery import scenery


def test_lengths_and_pitch_are_the_truth(tmp_path):
    truth = scenery()
    given = truth.given
    Image.fromarray(given.image).save(tmp_path / "photo.png")
    write_masks(given.masks, tmp_path / "masks.png")
    depth = np.nan_to_num(1000 * truth.depth, posinf=0).round().astype(np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    options = GeometryOptions(
        depth=str(tmp_path / "depth.png"), intrinsics="150,150,79.5,59.5", depth_unit="auto"
    )
    found = inspect_geometry(tmp_path / "photo.png", tmp_path / "masks.png", options)
    assert found.metric and "whole numbers" in found.unit
    assert found.pitch_degrees == pytest.approx(
        np.degrees(np.arcsin(-truth.camera.world_from_camera[1, 2])), abs=0.3
    )
    assert found.known == pytest.approx(np.isfinite(truth.depth).mean())
    by_label = {size.label: size for size in found.sizes}
    for label, box in truth.boxes.items():
        assert by_label[label].width > 0.9 * (box[1, 0] - box[0, 0])
        assert by_label[label].width < 1.5 * np.linalg.norm((box[1] - box[0])[[0, 2]])
