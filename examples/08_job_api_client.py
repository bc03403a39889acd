"""Use a running `maquette app` from a program: send a photo with its masks, follow the job, fetch
the scene.

Start the server first, in another terminal: `maquette app --no-browser`. Uses the picture of
example 01; needs nothing but Python.
"""

import json
import os
import urllib.request
import uuid
from pathlib import Path

SERVER = os.environ.get("MAQUETTE_URL", "http://127.0.0.1:8765")


def call(path, body=None, content_type="application/json"):
    """One request; the answer is an open stream."""
    headers = {"Content-Type": content_type} if body else {}
    if token := os.environ.get(
        "MAQUETTE_TOKEN"
    ):  # a server that other machines can reach asks for one
        headers["Authorization"] = f"Bearer {token}"
    return urllib.request.urlopen(urllib.request.Request(SERVER + path, body, headers))


def form(files, **fields):
    """A multipart body of {field: path} and texts, and its content type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    for name, path in files.items():
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="{Path(path).name}"\r\n\r\n'
        )
        parts.append(head.encode() + Path(path).read_bytes() + b"\r\n")
    return b"".join(
        [*parts, f"--{boundary}--\r\n".encode()]
    ), f"multipart/form-data; boundary={boundary}"


def events(path):
    """The server-sent events of a stream as (name, data)."""
    name = ""
    for line in call(path):
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


with call(
    "/api/jobs",
    *form({"photo": "photo.png", "masks": "masks.png"}, options=json.dumps({"seed": 0})),
) as answer:
    job = json.load(answer)

for name, data in events(f"/api/jobs/{job['id']}/events"):
    if name == "progress":
        print(f"{100 * data['overall']:3.0f} %  {data['stage']}")
    elif name == "instance":
        print(f"       object {data['label']} is there: {data['glb']}")

if data["state"] != "done":  # the last event says how it ended
    raise SystemExit(
        f"the job {data['state']}: {json.load(call('/api/jobs/' + job['id']))['error']}"
    )
with call(f"/api/scenes/{data['scene']}/export?format=glb") as answer:
    Path("from_server.glb").write_bytes(answer.read())
print("from_server.glb written")
