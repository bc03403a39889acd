import io

import numpy as np
import pytest
from PIL import Image

from maquette.evaluate.contestants import scene_from_glb
from maquette.evaluate.report.pictures import (
    FRAME,
    FRAMES,
    SIDE,
    draw_photo,
    draw_prediction,
    draw_truth,
    turntable,
)
from maquette.geometry.cameras import azimuth_of, project
from maquette.render.assemble import assemble


def read(picture):
    return np.asarray(Image.open(io.BytesIO(picture)), int)


def test_truth_and_prediction_are_drawn_where_the_photo_shows_them(run_folder):
    scene = run_folder / "scenes" / "random" / "0000"
    photo = read(draw_photo(scene))
    truth = read(draw_truth(scene))
    prediction, strip = map(
        read,
        draw_prediction(scene, run_folder / "predictions" / "theirs" / "random" / "0000.glb", None),
    )
    assert photo.shape == truth.shape == prediction.shape == (SIDE, SIDE, 3) and strip.shape == (
        FRAME,
        FRAMES * FRAME,
        3,
    )
    masks = (
        np.asarray(Image.open(scene / "masks.png").resize((SIDE, SIDE), Image.Resampling.NEAREST))
        > 0
    )
    for picture in (truth, prediction):
        coloured = np.ptp(picture, axis=-1) > 25  # the studio is grey
        assert coloured.sum() > 0 and (coloured & masks).sum() > 0.8 * coloured.sum()


def test_the_turntable_goes_once_around_and_sees_everything(run_folder):
    scene = scene_from_glb(run_folder / "scenes" / "random" / "0000" / "truth.glb")
    cameras = turntable(scene, scene.camera)
    angles = np.unwrap([azimuth_of(camera) for camera in cameras])
    assert len(cameras) == FRAMES and np.abs(np.diff(angles)) == pytest.approx(2 * np.pi / FRAMES)
    for camera in cameras:
        pixel, depth = project(camera, assemble(scene.instances).vertices)
        assert depth.min() > 0 and pixel.min() >= 0 and pixel.max() <= FRAME
