"""The main flow in the other large browser: a photo, a box, a scene, an object that is selected."""

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app import firefox as f
from tests.app.page.steps import BOTTLE, BOWL, TABLE

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(f.FIREFOX is None, reason="needs firefox on the PATH"),
]
PLACE = """
  const [width, height, x, y] = given;
  const place = document.getElementById('mask-canvas').getBoundingClientRect();
  const scale = Math.min((place.width - 72) / width, (place.height - 112) / height);
  return [place.left + (place.width - width * scale) / 2 + x * scale,
          place.top + (place.height - height * scale) / 2 + 10 + y * scale];
"""
OBJECTS = """
  return document.getElementById('mask-stage').getAttribute('aria-busy') === 'false'
    && document.querySelectorAll('#mask-list .row').length === given[0];
"""


@pytest.fixture
def firefox(tmp_path):
    opened = f.Firefox(tmp_path / "profile")
    yield opened
    opened.close()


def colours_of(png):
    """How many colours the middle of a picture has."""
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))[150:650, 200:900]
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


def drawn(firefox):
    """The same of the page, as soon as the view is there: the processor draws it."""
    for _ in range(60):
        if (colours := colours_of(firefox.screenshot())) > 300:
            return colours
        time.sleep(1)
    return colours


def shot(firefox, name):
    if folder := os.environ.get("MAQUETTE_SHOTS"):
        (Path(folder) / f"{name}.png").write_bytes(firefox.screenshot())


def test_from_a_photo_to_a_scene_in_firefox(firefox, app):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    firefox.go(app.address)
    firefox.until("return document.querySelectorAll('#recent .card img').length > 0")
    firefox.run(
        "window.wrong = []; addEventListener('error', (event) => window.wrong.push(event.message))"
    )
    shot(firefox, "60-firefox-start")
    firefox.press("#recent .card .open")
    firefox.until("return location.hash === '#photo/' + given[0]", photo)
    firefox.until("return document.querySelector('.empty-panel') !== null")
    with Image.open(TABLE) as picture:
        size = picture.size
    for count, box in enumerate((BOTTLE, BOWL), start=1):
        firefox.drag(firefox.run(PLACE, *size, *box[:2]), firefox.run(PLACE, *size, *box[2:]))
        firefox.until(OBJECTS, count)
    shot(firefox, "61-firefox-masks")
    firefox.until("return document.querySelector('#make .primary')?.disabled === false")
    firefox.press("#make .primary")
    firefox.until("return location.hash.startsWith('#scene/')")
    firefox.until("return document.querySelectorAll('#scene-panel .row').length === 2")
    firefox.press("#scene-panel .row .pick")
    firefox.until("return document.querySelector('.inspector .again') !== null")
    draws = "return document.createElement('canvas').getContext('webgl2') !== null"
    if firefox.run(draws):
        assert drawn(firefox) > 300
    else:  # without a graphics card and Mesa; all but the view works
        said = firefox.run("return document.querySelector('.view-message').textContent")
        assert "WebGL 2 is off" in said
    shot(firefox, "62-firefox-scene")
    assert firefox.run("return window.wrong") == []
    wide = "return [document.documentElement.scrollWidth, innerWidth]"
    scrolls, width = firefox.run(wide)
    assert scrolls <= width
