"""Making a scene in the browser: it grows, can be stopped and tried again, and survives
the server.
"""

import numpy as np

from tests.app import browser as b
from tests.app.page.steps import IN_A_BROWSER, centre, labels, shot, slow, state_of

pytestmark = IN_A_BROWSER


def test_the_scene_grows_while_it_is_made_and_is_found_again(page, app, scene):
    b.go(
        page, app, f"#scene/{scene}"
    )  # so that the browser has its shaders, whose making takes it seconds without a graphics card
    b.scene_ready(page, 3)
    b.go(page, app, f"#photo/{app.example('garden')}")
    b.masks_ready(page, 5)
    page.evaluate("""async () => {
      const { store } = await import('/app/store.js');
      window.seen = [];
      store.watch(["job"], ({ job }) => {
        if (job) window.seen.push([job.instances.length, job.progress?.stage ?? "", job.progress?.overall ?? 0]);
        if (job) window.asked = job.options;
      });
    }""")
    page.fill("#make [aria-label=Seed]", "5")
    page.fill(
        "#make [aria-label=Steps]", "60"
    )  # slow enough for a browser whose pictures are drawn by the processor
    page.click("text=Known depth and camera")
    assert page.is_checked("text=Floor and walls")
    page.uncheck("text=Floor and walls")
    shot(page, "08-known-depth")
    page.click("text=Make the scene")
    page.wait_for_selector("#progress progress")
    assert page.evaluate("window.asked.room") is False
    shot(page, "09-being-made")
    b.arrived(page, "scene")
    b.scene_ready(page, 5)
    seen = page.evaluate("window.seen")
    counts = [one[0] for one in seen]
    overall = [one[2] for one in seen]
    assert {1, 2, 3, 4, 5} <= set(counts) and counts == sorted(counts)
    assert overall == sorted(overall) and len({one[1] for one in seen}) >= 3
    assert (
        state_of(page)["provenance"]["options"] | {"seed": 5, "steps": 60}
        == state_of(page)["provenance"]["options"]
    )
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
    page.wait_for_function(
        "(job) => location.hash.startsWith('#job/') && !location.hash.endsWith(job)", arg=job
    )
    page.wait_for_selector("#progress progress")
    page.click("#progress button:has-text('Cancel')")
    page.wait_for_selector("#progress :text('Cancelled')")


def test_nothing_is_lost_when_the_server_is_killed(browser, app):
    with b.tab(browser, app) as page:
        photo = app.example("table")
        b.go(page, app, f"#photo/{photo}")
        b.masks_ready(page, 5)
        whole = labels(page)
        page.keyboard.press("v")
        page.mouse.click(*b.at(page, *centre(whole == 1)))
        page.keyboard.press("Delete")
        b.masks_ready(page, 4)
        edited = labels(page)
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
        assert np.array_equal(labels(page), edited) and not np.array_equal(edited, whole)
        page.keyboard.press("Control+z")
        b.masks_ready(page, 5)
        assert np.array_equal(labels(page), whole)
        b.go(page, app)
        page.wait_for_selector(".badge:text('interrupted')")
        shot(page, "26-after-a-restart")
