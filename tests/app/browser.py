"""The real page in headless Chromium, on a real server with tiny networks."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# milliseconds; WebGL is drawn by the processor here, and more is needed where others use it, too
PATIENCE = int(os.environ.get("MAQUETTE_PATIENCE", 90_000))


class App:
    """``maquette app`` as a process of its own; can be killed and started again on the
    same data.
    """

    def __init__(self, data: Path, weights: Path):
        self.command = [
            sys.executable,
            "-m",
            "maquette",
            "app",
            "--no-browser",
            "--data",
            str(data),
            "--weights",
            str(weights),
            "--port",
        ]
        self.port = "0"
        self.start()

    def start(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*self.command, self.port], stdout=subprocess.PIPE, text=True, env=environment
        )
        self.address = self.process.stdout.readline().split(": ", 1)[1].strip().rstrip("/")
        self.port = self.address.rsplit(":", 1)[1]

    def stop(self, kill=False):
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(30)
        self.process.stdout.close()

    def call(self, path, body=None, content_type="application/json"):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def example(self, name="demo"):
        """The id of a new photo with masks."""
        return self.call(f"/api/examples/{name}/open", {})["id"]

    def scene(self, **options):
        """The id of a new scene of an example with three objects."""
        photo = self.example()
        state = self.call(f"/api/photos/{photo}/masks")
        self.call(
            f"/api/photos/{photo}/masks/edits",
            {"version": state["version"], "edit": {"kind": "delete", "labels": [3, 5]}},
        )
        return self.made(photo, **options)

    def made(self, photo, **options):
        job = self.call("/api/jobs", {"photo": photo, "options": options | {"steps": 1}})["id"]
        with urllib.request.urlopen(f"{self.address}/api/jobs/{job}/events", timeout=120) as events:
            for line in events:
                if line.startswith(b"event: end"):
                    return json.loads(next(events)[6:])["scene"]
        raise AssertionError("the job has no end")


@contextlib.contextmanager
def tab(browser, app, **settings):
    """A page in a fresh profile that fails the test on errors of its scripts, blocked content and
    requests to anywhere else.
    """
    settings = {
        "viewport": {"width": 1280, "height": 720},
        "reduced_motion": "reduce",
        "accept_downloads": True,
    } | settings
    context = browser.new_context(**settings)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on(
        "console",
        lambda said: wrong.extend(
            [said.text] * (said.type == "error" and "status of 4" not in said.text)
        ),
    )
    page.on(
        "request",
        lambda sent: wrong.extend(
            [sent.url] * (not sent.url.startswith((app.address, "blob:", "data:")))
        ),
    )
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def go(page, app, where=""):
    page.goto(f"{app.address}/{where}")


def until(page, check):
    """Wait until something of the page that takes a promise to find out is so."""
    for _ in range(PATIENCE // 50):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came")


def arrived(page, where):
    """Wait until the page's address names this."""
    page.wait_for_function("(where) => location.hash.startsWith('#' + where)", arg=where)


def masks_ready(page, count=None):
    """Wait until the photo's edits are done; with a count, until there are so many objects."""
    page.wait_for_function(
        "() => document.getElementById('mask-stage').getAttribute('aria-busy') === 'false'"
    )
    if count is not None:
        page.wait_for_function(
            "(count) => document.querySelectorAll('#mask-list .row').length === count", arg=count
        )


def at(page, x, y):
    """The point of the window where a photo pixel is drawn; the photo is fitted."""
    return page.evaluate(
        """async ([x, y]) => {
      const { photo } = (await import('/app/store.js')).store.get();
      const place = document.getElementById('mask-canvas').getBoundingClientRect();
      const scale = Math.min((place.width - 72) / photo.width, (place.height - 112) / photo.height);
      return [place.left + (place.width - photo.width * scale) / 2 + x * scale,
              place.top + (place.height - photo.height * scale) / 2 + 10 + y * scale];
    }""",
        [x, y],
    )


def drag(page, start, end, steps=4):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=steps)
    page.mouse.up()


def state(page):
    """The page's store, as JSON."""
    return page.evaluate(
        "async () => JSON.parse(JSON.stringify((await import('/app/store.js')).store.get()))"
    )


def scene_ready(page, count, view="view-a"):
    """Wait until a view shows so many objects, and has drawn them."""
    page.wait_for_function(
        "([view, count]) => document.getElementById(view).viewer?.labels().length === count",
        arg=[view, count],
    )
    page.evaluate(
        """(view) => new Promise((done) => {
      const { viewer } = document.getElementById(view);
      const stop = viewer.on('drawn', () => { stop(); done(); });
      viewer.invalidate();
    })""",
        view,
    )


def on_screen(page, point, view="view-a"):
    """Where a point of the scene frame is drawn in the window."""
    return page.evaluate(
        """async ([view, point]) => {
      const { viewer } = document.getElementById(view);
      const { Vector3 } = await import('/three/three.module.min.js');
      viewer.eye.project();
      const p = new Vector3(...point).project(viewer.camera);
      const place = viewer.canvas.getBoundingClientRect();
      return [place.left + (p.x + 1) / 2 * place.width, place.top + (1 - p.y) / 2 * place.height];
    }""",
        [view, point],
    )


def nameless_controls(page):
    """Controls that a screen reader could not name, by the browser's own accessibility tree."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "button",
        "textbox",
        "slider",
        "spinbutton",
        "combobox",
        "checkbox",
        "radio",
        "link",
        "menuitem",
        "image",
        "dialog",
    }
    shown = [node for node in nodes if not node.get("ignored") and node["role"]["value"] in roles]
    return [node["role"]["value"] for node in shown if not node.get("name", {}).get("value")]
