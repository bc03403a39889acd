import base64
import json
import re
import shutil
import zlib
from html import unescape

import pytest

from maquette.document.scene_json import save
from maquette.export.glb import glb_bytes
from maquette.export.ground import with_ground
from maquette.export.page import notebook_frame, scene_page, write_page
from tests.app.browser import CHROMIUM, FLAGS
from tests.document.scenes import make_scene

SCRIPT = r'<script type="[\w/]+" id="{}">(.*?)</script>'


def part(page, name):
    return re.search(SCRIPT.format(name), page, re.DOTALL)[1]


def test_the_page_holds_all_it_needs_and_nothing_hidden():
    scene = with_ground(make_scene().hide(12), "disc")
    page = scene_page(scene, "<b>mine</b> & </script>")
    assert zlib.decompress(base64.b64decode(part(page, "glb"))) == glb_bytes(scene.visible())
    modules = json.loads(zlib.decompress(base64.b64decode(part(page, "modules"))))
    assert "maquette/viewer/viewer.js" in modules and "{{" not in page
    index = json.loads(part(page, "index"))
    nodes = {i.label: i.node_name for i in scene.visible().instances}
    assert {about["label"]: about["name"] for about in index["objects"]} == nodes
    assert index["around"] == [{"name": "ground", "confidence": None}]
    assert index["title"] == "<b>mine</b> & </script>" and "<b>" not in page
    assert index["photo"].startswith("data:image/jpeg;base64,")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("data:") for address in addresses)


def test_scenes_without_photo_and_without_objects_have_a_page(tmp_path):
    scene = make_scene(input=None, instances=())
    write_page(scene, tmp_path / "room" / "scene.html")
    page = (tmp_path / "room" / "scene.html").read_text(encoding="utf-8")
    assert "<title>room</title>" in page and json.loads(part(page, "index"))["photo"] is None


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    scene = make_scene()
    frame = notebook_frame(scene)
    assert scene._repr_html_() == frame and frame.startswith("<iframe ")
    assert unescape(re.search('srcdoc="([^"]*)"', frame)[1]) == scene_page(scene)


def test_export_writes_it(tmp_path):
    folder = save(make_scene(), tmp_path / "scene.json").parent
    assert make_scene().export(tmp_path / "s.html").read_text(encoding="utf-8").count("<html") == 1
    assert folder.is_dir()


@pytest.mark.tools
@pytest.mark.parametrize(("width", "height"), [(390, 700), (820, 1000), (1920, 900)])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_opens_from_a_file_and_nothing_overlaps(tmp_path, width, height, colours):
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    assert shutil.which("chromium")
    path = tmp_path / "scene.html"
    write_page(with_ground(make_scene(), "disc"), path)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
        page.set_default_timeout(90_000)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda sent: wrong.append(sent.url))
        page.goto(path.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        assert page.get_attribute("#turn", "aria-pressed") == "true"
        boxes = page.evaluate(
            """() => [...document.querySelectorAll('button, h1')].filter((e) => e.offsetParent)
               .map((e) => [e.textContent.trim(), e.getBoundingClientRect().toJSON(),
                            e.scrollWidth > e.clientWidth + 1])"""
        )
        assert [name for name, _, clipped in boxes if clipped] == []
        rectangles = [(name, box) for name, box, _ in boxes]
        for k, (name, box) in enumerate(rectangles):
            assert box["left"] >= 0 and box["right"] <= width and box["bottom"] <= height, name
            for other, its in rectangles[:k]:
                apart = box["left"] >= its["right"] or its["left"] >= box["right"]
                assert apart or box["top"] >= its["bottom"] or its["top"] >= box["bottom"], (
                    name,
                    other,
                )
        page.keyboard.press("p")
        page.wait_for_selector("#photo[aria-pressed=true]")  # at the end of the flight
        assert page.get_attribute("#turn", "aria-pressed") == "false"
        assert page.get_attribute("#around button", "aria-pressed") == "false"  # off at first
        page.click("#around button")
        assert page.get_attribute("#around button", "aria-pressed") == "true"
        page.click("#objects button >> nth=1")
        assert page.get_attribute("#objects button >> nth=1", "aria-pressed") == "true"
        chromium.close()
    assert wrong == []
