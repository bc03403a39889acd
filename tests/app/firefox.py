"""The page in headless Firefox, by the protocol that it speaks itself (Marionette: JSON in frames
of ``length:content`` over a socket, with the commands of WebDriver), without a driver between.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

FIREFOX = shutil.which("firefox")
PATIENCE = 180  # seconds
PREFERENCES = {
    "marionette.port": None,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.disabledForTesting": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "webgl.force-enabled": True,
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Firefox:
    """A browser with a fresh profile."""

    def __init__(self, profile: Path):
        port = free_port()
        profile.mkdir(parents=True)
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(port if value is None else value)});"
            for name, value in PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **quiet)
        self.number = 0
        self.socket = self.connected(port)
        self.line = self.socket.makefile("rwb")
        self.frame()  # says who it is
        timeouts = {"script": 1000 * PATIENCE, "pageLoad": 1000 * PATIENCE}
        self.call("NewSession", capabilities={"alwaysMatch": {"timeouts": timeouts}})
        self.call("SetWindowRect", width=1280, height=820)

    def connected(self, port):
        for _ in range(10 * PATIENCE):
            try:
                return socket.create_connection(("127.0.0.1", port), PATIENCE)
            except ConnectionRefusedError:
                assert self.process.poll() is None, "Firefox has ended"
                time.sleep(0.1)
        raise AssertionError("Firefox does not listen")

    def frame(self):
        length = b""
        while (digit := self.line.read(1)) != b":":
            length += digit
        return json.loads(self.line.read(int(length)))

    def call(self, command, **parameters):
        self.number += 1
        content = json.dumps([0, self.number, f"WebDriver:{command}", parameters]).encode()
        self.line.write(b"%d:%s" % (len(content), content))
        self.line.flush()
        _, number, error, result = self.frame()
        assert number == self.number and error is None, error
        return result

    def go(self, address):
        self.call("Navigate", url=address)

    def run(self, script, *arguments):
        """What the body of a function returns; promises are waited for."""
        body = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...arguments).then(done, "
            "(error) => done({ failed: String(error) }));"
        )
        value = self.call("ExecuteAsyncScript", script=body, args=list(arguments))["value"]
        assert not (isinstance(value, dict) and "failed" in value), value
        return value

    def until(self, script, *arguments):
        end = time.monotonic() + PATIENCE
        while not self.run(script, *arguments):
            assert time.monotonic() < end, script
            time.sleep(0.2)

    def press(self, selector):
        """Click an element with the pointer, where it is seen."""
        found = self.call("FindElement", using="css selector", value=selector)["value"]
        self.call("ElementClick", id=next(iter(found.values())))

    def drag(self, start, end):
        steps = [
            {"type": "pointerMove", "x": round(start[0]), "y": round(start[1])},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": round(end[0]), "y": round(end[1]), "duration": 100},
            {"type": "pointerUp", "button": 0},
        ]
        pointer = {"type": "pointer", "id": "mouse", "actions": steps}
        self.call("PerformActions", actions=[pointer])

    def screenshot(self):
        return base64.b64decode(self.call("TakeScreenshot", full=False)["value"])

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.line.close()
        self.socket.close()
