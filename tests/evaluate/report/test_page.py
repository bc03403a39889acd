"""The page: complete in one file, and alive in a browser that has no network."""

import base64
import io
import json
import re
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from maquette.evaluate.report import pictures, write_report
from maquette.export.read import load_named_meshes

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def scripts(text, selector):
    return re.findall(rf"<script [^>]*{selector}[^>]*>(.*?)</script>", text, re.DOTALL)


def test_everything_is_in_the_file_and_nothing_is_fetched(page):
    text = page.read_text(encoding="utf-8")
    html = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(
        r"""(?:src|href)\s*=\s*["'](?!data:)|url\(\s*["']?(?!data:)http|@import""", html
    )
    assert "{{" not in html and "raw/1" in html and "truth (oracle)" in html and "theirs" in html


def test_the_index_tells_every_scene_object_and_miss(page):
    (index,) = (
        json.loads(part) for part in scripts(page.read_text(encoding="utf-8"), 'id="index"')
    )
    assert [scene["name"] for scene in index["scenes"]] == ["random/0000", "random/0001"]
    first, second = (scene["results"]["theirs"] for scene in index["scenes"])
    assert first["missing"] == 1 and sum(bool(o["miss"]) for o in first["objects"].values()) == 1
    assert (
        not second["there"] and "no such file" in second["error"] and second["metrics"]["f_s"] == 0
    )
    assert all(0 <= o["hidden"] <= 1 for scene in index["scenes"] for o in scene["objects"])


def test_pictures_and_meshes_are_there_for_what_was_made(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    (drawn,) = (json.loads(part) for part in scripts(text, 'id="pictures"'))
    assert set(drawn["random/0000"]) == {
        "photo",
        "truth",
        "of-truth",
        "turn-truth",
        "of-theirs",
        "turn-theirs",
    }
    assert set(drawn["random/0001"]) == {"photo", "truth", "of-truth", "turn-truth"}
    assert Image.open(io.BytesIO(base64.b64decode(drawn["random/0000"]["photo"]))).format == "JPEG"
    meshes = dict(re.findall(r'data-mesh="([^"]+)">([^<]+)<', text))
    assert set(meshes) == {
        f"random/{k}|{m}" for k in ("0000", "0001") for m in ("truth", "of-truth")
    } | {"random/0000|of-theirs"}
    (tmp_path / "x.glb").write_bytes(
        zlib.decompress(base64.b64decode(meshes["random/0000|of-theirs"]))
    )
    assert len(load_named_meshes(tmp_path / "x.glb")) >= 1


def test_a_second_report_draws_nothing_again_and_is_the_same(page, run_folder, tmp_path):
    parts = {path: path.stat().st_mtime_ns for path in (run_folder / "report-parts").rglob("*.*")}
    again = write_report(run_folder, tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes() and all(
        path.stat().st_mtime_ns == time for path, time in parts.items()
    )


@pytest.mark.parametrize("jobs", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_scene_that_cannot_be_drawn_is_named_and_the_others_are_drawn(
    jobs, run_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(pictures, "TURNS", pictures.TURNS[::4])
    folder = shutil.copytree(run_folder, tmp_path / "run")
    shutil.rmtree(folder / "report-parts", ignore_errors=True)
    photo = folder / "scenes" / "random" / "0000" / "photo.png"
    photo.write_bytes(photo.read_bytes()[:100])
    text = write_report(folder, jobs=jobs).read_text(encoding="utf-8")
    (drawn,) = (json.loads(part) for part in scripts(text, 'id="pictures"'))
    assert "Not drawn" in text and "random/0000: cannot be drawn" in text
    assert "photo" in drawn["random/0001"] and "photo" not in drawn.get("random/0000", {})


def test_names_cannot_break_the_page(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "<b>run")
    for path in folder.rglob("objects.json"):
        path.write_text(
            path.read_text().replace('"name": "', '"name": "</script><script>alert(1)</script>')
        )
    text = write_report(folder).read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;b&gt;run" in text


@pytest.mark.tools
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_scene_opens_in_3d_from_the_file_system(page, theme, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1100, "height": 760}, color_scheme=theme)
        tab.set_default_timeout(120_000)
        problems = []
        requests = []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        tab.evaluate(
            "() => { window.ready = new Promise((end) => "
            "document.addEventListener('scene-shown', end, { once: true })) }"
        )
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        tab.locator(".card").first.click()
        tab.wait_for_function("window.ready.then(() => true)")
        tab.wait_for_timeout(500)
        views = [
            np.asarray(Image.open(io.BytesIO(view.screenshot())), int)
            for view in tab.locator(".view").all()
        ]
        tab.locator("dialog [data-value=over]").click()
        assert tab.locator(".view:visible").count() == 1
        tab.keyboard.press("Escape")
        assert tab.locator("dialog[open]").count() == 0 and tab.locator("canvas").count() == 0
        browser.close()
    assert problems == [] and all(url.startswith(("file:", "blob:", "data:")) for url in requests)
    assert (int(paper.split("(")[1].split(",")[0]) > 128) == (theme == "light")
    assert len(views) == 2 and all(
        (np.ptp(view[..., :3], axis=-1) > 60).mean() > 0.01 for view in views
    )  # coloured objects are seen
