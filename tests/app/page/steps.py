"""What the steps in the browser share: pictures of them, and what the page says of itself."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.app import browser as b

IN_A_BROWSER = [
    pytest.mark.tools,
    pytest.mark.skipif(b.CHROMIUM is None, reason="needs chromium on the PATH"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
]
ASSETS = Path(__file__).parents[3] / "src" / "maquette" / "assets"
TABLE = ASSETS / "examples" / "table" / "photo.jpg"
# boxes around two objects of the table
BOTTLE = (62, 105, 242, 475)
BOWL = (425, 305, 585, 425)


def shot(page, name):
    if folder := os.environ.get("MAQUETTE_SHOTS"):
        page.wait_for_timeout(600)
        page.screenshot(path=Path(folder) / f"{name}.png")


def slow(page):
    """Ask for so much that it takes a while even of tiny networks."""
    page.click("#make summary")
    page.fill("#make [aria-label=Tries]", "8")
    page.fill("#make [aria-label=Steps]", "100")


def labels(page):
    """The label picture as the page has it."""
    flat = page.evaluate("""async () => {
      const { masks } = (await import('/app/store.js')).store.get(), { readLabels } = await import('/app/masks/contours.js');
      const image = new Image();
      image.src = masks.labels;
      await image.decode();
      return [masks.width, [...readLabels(image, masks.width, masks.height)].join(",")];
    }""")
    return np.fromstring(flat[1], dtype=int, sep=",").reshape(-1, flat[0])


def iou(a, c):
    return (a & c).sum() / (a | c).sum()


def centre(mask):
    """A pixel (x, y) well inside of a mask."""
    from scipy.ndimage import distance_transform_edt

    y, x = np.unravel_index(distance_transform_edt(mask).argmax(), mask.shape)
    return int(x), int(y)


def state_of(page):
    return b.state(page)["scene"]


def next_version(page, version):
    b.until(page, lambda: state_of(page)["version"] != version)


def instance_of(page, label):
    return next(one for one in state_of(page)["instances"] if one["label"] == label)


def spot(page, label):
    """A point of the window at which an object is in front."""
    return page.evaluate(
        """(label) => {
      const { viewer } = document.getElementById('view-a'), place = viewer.canvas.getBoundingClientRect();
      for (let y = 80; y < place.height - 80; y += 7) for (let x = 20; x < place.width; x += 7) {
        const around = [[0, 0], [3, 0], [0, 3], [-3, 0], [0, -3]].map(([dx, dy]) => viewer.pick(place.left + x + dx, place.top + y + dy));
        if (around.every((one) => one === label)) return [place.left + x, place.top + y];
      }
    }""",
        label,
    )


def handle(page, key):
    """Where the x handle of the gizmo is, and where to drag it."""
    page.wait_for_timeout(500)
    reach = {"w": 0.45, "e": 0.5, "r": 0.45}[key]
    points = page.evaluate(
        """async (reach) => {
      const { viewer } = document.getElementById('view-a'), { Vector3 } = await import('/three/three.module.min.js');
      const node = viewer.node(viewer.selected), centre = node.getWorldPosition(new Vector3()), camera = viewer.camera;
      const factor = Math.min(1.9 * Math.tan((Math.PI * camera.fov) / 360), 7) / 4; // as in TransformControls
      const size = centre.distanceTo(camera.position) * factor * viewer.gizmo.controls.size;
      return [[reach, 0], [2 * reach, 0], [0.354, 0.354]].map(([x, y]) => centre.clone().add(new Vector3(size * x, size * y, 0)).toArray());
    }""",
        reach,
    )
    start, end, ring = (b.on_screen(page, point) for point in points)
    return (ring, (ring[0] - 40, ring[1] + 40)) if key == "e" else (start, end)
