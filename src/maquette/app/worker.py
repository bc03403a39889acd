"""The process that makes scenes, one at a time: ``python -m maquette.app.worker``. Killing it is
how a job is cancelled.

Requests come as JSON lines on stdin and answers go as JSON lines to what was stdout; whatever else
prints goes to stderr. Weights stay loaded between jobs. It ends when stdin does, and with its
server, which runs it by way of maquette.processes.

    -> {"do": "generate", "folder": job folder with image.png and masks.npz, "options": {...},
      "source": name}
    -> {"do": "regenerate", "folder": job folder, "scene": scene folder, "document": {...}, "label":
      3, "options": {...}}
    <- {"say": "hello", "capabilities": {...}}            once
    <- {"say": "progress", "stage", "share", "instance", "attempt"}, {"say": "instance", "label",
    "name", "attempt", "world_from_instance"}
    <- {"say": "done", "seconds", "failures", "warnings"} or {"say": "failed", "message"}
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maquette.app import pictures
from maquette.batch.run import PICTURE_ERRORS
from maquette.checkpoints.catalogue import default_root, is_here, release
from maquette.checkpoints.embedded import FILES, embedded_folder, load_models
from maquette.export.glb import mesh_glb_bytes
from maquette.images import read_masks
from maquette.images.diagnose import diagnose
from maquette.options import EMBEDDED
from maquette.pipeline import METHODS, PUBLISHED, Options, generate, load_for, regenerate
from maquette.scene.document import save, scene_of
from maquette.scene.fields import Fields
from maquette.types import Focal, Instance, SceneInput

INTERVAL = 0.1  # seconds between two messages of progress in one stage
TITLES = {
    "iscene": "I-Scene",
    "midi": "MIDI",
    "coherent": "Coherent",
    "comboverse": "ComboVerse",
    "independent": "Independent",
}

JsonObject = dict[str, Any]
Say = Callable[..., None]


class Reporter:
    """Tells how far a job is and hands over each object as soon as it is made."""

    def __init__(self, say: Say, folder: Path, labels: list[int]) -> None:
        self.say = say
        self.folder = folder
        self.labels = labels
        self.attempt = 1
        self.made = set[int]()
        self.last = 0.0
        self.stage = ""

    def progress(self, stage: str, share: float) -> None:
        """A stage and the share of it that is done."""
        if stage == self.stage and time.monotonic() - self.last < INTERVAL and share < 1.0:
            return
        self.stage, self.last, k = stage, time.monotonic(), len(self.made) % len(self.labels)
        busy = stage in ("objects", "alone") and share < 1.0
        instance = (
            {"label": self.labels[k], "index": k + 1, "of": len(self.labels)} if busy else None
        )
        self.say(
            "progress",
            stage=stage,
            share=round(float(share), 4),
            instance=instance,
            attempt=self.attempt,
        )

    def instance(self, instance: Instance) -> None:
        """An object, before its self-check. While a layout is found it only moves; turned and
        scaled it is seen in the finished scene.
        """
        if self.stage != "layout":
            if instance.label in self.made:
                self.attempt = self.attempt + 1
                self.made = set()
            self.made.add(instance.label)
            pictures.write(
                self.folder / "instances" / f"{instance.label}_{self.attempt}.glb",
                mesh_glb_bytes(instance),
            )
        self.say(
            "instance",
            label=instance.label,
            name=instance.name,
            attempt=self.attempt,
            world_from_instance=instance.world_from_instance.tolist(),
        )


def make(request: JsonObject, models: Any, say: Say) -> None:
    """A scene of a photo and its masks, saved in ``result`` of the job's folder."""
    folder = Path(request["folder"])
    options = Options(**request["options"])
    masks = read_masks(folder / "masks.npz")
    warnings = tuple(sentence for diagnosis in diagnose(masks) for sentence in diagnosis.warnings)
    told = folder / pictures.FOCAL
    focal = Focal(**json.loads(told.read_bytes())) if told.exists() else None
    given = SceneInput(
        pictures.read_picture(folder / "image.png"), masks, request["source"], warnings, focal
    )
    reporter = Reporter(say, folder, [m.label for m in masks])
    reporter.progress("load", 0.0)
    scene = generate(
        given,
        models=models,
        progress=reporter.progress,
        on_instance=reporter.instance,
        **dataclasses.asdict(options),
    )
    reporter.progress("write", 0.0)
    save(scene, folder / "result" / "scene.json")
    say(
        "done",
        seconds=scene.provenance["seconds"],
        failures=[dataclasses.asdict(f) for f in scene.failures],
        warnings=list(warnings),
    )


