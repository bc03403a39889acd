"""Everything without a mouse: the order of Tab, what Escape gives up, marking and moving by keys."""

import numpy as np
from PIL import Image

from tests.app import browser as b
from tests.app.page.steps import (
    BOTTLE,
    IN_A_BROWSER,
    TABLE,
    instance_of,
    iou,
    labels,
    next_version,
    shot,
    state_of,
)

pytestmark = IN_A_BROWSER
NAMES = """() => {
  const name = (e) => e.id || e.getAttribute('aria-label')
    || (e.labels?.[0]?.firstChild ?? e).textContent.trim();
  const usable = 'button, input, select, summary, a[href], [tabindex]:not([tabindex="-1"])';
  const there = [...document.querySelectorAll(usable)].filter((e) =>
    !e.disabled && e.tabIndex >= 0 && e.checkVisibility() && !e.closest('dialog, .toasts'));
  return [there.map(name), name(document.activeElement)];
}"""


def walked(page):
    """The names of what Tab comes by, in its order, and of all that can be used."""
    there, _ = page.evaluate(NAMES)
    page.evaluate("document.activeElement.blur()")
    found = []
    for _ in there:
        page.keyboard.press("Tab")
        found.append(page.evaluate(NAMES)[1])
    return found, there


def in_order(found, landmarks):
    places = [found.index(landmark) for landmark in landmarks]
    return places == sorted(places)


def presses(page, key, times):
    for _ in range(times):
        page.keyboard.press(key)


def test_tab_comes_by_everything_of_the_masks_in_the_order_of_the_screen(page, app):
    b.go(page, app, f"#photo/{app.example()}")
    b.masks_ready(page, 5)
    page.wait_for_selector("#make .primary")
    found, there = walked(page)
    assert sorted(found) == sorted(there)
    assert in_order(
        found,
        ["home", "step-masks", "title", "help-open", "Find objects (O)", "Select (V)"]
        + ["mask-canvas", "zoom-in", "mask-menu", "chair", "car", "Method", "Make the scene"],
    )


def test_escape_gives_up_one_thing_after_the_other_on_the_masks(page, app):
    b.go(page, app, f"#photo/{app.example()}")
    b.masks_ready(page, 5)
    page.focus("#mask-menu")
    page.keyboard.press("Enter")
    page.wait_for_selector(".menu")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    assert page.locator(".menu").count() == 0
    assert page.evaluate("document.activeElement.id") == "mask-menu"
    page.keyboard.press("o")
    page.wait_for_selector("#ask[open]")
    shot(page, "50-find-objects")
    assert b.nameless_controls(page) == []
    page.keyboard.press("Escape")
    page.wait_for_selector("#ask[open]", state="detached")
    page.focus("#mask-list .row .pick")
    page.keyboard.press("Enter")
    page.keyboard.press("F2")
    page.keyboard.type("throne")
    page.keyboard.press("Escape")
    page.wait_for_selector("#mask-list .pick:text-is('chair')")
    assert b.state(page)["chosen"] == [1]
    page.focus("#mask-canvas")
    page.keyboard.press("l")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # the corner that was set
    assert b.state(page)["chosen"] == [1]
    page.keyboard.press("Escape")
    assert b.state(page)["chosen"] == []


def test_an_object_is_marked_and_a_scene_is_asked_for_by_keys(page, app):
    photo = app.call("/api/photos", TABLE.read_bytes(), "image/jpeg")["id"]
    b.go(page, app, f"#photo/{photo}")
    page.wait_for_selector(".empty-panel")
    truth = np.asarray(Image.open(TABLE.with_name("masks.png"))) == 1
    height, width = truth.shape
    step = max(height, width) / 40
    left, top, right, bottom = BOTTLE
    page.focus("#mask-canvas")
    page.keyboard.press("b")
    page.keyboard.press("ArrowLeft")
    presses(page, "ArrowLeft", round((width / 2 - left) / step) - 1)
    presses(page, "ArrowUp", round((height / 2 - top) / step))
    page.keyboard.press("Enter")
    presses(page, "ArrowRight", round((right - left) / step))
    presses(page, "ArrowDown", round((bottom - top) / step))
    shot(page, "51-a-box-by-keys")
    page.keyboard.press("Enter")
    b.masks_ready(page, 1)
    assert iou(labels(page) == 1, truth) > 0.8
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => /^#(job|scene)/.test(location.hash)")


def test_objects_are_moved_turned_and_scaled_by_keys(page, app):
    b.go(page, app, f"#scene/{app.scene()}")
    b.scene_ready(page, 3)
    found, there = walked(page)
    assert sorted(found) == sorted(there)
    assert in_order(
        found,
        ["home", "step-scene", "Select (V)", "3D view of the scene", "Front"]
        + ["Compare", "chair", "Save GLB"],
    )
    page.focus("#scene-panel .row .pick")
    page.keyboard.press("Enter")
    chosen = b.state(page)["selected"]
    for key, tool in (("w", "translate"), ("e", "rotate"), ("r", "scale")):
        before = np.array(instance_of(page, chosen)["world_from_instance"])
        page.keyboard.press(key)
        page.focus("#view-a canvas")
        version = state_of(page)["version"]
        page.keyboard.press("Shift+ArrowRight")  # five steps
        next_version(page, version)
        after = np.array(instance_of(page, chosen)["world_from_instance"])
        sizes = [np.cbrt(np.linalg.det(matrix[:3, :3])) for matrix in (before, after)]
        moved = np.linalg.norm(after[:3, 3] - before[:3, 3]) > 0.02
        turned = not np.allclose(after[:3, :3] / sizes[1], before[:3, :3] / sizes[0], atol=0.1)
        assert (moved, turned, sizes[1] / sizes[0] > 1.1) == (
            tool == "translate",
            tool == "rotate",
            tool == "scale",
        )
        version = state_of(page)["version"]
        page.keyboard.press("Control+z")
        next_version(page, version)
    page.keyboard.press("F2")
    page.keyboard.type("throne")
    page.keyboard.press("Escape")
    assert b.state(page)["selected"] == chosen
    page.focus("#view-a canvas")
    page.keyboard.press("Escape")
    assert b.state(page)["selected"] is None
