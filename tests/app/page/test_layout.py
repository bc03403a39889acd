"""The page at four widths, in light and dark: nothing overlaps, nothing is cut off, lists have room.
Measured in the page itself; and axe-core's rules, where it is installed (npm install axe-core).
"""

import json
import os
from pathlib import Path

import pytest

from tests.app import browser as b
from tests.app.page.steps import IN_A_BROWSER, shot

pytestmark = IN_A_BROWSER
SIZES = [(390, 780), (820, 1180), (1280, 720), (1920, 1000)]
LEAST_LIST = 90  # CSS pixels of the panel's list that are seen
MEASURE = """(least) => {
  const wrong = [];
  const seen = (e) => e.offsetParent !== null && e.getBoundingClientRect().width > 0;
  const said = (e) => e.id || e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40);
  for (const e of document.querySelectorAll('button, h1, h2, label, .inset, .bar, .panel')) {
    if (!seen(e)) continue;
    const r = e.getBoundingClientRect();
    const along = e.closest('.options, .segments'); // these scroll sideways
    const down = e.closest('.panel, .start');
    if (!along && (r.left < -1 || r.right > innerWidth + 1)) wrong.push(`outside: ${said(e)}`);
    if (!along && !down && r.bottom > innerHeight + 1) wrong.push(`below: ${said(e)}`);
    const panel = e.closest('.save, .make, .panel-scroll'), box = panel?.getBoundingClientRect();
    const end = box?.width && box.right - parseFloat(getComputedStyle(panel).paddingRight);
    if (end && r.right > end + 1) wrong.push(`over the edge: ${said(e)}`);
    const ellipsis = getComputedStyle(e).textOverflow === 'ellipsis';
    if (/^(BUTTON|H1|H2)$/.test(e.tagName) && !ellipsis && e.scrollWidth > e.clientWidth + 1)
      wrong.push(`clipped: ${said(e)}`);
  }
  const floats = [...document.querySelectorAll('.float, .stage-hint')].filter(seen);
  floats.forEach((one, k) => floats.slice(0, k).forEach((other) => {
    const [p, q] = [one, other].map((e) => e.getBoundingClientRect());
    if (p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom)
      wrong.push(`overlap: ${said(one)} and ${said(other)}`);
  }));
  for (const e of document.querySelectorAll('.list')) {
    if (e.closest('.panel') && seen(e)) {
      const r = e.getBoundingClientRect();
      let room = 0; // what covers the list counts, too
      for (let y = r.top; y < Math.min(r.bottom, innerHeight); y += 2)
        room += 2 * e.contains(document.elementFromPoint(r.left + 24, y));
      if (room < least) wrong.push(`a list of ${Math.round(room)} pixels`);
    }
  }
  for (const e of document.querySelectorAll('.options'))
    if (seen(e) && e.scrollWidth > e.clientWidth + 1) wrong.push(`cut off: ${said(e)}`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page scrolls sideways');
  return wrong;
}"""


def screens(page, app, scene):
    """Every screen, ready to be measured."""
    b.go(page, app)
    page.wait_for_selector("#examples .card img")
    yield "start"
    b.go(page, app, f"#photo/{app.example()}")
    b.masks_ready(page, 5)
    yield "masks"
    b.go(page, app, f"#scene/{scene}")
    b.scene_ready(page, 3)
    yield "scene"
    page.click("#scene-panel .row .pick")
    b.scene_ready(page, 3)
    yield "selected"


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_overlaps_and_nothing_is_cut_off(browser, app, scene, width, height, colours):
    look = {"viewport": {"width": width, "height": height}, "color_scheme": colours}
    with b.tab(browser, app, has_touch=width < 1000, **look) as page:
        for name in screens(page, app, scene):
            shot(page, f"40-{name}-{width}-{colours}")
            assert page.evaluate(MEASURE, LEAST_LIST) == [], name


def test_a_finished_scene_turns_on_its_ground_with_the_photo_beside_it(browser, app, scene):
    with b.tab(browser, app, reduced_motion="no-preference") as page:
        b.go(page, app, f"#scene/{scene}")
        b.scene_ready(page, 3)
        assert page.get_by_role("button", name="Turn", exact=True).get_attribute("aria-pressed")
        assert b.state(page)["turning"] and page.locator(".inset img").is_visible()
        page.keyboard.press("p")
        page.wait_for_selector("#view-a .viewer-photo:visible")
        assert not b.state(page)["turning"]
        assert page.locator(".inset").get_attribute("aria-pressed") == "true"
        page.locator(".inset").click()
        page.wait_for_function("() => document.querySelector('#view-a').viewer.turning")


@pytest.mark.skipif(not os.environ.get("AXE"), reason="AXE names no axe.min.js of axe-core")
def test_axe_finds_no_violation(page, app, scene):
    for name in screens(page, app, scene):
        page.evaluate(Path(os.environ["AXE"]).read_text(encoding="utf-8"))
        found = page.evaluate("async () => (await axe.run()).violations")
        told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
        assert told == [], f"{name}: {json.dumps(told, indent=1)}"
