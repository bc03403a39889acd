"""Speaks the language of ``maquette.app.worker`` without loading anything: ``fake_worker.py
FOLDER MACHINE``, with a saved scene to hand out.

What happens is chosen by ``steps``: 100 takes for ever, 99 ends with an error, 98 cannot do it, 97
dies half-way, anything else works."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

TEMPLATE = Path(sys.argv[1])
MACHINE = sys.argv[2]  # as in the names of temporary files
CAPABILITIES = {
    "methods": [
        {
            "name": name,
            "title": name,
            "about": "Fake.",
            "default": name == "iscene",
            "steps": 6,
            "guidance": 1.0,
        }
        for name in ("iscene", "midi")
    ],
    "models": [
        {"name": "embedded", "title": "Fake", "methods": ["iscene", "midi"], "default": True},
        {"name": "other", "title": "Other", "methods": ["midi"], "default": False},
    ],
    "perceptions": ["embedded"],
    "devices": ["cpu"],
}


def say(what, **values):
    sys.stdout.write(json.dumps({"say": what, **values}) + "\n")
    sys.stdout.flush()


def save(result, labels):
    shutil.copytree(TEMPLATE, result)
    document = json.loads((result / "scene.json").read_text())
    pattern = document["instances"][0]
    document["instances"] = []
    for label in labels:
        entry = {
            **pattern,
            "label": label,
            "node": f"instance_{label}",
            "seed": time.monotonic_ns() % 2**32,
        }
        for key in ("mesh", "state"):
            entry[key] = f"scene_files/made_{label}{Path(pattern[key]).suffix}"
            shutil.copy(result / pattern[key], result / entry[key])
        document["instances"].append(entry)
    (result / "scene.json").write_text(json.dumps(document))


def work(request):
    folder = Path(request["folder"])
    steps = request["options"].get("steps")
    labels = [request["label"]] if request["do"] == "regenerate" else [1, 2]
    say("progress", stage="perceive", share=0.0, instance=None, attempt=1)
    if steps == 100:
        (folder / "instances" / f".maquette-{MACHINE}-{os.getpid()}-0123456789ab.glb").write_bytes(
            b"half"
        )
        time.sleep(600)
    if steps == 99:
        sys.exit(3)
    if steps == 98:
        say("failed", message="the photo: no object could be made (1: too dark)")
        return
    for k, label in enumerate(labels):
        say(
            "progress",
            stage="objects",
            share=k / len(labels),
            instance={"label": label, "index": k + 1, "of": len(labels)},
            attempt=1,
        )
        (folder / "instances" / f"{label}_1.glb").write_bytes(b"glTF fake")
        say(
            "instance",
            label=label,
            name="",
            attempt=1,
            world_from_instance=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        )
        if steps == 97:
            os.kill(os.getpid(), signal.SIGKILL)
    save(Path(request["result"]), labels)
    say("done", seconds={"sample": 0.01}, failures=[], warnings=["it is fake"])


def work_together(requests):
    """What happens to each is chosen by its ``seed``: 100 goes on until it is dropped, 98 cannot be
    done, 97 ends the process, anything else works.
    """
    waiting = []
    for number, request in enumerate(requests):
        seed = request["options"]["seed"]
        say("progress", number=number, stage="perceive", share=0.0, instance=None, attempt=1)
        if seed == 97:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 98:
            say("failed", number=number, message="the photo: no object could be made")
        elif seed == 100:
            waiting.append(number)
        else:
            save(Path(request["result"]), [1, 2])
            together = {"sample": float(len(requests))}
            say("done", number=number, seconds=together, failures=[], warnings=[])
    while waiting:
        order = json.loads(sys.stdin.readline())
        for number in list(waiting):
            if order["do"] == "drop" and order["folder"] == requests[number]["folder"]:
                waiting.remove(number)
                say("failed", number=number, message="dropped")


say("hello", capabilities=CAPABILITIES, together={"methods": ["iscene"], "most": 1})
for line in iter(sys.stdin.readline, ""):
    order = json.loads(line)
    if order["do"] == "together":
        work_together(order["requests"])
    elif order["do"] != "drop":
        work(order)
