"""Scenes that are dragged into the page, as the browser itself hands files over, and the web page
that a scene is shared as.
"""

import shutil

from maquette.document.scene_json import save
from maquette.export.room import with_room
from maquette.simulation.glb_scene import scene_of_glb
from tests.app import browser as b
from tests.app.page.steps import IN_A_BROWSER, shot, state_of
from tests.document.scenes import make_scene
from tests.export.test_room import photographed

pytestmark = IN_A_BROWSER


def drop(page, *paths, look=None):
    """Drag files or folders of the disk over the page and let go."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 300, "y": 300, "data": data}
        session.send("Input.dispatchDragEvent", event)
        if look and kind == "dragOver":
            page.wait_for_selector("#veil:not([hidden])")
            shot(page, look)


def names_in(page):
    return page.locator("#scene-panel .row .pick").all_inner_texts()


def test_a_glb_is_dragged_in_and_shared_as_one_page(browser, page, app, tmp_path):
    glb = make_scene().rename(1, "egg").export(tmp_path / "room.glb")
    b.go(page, app)
    page.wait_for_selector("#examples img")
    drop(page, glb, look="52-dragged-over")
    b.arrived(page, "scene")
    b.scene_ready(page, 3)
    assert "egg" in names_in(page)
    assert "room" in page.title()
    with page.expect_download() as shared:
        page.get_by_role("button", name="Share").click()
    file = tmp_path / "shared.html"
    shared.value.save_as(file)
    context = browser.new_context(offline=True)
    alone = context.new_page()
    asked = []
    alone.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    alone.goto(file.as_uri())
    ready = "html[data-ready=true]"
    alone.wait_for_selector(ready, state="attached", timeout=b.PATIENCE)
    assert set(asked) <= {"file", "blob", "data"}
    assert "egg" in alone.locator("#objects button").all_inner_texts()
    alone.click("#objects button:text-is('egg')")
    shot(alone, "53-shared")
    context.close()


def test_the_room_of_a_scene_is_on_switches_and_no_object(page, app, tmp_path):
    folder = tmp_path / "corner"
    save(with_room(photographed()), folder / "scene.json")
    b.go(page, app)
    page.wait_for_selector("#examples img")
    drop(page, folder)
    b.arrived(page, "scene")
    b.scene_ready(page, 5)
    shown = "() => document.getElementById('view-a').viewer.around.children.map((n) => n.visible)"
    assert page.evaluate(shown) == [False, False]
    rows = page.get_by_role("listitem").filter(has_text="%")
    assert [rows.filter(has_text=name).count() for name in ("floor", "wall")] == [1, 1]
    assert page.locator("#scene-panel .count").inner_text() == "3"
    for name in ("floor", "wall"):
        page.get_by_role("button", name=f"Show {name}").click()
    page.wait_for_function(f"() => ({shown})().every(Boolean)")
    shot(page, "54-room")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save GLB").click()
    saved.value.save_as(tmp_path / "saved.glb")
    assert len(scene_of_glb(tmp_path / "saved.glb").around) == 2
    page.get_by_role("button", name="Hide wall").click()
    page.wait_for_function(f"() => ({shown})().filter(Boolean).length === 1")


def test_a_scene_is_dragged_in_as_its_folder_or_as_its_files(page, app, tmp_path):
    folder = tmp_path / "my room"
    save(make_scene().rename(1, "egg"), folder / "scene.json")
    (folder / "camera.json").write_text("{}")  # lies beside it, as after the demo
    shutil.copy(b.__file__, folder / "preview.png")
    seen = set()
    for what in ([folder], [folder / "scene.json", *(folder / "scene_files").iterdir()]):
        b.go(page, app)
        page.wait_for_selector("#recent")
        drop(page, *what)
        b.arrived(page, "scene")
        b.scene_ready(page, 3)
        assert "egg" in names_in(page)
        seen.add(state_of(page)["id"])
    assert len(seen) == 2


def test_a_scene_document_without_its_files_says_what_is_missing(page, app, tmp_path):
    save(make_scene(), tmp_path / "scene.json")
    b.go(page, app)
    page.wait_for_selector("#examples img")
    drop(page, tmp_path / "scene.json")
    said = page.wait_for_selector(".toast.error").inner_text()
    assert "with all files of its folder" in said
    shot(page, "54-a-document-alone")
