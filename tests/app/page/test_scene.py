"""A finished scene in the browser: looked at, edited, made anew, compared, saved and opened."""

import json
import zipfile
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from tests.app import browser as b
from tests.app.page.steps import (
    IN_A_BROWSER,
    handle,
    instance_of,
    next_version,
    shot,
    spot,
    state_of,
)

pytestmark = IN_A_BROWSER


def test_the_photos_view_lays_the_scene_over_the_photo_to_the_pixel(page, app, scene):
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    page.keyboard.press("p")
    b.scene_ready(page, 3)
    document = app.call(f"/api/scenes/{scene}")
    camera = document["camera"]
    k = np.array(camera["intrinsics"])
    camera_from_world = np.linalg.inv(camera["world_from_camera"])
    place = page.locator("#view-a .viewer-photo").bounding_box()
    scale = place["width"] / camera["width"]
    for instance in document["instances"]:
        for corner in instance["box"]:
            seen = k @ (camera_from_world @ [*corner, 1])[:3]
            expected = np.array([place["x"], place["y"]]) + scale * seen[:2] / seen[2]
            assert np.allclose(b.on_screen(page, corner), expected, atol=0.51)
    slider = page.locator("#eye input")
    slider.fill("0.3")
    assert (
        page.locator("#view-a .viewer-canvas").evaluate(
            "(canvas) => getComputedStyle(canvas).opacity"
        )
        == "0.3"
    )
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
            assert (
                np.allclose(after[:3, :3], before[:3, :3], atol=1e-9)
                and abs(after[axis, 3] - before[axis, 3]) > 0.01
            )
        elif key == "e":
            assert not np.allclose(after[:3, :3], before[:3, :3], atol=1e-2) and np.allclose(
                after[:3, 3], before[:3, 3], atol=1e-9
            )
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
    assert (
        page.evaluate(
            "(label) => document.getElementById('view-a').viewer.node(label).visible", chosen
        )
        is False
    )
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
    page.click(".menu >> text=STL ...")
    page.fill("[aria-label='Longest side of the scene']", "120")
    shot(page, "23-unit")
    with page.expect_download() as printed:
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
    assert printed.value.suggested_filename.endswith(".stl")
    extents = np.ptp(trimesh.load(printed.value.path(), file_type="stl").bounds, axis=0)
    boxes = np.array([one["box"] for one in app.call(f"/api/scenes/{scene}")["instances"]])
    sides = np.ptp(boxes.reshape(-1, 3), axis=0)[[0, 2, 1]]  # Z is up
    assert np.allclose(extents, 120 * sides / sides.max(), rtol=1e-3)
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
