"""The main flow in the other large browser: a photo, a box, a scene, an object that is selected."""

import os
from pathlib import Path

import pytest

from tests.app import firefox as f
from tests.app.page.steps import BOTTLE, BOWL, TABLE

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(f.FIREFOX is None, reason="needs firefox on the PATH"),
]
PLACE = """
  const { photo } = (await import('/app/store.js')).store.get();
  const place = document.getElementById('mask-canvas').getBoundingClientRect();
  const scale = Math.min((place.width - 72) / photo.width, (place.height - 112) / photo.height);
  return [place.left + (place.width - photo.width * scale) / 2 + given[0] * scale,
          place.top + (place.height - photo.height * scale) / 2 + 10 + given[1] * scale];
"""
OBJECTS = """
  const { working, masks } = (await import('/app/store.js')).store.get();
  return working === 0 && masks?.objects.length === given[0];
"""


@pytest.fixture
def firefox(tmp_path):
    opened = f.Firefox(tmp_path / "profile")
    yield opened
    opened.close()


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
    for count, box in enumerate((BOTTLE, BOWL), start=1):
        firefox.drag(firefox.run(PLACE, *box[:2]), firefox.run(PLACE, *box[2:]))
        firefox.until(OBJECTS, count)
        firefox.run("(await import('/app/masks/actions.js')).choose(null)")
    shot(firefox, "61-firefox-masks")
    firefox.until("return document.querySelector('#make .primary')?.disabled === false")
    firefox.press("#make .primary")
    firefox.until("return location.hash.startsWith('#scene/')")
    firefox.until("return document.querySelectorAll('#scene-panel .row').length === 2")
    drawn = "return document.getElementById('view-a').viewer?.labels().length === 2"
    firefox.until(drawn)
    firefox.press("#scene-panel .row .pick")
    firefox.until("return document.querySelector('.inspector .again') !== null")
    shot(firefox, "62-firefox-scene")
    assert firefox.run("return window.wrong") == []
    wide = "return [document.documentElement.scrollWidth, innerWidth]"
    scrolls, width = firefox.run(wide)
    assert scrolls <= width