def remake(request: JsonObject, models: Any, say: Say) -> None:
    """One object of a scene anew, saved alone in ``result`` of the job's folder."""
    folder = Path(request["folder"])
    label = request["label"]
    options = {
        key: value for key, value in request["options"].items() if key not in ("model", "method")
    }
    reporter = Reporter(say, folder, [label])
    reporter.progress("load", 0.0)
    scene = scene_of(Fields(Path(request["scene"]) / "scene.json", request["document"]))
    start = time.perf_counter()
    reporter.progress("objects", 0.0)
    made = regenerate(scene, label, models=models, **options)[label]
    reporter.instance(made)
    reporter.progress("write", 0.0)
    save(
        dataclasses.replace(scene, instances=(made,), failures=(), input=None),
        folder / "result" / "scene.json",
    )
    say(
        "done", seconds={"objects": round(time.perf_counter() - start, 3)}, failures=[], warnings=[]
    )


def capabilities(folders: dict[str, Path]) -> JsonObject:
    """What this machine and these weights can do; the first model is the default. A published model
    that was fetched is its own method.
    """
    models = [
        {
            "name": name,
            "title": "Embedded weights" if name == EMBEDDED else name,
            "methods": _able(folder),
        }
        for name, folder in folders.items()
    ]
    models = [model for model in models if model["methods"]]
    fetched = [name for name in PUBLISHED if is_here(release(name), default_root())]
    usable = {name for model in models for name in model["methods"]}
    methods = [
        {
            "name": name,
            "title": TITLES.get(name, name),
            "about": _about(method.make),
            "default": name == "iscene",
            "steps": method.sampling.steps,
            "guidance": method.sampling.guidance,
        }
        for name, method in METHODS.items()
        if name in usable
    ]
    methods += [
        {
            "name": name,
            "title": name,
            "about": _about(PUBLISHED[name].make),
            "default": False,
            "steps": None,
            "guidance": None,
        }
        for name in fetched
    ]
    models += [
        {"name": name, "title": f"{name} (published)", "methods": [name]} for name in fetched
    ]
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return {
        "methods": methods,
        "models": [{**model, "default": k == 0} for k, model in enumerate(models)],
        "devices": [name for name, found in there.items() if found],
    }


def _able(folder: Path) -> list[str]:
    return [
        name
        for name in METHODS
        if all((folder / FILES[kind]).exists() for kind in Options(method=name).kinds())
    ]


def weights_for(options: JsonObject, folders: dict[str, Path], loaded: dict[str, Any]) -> Any:
    """The weights of a request's model, loaded once; the options become those of the pipeline.
    Raises CheckpointError.
    """
    name = options.pop("model")
    if name in PUBLISHED:
        options |= {"model": name, "method": Options().method}
    if name not in loaded:
        embedded = folders.get(name) == embedded_folder()
        loaded[name] = (
            load_for(Options(model=name))
            if name in PUBLISHED
            else load_models(None if embedded else folders[name])
        )
    return loaded[name]


def _about(function: Callable[..., Any]) -> str:
    text = (
        (sys.modules[function.__module__].__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    )
    return text.partition(": ")[2] or text


def main(arguments: list[str] | None = None) -> int:
    """Work until stdin ends."""
    parser = argparse.ArgumentParser(
        description="Makes scenes for maquette app, which starts it; not for people."
    )
    parser.add_argument("--weights", action="append", default=[], type=Path)
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not look like an answer

    def say(what: str, **values: Any) -> None:
        answers.write(json.dumps({"say": what, **values}, separators=(",", ":")) + "\n")

    folders = {path.resolve().name: path for path in parser.parse_args(arguments).weights}
    if (embedded_folder() / "manifest.json").exists():
        folders.setdefault(EMBEDDED, embedded_folder())
    loaded: dict[str, Any] = {}
    say("hello", capabilities=capabilities(folders))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            models = weights_for(request["options"], folders, loaded)
            (make if request["do"] == "generate" else remake)(request, models, say)
        except PICTURE_ERRORS as error:
            say("failed", message=str(error) or type(error).__name__)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt):  # the server has gone
        os._exit(1)
