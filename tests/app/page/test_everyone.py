"""The page for everyone: names and focus for screen readers and keyboards, dark and
light, fingers.
"""

from tests.app import browser as b
from tests.app.page.steps import IN_A_BROWSER, centre, labels, shot

pytestmark = IN_A_BROWSER


def test_every_control_has_a_name_and_the_focus_is_seen(page, app, scene):
    for where, ready in (
        ("", "#recent .card"),
        (f"#photo/{app.example()}", "#mask-list .row"),
        (f"#scene/{scene}", "#scene-panel .row"),
    ):
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


def test_the_focus_follows_the_screen_and_the_skip_link_stays_on_it(page, app):
    b.go(page, app)
    page.wait_for_selector("#examples .card img")
    page.focus("#examples .card .open")
    page.keyboard.press("Enter")
    b.arrived(page, "photo")
    b.masks_ready(page, 5)
    assert page.evaluate("document.activeElement.id") == "main"
    address = page.url
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.url == address and page.evaluate("document.activeElement.id") == "main"


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
        for kind, spread in (
            ("touchStart", 40),
            ("touchMove", 70),
            ("touchMove", 100),
            ("touchEnd", None),
        ):
            points = (
                []
                if spread is None
                else [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
            )
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_function(
            "(before) => document.getElementById('zoom-fit').textContent !== before", arg=before
        )
        assert float(page.locator("#zoom-fit").inner_text().split()[0]) > 2 * float(
            before.split()[0]
        )
        b.go(page, app, f"#scene/{scene}")
        b.scene_ready(page, 3)
        shot(page, "31-tablet-scene")
        assert page.evaluate("document.documentElement.scrollWidth") <= 820
