"""The pictures of a report: photo, prediction and truth from one camera, and a turntable as a strip
of frames. JPEG.

Drawn once and kept beside the predictions, because drawing is what a report spends its time on.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maquette.evaluate.cases import PHOTO, TRUTH, camera_from_dict, read_objects
from maquette.evaluate.contestants import scene_from_glb
from maquette.geometry.cameras import azimuth_of, resized
from maquette.output import atomic_write
from maquette.render.assemble import assemble
from maquette.render.preview import orbit_cameras, render_views
from maquette.types import Camera, Scene

SIDE = 352  # pixels of the longer side
FRAME = 176  # of the turntable
FRAMES = 10
QUALITY = 82


def draw_photo(folder: Path) -> bytes:
    """The photo of a scene folder, reduced."""
    image = Image.open(folder / PHOTO).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return _jpeg(image)


def draw_truth(folder: Path) -> bytes:
    """The true scene from the photo's camera; from in front when the camera is not known."""
    camera = camera_from_dict(read_objects(folder).get("camera"), str(folder))
    scene = scene_from_glb(folder / TRUTH)
    return _jpeg(render_views(scene, [_small(camera or scene.camera)])[0])


def draw_prediction(folder: Path, prediction: Path, camera: Camera | None) -> tuple[bytes, bytes]:
    """A prediction from its own estimate of the photo's camera (else from the true one), and its
    turntable.
    """
    scene = scene_from_glb(prediction)
    camera = (
        camera or camera_from_dict(read_objects(folder).get("camera"), str(folder)) or scene.camera
    )
    views = render_views(scene, [_small(camera)])
    strip = np.concatenate(render_views(scene, turntable(scene, camera)), axis=1)
    return _jpeg(views[0]), _jpeg(strip)


def turntable(scene: Scene, start: Camera) -> list[Camera]:
    """Cameras once around a scene, beginning a little to the right of ``start``."""
    front = -azimuth_of(start)
    return orbit_cameras(
        assemble(scene.instances).vertices, front + np.deg2rad(35.0) + turns(FRAMES), FRAME, FRAME
    )


def turns(count: int) -> np.ndarray:
    """(count,) angles of a full circle."""
    return 2.0 * np.pi * np.arange(count) / count


def _small(camera: Camera) -> Camera:
    scale = SIDE / max(camera.width, camera.height)
    return resized(
        camera, max(1, round(scale * camera.width)), max(1, round(scale * camera.height))
    )


def _jpeg(picture: np.ndarray | Image.Image) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def keep(paths: Sequence[Path], pictures: Sequence[bytes]) -> None:
    """Write pictures, each complete or not at all."""
    for path, picture in zip(paths, pictures, strict=True):
        with atomic_write(path) as temporary:
            temporary.write_bytes(picture)
