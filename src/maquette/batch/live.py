"""A look at a scene while it is being made: OUT/preview-live.png, drawn anew every few seconds and
gone when the scene is finished.

In the flow: drafts of ``pipeline.generate`` -> a small picture from the photo's camera, beside the
photo. Quick methods are finished before the first one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maquette.errors import OutputError
from maquette.output import atomic_write
from maquette.render.overlay import fit_photo
from maquette.render.preview import render_scene
from maquette.types import Scene

LIVE = "preview-live.png"
WIDTH = 320  # pixels of each of the two pictures


class LivePreview:
    """Draws drafts of a scene into a file, at most every ``seconds`` and not before the first
    ``seconds`` are over.
    """

    def __init__(self, path: Path, seconds: float = 4.0) -> None:
        self.path = path
        self.seconds = seconds
        self.last = time.monotonic()

    def __call__(self, scene: Scene) -> None:
        """Draw, when it is time."""
        if time.monotonic() - self.last < self.seconds:
            return
        picture = Image.fromarray(draft_picture(scene))
        # a full disk is found out when the result is written
        with contextlib.suppress(OutputError), atomic_write(self.path) as temporary:
            picture.save(temporary, "PNG")
        self.last = time.monotonic()  # after the drawing, so that it never takes most of the time


@contextlib.contextmanager
def live_preview(folder: Path, seconds: float = 4.0) -> Iterator[LivePreview]:
    """A LivePreview in a result's folder; its picture goes when the body ends, however it ends."""
    preview = LivePreview(folder / LIVE, seconds)
    try:
        yield preview
    finally:
        with contextlib.suppress(OSError):
            preview.path.unlink()


def draft_picture(scene: Scene) -> np.ndarray:
    """(H, 2 * WIDTH, 3) uint8: the photo when there is one, and the scene as its camera sees it."""
    height = max(1, round(WIDTH * scene.camera.height / scene.camera.width))
    drawn = render_scene(scene, size=(WIDTH, height), supersample=1)
    if scene.input is None:
        return drawn
    return np.concatenate([np.asarray(fit_photo(scene.input.image, WIDTH, height)), drawn], axis=1)
