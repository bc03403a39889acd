"""What people do in the browser, step by step, as they do it. Each step leaves a screenshot in $MAQUETTE_SHOTS when that is set."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app import browser as b

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(b.CHROMIUM is None, reason="needs chromium on the PATH"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
]
ASSETS = Path(__file__).parents[2] / "src" / "maquette" / "assets"
TABLE = ASSETS / "examples" / "table" / "photo.jpg"
BOTTLE, BOWL = (62, 105, 242, 475), (425, 305, 585, 425)  # boxes around two objects of the table


@pytest.fixture(scope="module")
def app(tmp_path_factory, tiny_weights):
    running = b.App(tmp_path_factory.mktemp("app"), tiny_weights)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    chromium = playwright.chromium.launch(executable_path=b.CHROMIUM, args=b.FLAGS)
    yield chromium
    chromium.close()
    playwright.stop()


@pytest.fixture
def page(browser, app):
    with b.tab(browser, app) as opened:
        yield opened


def shot(page, name):
    if folder := os.environ.get("MAQUETTE_SHOTS"):
        page.wait_for_timeout(600)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_a_photo_is_chosen_dropped_or_pasted(page, app):
    b.go(page, app)
    page.wait_for_selector("#examples img")
    shot(page, "01-start")
    with page.expect_file_chooser() as chooser:
        page.click("#pick")
    chooser.value.set_files(TABLE)
    page.wait_for_selector("#mask-list .empty-panel")
    assert "photo" in page.title()
    shot(page, "02-no-objects-yet")
    first = page.url
    for event in ("drop", "paste"):
        b.go(page, app)
        page.evaluate("""async ([event, address]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([await (await fetch(address)).blob()], "mug.png", { type: "image/png" }));
          const one = event === "drop" ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
          document.body.dispatchEvent(one);
        }""", [event, f"{first.split('#')[0]}api/examples/table/thumbnail.jpg"])  # fmt: skip
        b.arrived(page, "photo")
        assert page.url != first
        page.wait_for_selector("#mask-list .empty-panel")


def test_what_is_not_a_picture_is_said_in_one_line(page, app, tmp_path):
    wrong = tmp_path / "holiday.jpg"
    wrong.write_bytes(b"this is text")
    b.go(page, app)
    page.set_input_files("#photo-file", wrong)
    said = page.wait_for_selector(".toast.error").inner_text()
    assert "holiday" in said or "picture" in said or "image" in said
    shot(page, "03-not-a-picture")
    assert page.locator("#pick").is_enabled()


def test_masks_from_boxes_clicks_brush_and_polygon(page, app):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    b.go(page, app, f"#photo/{photo}")
    page.wait_for_selector(".empty-panel")
    b.drag(page, b.at(page, *BOTTLE[:2]), b.at(page, *BOTTLE[2:]))
    b.masks_ready(page, 1)
    truth = np.asarray(Image.open(TABLE.with_name("masks.png"))) == 1
    assert iou(labels(page) == 1, truth) > 0.9
    page.keyboard.press("Escape")
    b.drag(page, b.at(page, *BOWL[:2]), b.at(page, *BOWL[2:]))
    b.masks_ready(page, 2)
    shot(page, "04-boxes")

    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.mouse.click(*b.at(page, 380, 450))
    b.masks_ready(page, 3)
    before = (labels(page) == 3).sum()
    page.click("text=− Remove")
    page.mouse.click(*b.at(page, 380, 480))
    b.masks_ready(page)
    assert (labels(page) == 3).sum() != before
    shot(page, "05-clicks")

    page.keyboard.press("p")
    page.click("#mask-list .row:nth-child(2) .pick")
    b.drag(page, b.at(page, 500, 350), b.at(page, 600, 250), steps=10)
    b.masks_ready(page)
    assert labels(page)[250, 600] == 2
    page.click("text=Erase")
    b.drag(page, b.at(page, 590, 260), b.at(page, 610, 240))
    b.masks_ready(page)
    assert labels(page)[250, 600] == 0
    shot(page, "06-brush")

    page.keyboard.press("Escape")
    page.keyboard.press("l")
    for corner in ((20, 20), (120, 20), (70, 90)):
        page.mouse.click(*b.at(page, *corner))
    page.keyboard.press("Enter")
    b.masks_ready(page, 4)
    assert labels(page)[40, 70] == 4


def test_merge_split_rename_reorder_delete_with_undo_and_redo(page, app):
    b.go(page, app, f"#photo/{app.example()}")
    b.masks_ready(page, 5)
    assert "falls into 2 parts" in page.locator("#mask-list .row:nth-child(3) .notes").inner_text()
    shot(page, "07-warnings")
    first = labels(page)

    page.click("#mask-list .row:nth-child(3) .pick")
    page.hover("#mask-list .row:nth-child(3)")
    page.click("#mask-list .row:nth-child(3) [aria-haspopup=menu]")
    shot(page, "08-menu-of-an-object")
    page.click("text=Split into its parts")
    b.masks_ready(page, 6)
    page.keyboard.press("Control+z")
    b.masks_ready(page, 5)
    assert np.array_equal(labels(page), first)
    page.keyboard.press("Control+Shift+z")
    b.masks_ready(page, 6)
    page.keyboard.press("Control+z")
    b.masks_ready(page, 5)

    page.click("#mask-list .row:nth-child(4) .pick")
    page.click("#mask-list .row:nth-child(5) .pick", modifiers=["Shift"])
    page.keyboard.press("m")
    b.masks_ready(page, 4)
    assert ((labels(page) == 4) == np.isin(first, (4, 5))).all()
    page.click("#mask-undo")
    b.masks_ready(page, 5)

    page.click("#mask-list .row:nth-child(1) .pick")
    page.keyboard.press("F2")
    page.keyboard.type("arm chair")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=arm chair")
    grip = page.locator("#mask-list .row:nth-child(1) .grip").bounding_box()
    last = page.locator("#mask-list .row:nth-child(5)").bounding_box()
    b.drag(page, (grip["x"] + 5, grip["y"] + 5), (grip["x"] + 5, last["y"] + last["height"] - 3), steps=8)
    b.masks_ready(page)
    page.wait_for_function("() => document.querySelector('#mask-list .row:last-child .pick').textContent === 'arm chair'")
    assert ((labels(page) == 5) == (first == 1)).all()

    page.keyboard.press("v")
    page.mouse.click(*b.at(page, *centre(labels(page) == 5)))
    page.keyboard.press("Delete")
    b.masks_ready(page, 4)
    page.keyboard.press("Control+z")
    b.masks_ready(page, 5)
    page.keyboard.press("k")
    x, y = centre(labels(page) == 3)
    b.drag(page, b.at(page, x - 150, y), b.at(page, x + 150, y))
    b.masks_ready(page, 6)


def test_a_mask_file_is_dropped_on_the_photo(page, app):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    b.go(page, app, f"#photo/{photo}")
    page.wait_for_selector(".empty-panel")
    page.set_input_files("#mask-file", TABLE.with_name("masks.png"))
    b.masks_ready(page, 5)
    assert np.array_equal(labels(page), np.asarray(Image.open(TABLE.with_name("masks.png"))))


def test_the_scene_grows_while_it_is_made_and_is_found_again(page, app, scene):
    b.go(page, app, f"#scene/{scene}")  # so that the browser has its shaders, whose making takes it seconds without a graphics card
    b.scene_ready(page, 3)
    b.go(page, app, f"#photo/{app.example('garden')}")
    b.masks_ready(page, 5)
    page.evaluate("""async () => {
      const { store } = await import('/app/store.js');
      window.seen = [];
      store.watch(["job"], ({ job }) => {
        if (job) window.seen.push([job.instances.length, job.progress?.stage ?? "", job.progress?.overall ?? 0]);
      });
    }""")
    page.fill("#make [aria-label=Seed]", "5")
    page.fill("#make [aria-label=Steps]", "60")  # slow enough for a browser whose pictures are drawn by the processor
    page.click("text=Make the scene")
    page.wait_for_selector("#progress progress")
    shot(page, "09-being-made")
    b.arrived(page, "scene")
    b.scene_ready(page, 5)
    seen = page.evaluate("window.seen")
    counts, overall = [one[0] for one in seen], [one[2] for one in seen]
    assert {1, 2, 3, 4, 5} <= set(counts) and counts == sorted(counts)
    assert overall == sorted(overall) and len({one[1] for one in seen}) >= 3
    assert state_of(page)["provenance"]["options"] | {"seed": 5, "steps": 60} == state_of(page)["provenance"]["options"]
    shot(page, "10-scene-in-the-photos-view")
    address = page.url
    page.reload()
    b.scene_ready(page, 5)
    assert page.url == address
    page.click("#home")
    page.wait_for_selector("#recent .card img")
    shot(page, "11-recent")
    page.click("#recent .card .open >> nth=0")
    b.arrived(page, address.split("#")[1])


def test_cancel_works_at_once_and_the_job_can_be_tried_again(page, app):
    b.go(page, app, f"#photo/{app.example()}")
    b.masks_ready(page, 5)
    slow(page)
    page.click("text=Make the scene")
    page.click("#progress button:has-text('Cancel')")
    page.wait_for_selector("#progress :text('Cancelled')")
    shot(page, "12-cancelled")
    job = page.url.rsplit("/", 1)[1]
    assert app.call(f"/api/jobs/{job}")["state"] == "cancelled"
    page.click("text=Try again")
    page.wait_for_function("(job) => location.hash.startsWith('#job/') && !location.hash.endsWith(job)", arg=job)
    page.wait_for_selector("#progress progress")
    page.click("#progress button:has-text('Cancel')")
    page.wait_for_selector("#progress :text('Cancelled')")


@pytest.fixture(scope="module")
def scene(app):
    """A scene for looking at; tests that change one make their own."""
    return app.scene()


def test_the_photos_view_lays_the_scene_over_the_photo_to_the_pixel(page, app, scene):
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    document = app.call(f"/api/scenes/{scene}")
    camera = document["camera"]
    k, camera_from_world = np.array(camera["intrinsics"]), np.linalg.inv(camera["world_from_camera"])
    place = page.locator("#view-a .viewer-photo").bounding_box()
    scale = place["width"] / camera["width"]
    for instance in document["instances"]:
        for corner in instance["box"]:
            seen = k @ (camera_from_world @ [*corner, 1])[:3]
            expected = np.array([place["x"], place["y"]]) + scale * seen[:2] / seen[2]
            assert np.allclose(b.on_screen(page, corner), expected, atol=0.51)
    slider = page.locator("#eye input")
    slider.fill("0.3")
    assert page.locator("#view-a .viewer-canvas").evaluate("(canvas) => getComputedStyle(canvas).opacity") == "0.3"
    shot(page, "13-blended")
    page.click("text=Top")
    b.scene_ready(page, 3)
    assert not page.locator("#view-a .viewer-photo").is_visible()
    shot(page, "14-from-above")


def test_the_scene_in_every_look(page, app, scene):
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    page.click("text=Front")
    for key, look in zip("1234", ("photo", "instance", "confidence", "clay")):
        page.keyboard.press(key)
        assert b.state(page)["look"]["colouring"] == look
        b.scene_ready(page, 3)
        shot(page, f"15-{look}")
    page.keyboard.press("z")
    b.scene_ready(page, 3)
    assert page.get_by_role("button", name="Wireframe (Z)").get_attribute("aria-pressed") == "true"
    shot(page, "16-wireframe")


def test_objects_are_selected_moved_turned_scaled_hidden_copied_renamed_and_deleted(page, app):
    identity = app.scene()
    b.go(page, app, f"#scene/{identity}")
    b.scene_ready(page, 3)
    first = {one["label"]: one for one in state_of(page)["instances"]}
    chosen = 2
    page.mouse.click(*spot(page, chosen))
    page.wait_for_selector(".inspector button")
    assert b.state(page)["selected"] == chosen

    for key, axis in (("w", 0), ("e", None), ("r", 0)):
        before = np.array(instance_of(page, chosen)["world_from_instance"])
        page.keyboard.press(key)
        start, end = handle(page, key)
        version = state_of(page)["version"]
        b.drag(page, start, end, steps=6)
        next_version(page, version)
        after = np.array(instance_of(page, chosen)["world_from_instance"])
        scale = np.linalg.norm(after[:3, :3], axis=0)
        assert np.ptp(scale) < 1e-6 * scale.max()  # still a similarity
        if key == "w":
            assert np.allclose(after[:3, :3], before[:3, :3], atol=1e-9) and abs(after[axis, 3] - before[axis, 3]) > 0.01
        elif key == "e":
            assert not np.allclose(after[:3, :3], before[:3, :3], atol=1e-2) and np.allclose(after[:3, 3], before[:3, 3], atol=1e-9)
        else:
            assert scale[0] / np.linalg.norm(before[:3, 0]) > 1.02
        shot(page, f"17-{ {'w': 'move', 'e': 'rotate', 'r': 'scale'}[key] }")
    for _ in range(3):
        version = state_of(page)["version"]
        page.keyboard.press("Control+z")
        next_version(page, version)
    assert instance_of(page, chosen)["world_from_instance"] == first[chosen]["world_from_instance"]

    page.keyboard.press("v")
    page.keyboard.press("h")
    page.wait_for_selector("#scene-panel .row.off")
    assert page.evaluate("(label) => document.getElementById('view-a').viewer.node(label).visible", chosen) is False
    page.keyboard.press("h")
    page.keyboard.press("d")
    b.scene_ready(page, 4)
    page.keyboard.press("F2")
    page.keyboard.type("twin")
    page.keyboard.press("Enter")
    page.wait_for_selector(".inspector dd:text-is('twin')")
    shot(page, "18-twin")
    page.keyboard.press("Delete")
    b.scene_ready(page, 3)
    page.click(".toast button:has-text('Undo')")
    b.scene_ready(page, 4)


def test_one_object_is_made_anew_and_all_others_stay(page, app):
    b.go(page, app, f"#scene/{app.scene()}")
    b.scene_ready(page, 3)
    before = {one["label"]: one for one in state_of(page)["instances"]}
    page.click("#scene-panel .row:nth-child(2) .pick")
    chosen = b.state(page)["selected"]
    version = state_of(page)["version"]
    page.fill(".inspector input", "77")
    page.click(".inspector button:has-text('Again')")
    next_version(page, version)
    after = {one["label"]: one for one in state_of(page)["instances"]}
    assert after[chosen]["seed"] != before[chosen]["seed"]
    assert all(after[label]["glb"] == before[label]["glb"] for label in before if label != chosen)
    b.scene_ready(page, 3)
    shot(page, "19-made-anew")


def test_two_methods_side_by_side_look_from_the_same_place(page, app, scene):
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    page.click("text=Compare")
    shot(page, "20-compare-with")
    page.click(".menu button:has-text('With MIDI')")
    b.arrived(page, "compare")
    b.scene_ready(page, 3, "view-b")
    page.wait_for_selector(".table")
    shot(page, "21-compared")
    place = page.locator("#view-a").bounding_box()
    middle = (place["x"] + place["width"] / 2, place["y"] + place["height"] * 0.8)
    b.drag(page, middle, (middle[0] + 120, middle[1] - 60))
    page.wait_for_timeout(800)
    states = page.evaluate("""['view-a', 'view-b'].map((view) => {
      const { position, target, fov } = document.getElementById(view).viewer.cameraState();
      return [...position, ...target, fov];
    })""")
    assert np.allclose(states[0], states[1]) and not b.state(page)["inPhotoView"]
    b.scene_ready(page, 3, "view-b")
    shot(page, "22-linked")
    page.click("text=Close")
    b.arrived(page, f"scene/{scene}")
    page.wait_for_selector("#view-b", state="hidden")


def test_everything_is_saved_and_a_saved_scene_opens_again(page, app, scene, tmp_path):
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    with page.expect_download() as glb:
        page.click("text=Save GLB")
    assert Path(glb.value.path()).read_bytes()[:4] == b"glTF"
    with page.expect_download() as picture:
        page.get_by_role("button", name="Save a picture of the view (PNG)").click()
    with Image.open(picture.value.path()) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
    page.click("text=More ...")
    shot(page, "23-save")
    with page.expect_download() as objects:
        page.click(".menu >> text=A GLB per object")
    assert len(zipfile.ZipFile(objects.value.path()).namelist()) == 3
    page.click("text=More ...")
    with page.expect_download() as saved:
        page.click(".menu >> text=Scene document")
    document = tmp_path / "saved.zip"
    saved.value.save_as(document)
    with zipfile.ZipFile(document) as archive:
        assert len(json.loads(archive.read("scene.json"))["instances"]) == 3
    b.go(page, app)
    page.set_input_files("#scene-file", document)
    b.arrived(page, "scene")
    b.scene_ready(page, 3)
    assert not page.url.endswith(scene)
    shot(page, "24-opened-again")


def test_nothing_is_lost_when_the_server_is_killed(browser, app):
    with b.tab(browser, app) as page:
        photo = app.example("table")
        b.go(page, app, f"#photo/{photo}")
        b.masks_ready(page, 5)
        page.keyboard.press("v")
        page.mouse.click(*b.at(page, *centre(labels(page) == 1)))
        page.keyboard.press("Delete")
        b.masks_ready(page, 4)
        slow(page)
        page.click("text=Make the scene")
        b.arrived(page, "job")
        address = page.url
    app.stop(kill=True)
    app.start()
    with b.tab(browser, app) as page:
        page.goto(address)
        page.wait_for_selector("#progress :text('Interrupted')")
        shot(page, "25-interrupted")
        b.go(page, app, f"#photo/{photo}")
        b.masks_ready(page, 4)
        page.keyboard.press("Control+z")
        b.masks_ready(page, 5)
        b.go(page, app)
        page.wait_for_selector(".badge:text('interrupted')")
        shot(page, "26-after-a-restart")


def test_every_control_has_a_name_and_the_focus_is_seen(page, app, scene):
    for where, ready in (("", "#recent .card"), (f"#photo/{app.example()}", "#mask-list .row"), (f"#scene/{scene}", "#scene-panel .row")):
        b.go(page, app, where)
        page.wait_for_selector(ready)
        assert b.nameless_controls(page) == []
        for _ in range(6):
            page.keyboard.press("Tab")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", page.evaluate("document.activeElement.outerHTML")
    page.click("#scene-panel .row .pick")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    assert b.nameless_controls(page) == []
    shot(page, "27-help")
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_dark_and_light(browser, app, scene):
    with b.tab(browser, app, color_scheme="dark") as page:
        b.go(page, app, f"#scene/{scene}")
        b.scene_ready(page, 3)
        page.click("text=Front")
        page.click("#scene-panel .row .pick")
        b.scene_ready(page, 3)
        shot(page, "28-dark-scene")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
        page.click("#theme")
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
        assert page.locator("#theme").get_attribute("aria-label") == "Theme: dark"
        b.go(page, app, f"#photo/{app.example()}")
        b.masks_ready(page, 5)
        shot(page, "29-dark-masks")


def test_fingers_on_a_tablet(browser, app, scene):
    with b.tab(browser, app, viewport={"width": 820, "height": 1180}, has_touch=True) as page:
        b.go(page, app, f"#photo/{app.example()}")
        b.masks_ready(page, 5)
        page.touchscreen.tap(*b.at(page, *centre(labels(page) == 4)))
        assert b.state(page)["chosen"] == [4]
        shot(page, "30-tablet-masks")
        before = page.locator("#zoom-fit").inner_text()
        x, y = b.at(page, 320, 320)
        session = page.context.new_cdp_session(page)
        for kind, spread in (("touchStart", 40), ("touchMove", 70), ("touchMove", 100), ("touchEnd", None)):
            points = [] if spread is None else [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_function("(before) => document.getElementById('zoom-fit').textContent !== before", arg=before)
        assert float(page.locator("#zoom-fit").inner_text().split()[0]) > 2 * float(before.split()[0])
        b.go(page, app, f"#scene/{scene}")
        b.scene_ready(page, 3)
        shot(page, "31-tablet-scene")
        assert page.evaluate("document.documentElement.scrollWidth") <= 820


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
    }""")  # fmt: skip
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
    return page.evaluate("""(label) => {
      const { viewer } = document.getElementById('view-a'), place = viewer.canvas.getBoundingClientRect();
      for (let y = 80; y < place.height - 80; y += 7) for (let x = 20; x < place.width; x += 7) {
        const around = [[0, 0], [3, 0], [0, 3], [-3, 0], [0, -3]].map(([dx, dy]) => viewer.pick(place.left + x + dx, place.top + y + dy));
        if (around.every((one) => one === label)) return [place.left + x, place.top + y];
      }
    }""", label)  # fmt: skip


def handle(page, key):
    """Where the x handle of the gizmo is, and where to drag it."""
    page.wait_for_timeout(500)
    reach = {"w": 0.45, "e": 0.5, "r": 0.45}[key]
    points = page.evaluate("""async (reach) => {
      const { viewer } = document.getElementById('view-a'), { Vector3 } = await import('/three/three.module.min.js');
      const node = viewer.node(viewer.selected), centre = node.getWorldPosition(new Vector3()), camera = viewer.camera;
      const factor = Math.min(1.9 * Math.tan((Math.PI * camera.fov) / 360), 7) / 4; // as in TransformControls
      const size = centre.distanceTo(camera.position) * factor * viewer.gizmo.controls.size;
      return [[reach, 0], [2 * reach, 0], [0.354, 0.354]].map(([x, y]) => centre.clone().add(new Vector3(size * x, size * y, 0)).toArray());
    }""", reach)  # fmt: skip
    start, end, ring = (b.on_screen(page, point) for point in points)
    return (ring, (ring[0] - 40, ring[1] + 40)) if key == "e" else (start, end)
