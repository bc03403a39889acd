"""What people do with a photo and its masks in the browser, step by step, as they do it."""

import numpy as np
from PIL import Image

from tests.app import browser as b
from tests.app.page.steps import BOTTLE, BOWL, IN_A_BROWSER, TABLE, centre, iou, labels, shot

pytestmark = IN_A_BROWSER


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
        page.evaluate(
            """async ([event, address]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([await (await fetch(address)).blob()], "mug.png", { type: "image/png" }));
          const one = event === "drop" ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
          document.body.dispatchEvent(one);
        }""",
            [event, f"{first.split('#')[0]}api/examples/table/thumbnail.jpg"],
        )
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


def test_a_click_is_seen_while_it_waits_and_one_on_nothing_is_said(page, app):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    b.go(page, app, f"#photo/{photo}")
    page.wait_for_selector(".empty-panel")
    held = []
    page.route("**/masks/edits", lambda route: held.append(route))
    page.keyboard.press("c")
    page.mouse.click(*b.at(page, 620, 20))  # the wall
    b.until(page, lambda: held)
    assert page.locator(".pending").is_visible()
    shot(page, "55-a-click-waits")
    held.pop().continue_()
    page.unroute("**/masks/edits")
    page.wait_for_selector(".toast.error:has-text('looks like an object')")
    b.masks_ready(page, 0)
    assert not page.locator(".pending").is_visible()
    shot(page, "56-nothing-there")


def test_objects_are_found_by_the_first_button_and_a_missing_network_says_how_to_bring_it(
    page, app
):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    b.go(page, app, f"#photo/{photo}")
    page.wait_for_selector(".empty-panel")
    first = page.locator("#mask-tools button").first
    first.click()
    page.wait_for_selector("#ask[open]")
    missing = [one["name"] for one in app.call("/api/config")["finders"] if one["bring"]]
    if "sam2.1" in missing:
        page.select_option("#ask select", "sam2.1")
        said = page.locator("#ask .missing").inner_text()
        assert "maquette models fetch sam2.1" in said and "pip install 'maquette[hub]'" in said
        assert page.get_by_role("button", name="Find objects", exact=True).last.is_disabled()
    shot(page, "57-a-network-that-is-not-here")
    page.keyboard.press("Escape")
    with page.expect_response("**/masks/edits") as answer:
        page.locator(".empty-panel .primary").click()
    assert answer.value.request.post_data_json["edit"]["kind"] == "auto"
    page.wait_for_selector(".toast")
    b.masks_ready(page)
    shot(page, "58-found")


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
    b.drag(
        page,
        (grip["x"] + 5, grip["y"] + 5),
        (grip["x"] + 5, last["y"] + last["height"] - 3),
        steps=8,
    )
    b.masks_ready(page)
    page.wait_for_function(
        "() => document.querySelector('#mask-list .row:last-child .pick').textContent === 'arm "
        "chair'"
    )
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
