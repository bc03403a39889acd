"""The pictures of a report: photo, prediction and truth from one camera, and a turntable as a strip
of frames. JPEG.

Drawn once and kept beside the predictions, because drawing is what a report spends its time on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from maquette.evaluate.cases import PHOTO, TRUTH, camera_from_dict, read_objects
from maquette.evaluate.contestants import scene_from_glb
from maquette.evaluate.visibility import resized_by
from maquette.geometry.cameras import azimuth_of
from maquette.photos.pixels import encoded
from maquette.render.assemble import assemble
from maquette.render.preview import orbit_cameras, render_views
from maquette.types import Camera, Scene

SIDE = 352  # pixels of the longer side
FRAME = 176  # of the turntable
FRAMES = 10
TURNS = 2.0 * np.pi * np.arange(FRAMES) / FRAMES  # angles of a full circle
QUALITY = 82


def draw_photo(folder: Path) -> bytes:
    """The photo of a scene folder, reduced."""
    with Image.open(folder / PHOTO) as photo:
        image = photo.convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return _jpeg(image)


def draw_truth(folder: Path) -> bytes:
    """The true scene from the photo's camera; from in front when the camera is not known."""
    return _view(scene_from_glb(folder / TRUTH), _true_camera(folder))


def draw_prediction(folder: Path, prediction: Path, camera: Camera | None) -> tuple[bytes, bytes]:
    """A prediction from its own estimate of the photo's camera (else from the true one), and its
    turntable.
    """
    scene = scene_from_glb(prediction)
    camera = camera or _true_camera(folder) or scene.camera
    strip = np.concatenate(render_views(scene, turntable(scene, camera)), axis=1)
    return _view(scene, camera), _jpeg(Image.fromarray(strip))


def turntable(scene: Scene, start: Camera) -> list[Camera]:
    """Cameras once around a scene, beginning a little to the right of ``start``."""
    azimuths = -azimuth_of(start) + np.deg2rad(35.0) + TURNS
    return orbit_cameras(assemble(scene.instances).vertices, azimuths, FRAME, FRAME)


def _true_camera(folder: Path) -> Camera | None:
    """Of a case, None when it is not known."""
    return camera_from_dict(read_objects(folder).get("camera"), str(folder))


def _view(scene: Scene, camera: Camera | None) -> bytes:
    """A rendered scene as JPEG, from the camera or its own."""
    camera = camera or scene.camera
    small = resized_by(camera, SIDE / max(camera.size))
    return _jpeg(Image.fromarray(render_views(scene, [small])[0]))


def _jpeg(picture: Image.Image) -> bytes:
    """The bytes of a file."""
    return encoded(picture, "JPEG", quality=QUALITY, optimize=True)
