"""The process that makes scenes, one at a time: ``python -m maquette.app.worker``. Killing it is
how a job is cancelled.

Requests come as JSON lines on stdin and answers go as JSON lines to what was stdout; whatever else
prints goes to stderr. Weights stay loaded between jobs. It ends when stdin does, and with its
server, which runs it by way of maquette.execute.processes.

    -> {"do": "generate", "folder": job folder with image.png and masks.npz, "result": folder for
      the scene, "options": {...}, "source": name}
    -> {"do": "regenerate", "folder", "result", "scene": scene folder, "document": {...}, "label":
      3, "options": {...}}
    -> {"do": "together", "requests": [...]}: some of the first kind, whose answers then have a
      "number"; {"do": "drop", "folder"}: not this one of them
    <- {"say": "hello", "capabilities": {...}, "together": {"methods": [...], "most": 1}}      once
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
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from maquette.app import pictures
from maquette.app.known import KNOWN, with_known
from maquette.batch.run import PICTURE_ERRORS
from maquette.checkpoints.catalogue import (
    HUB_MODELS,
    default_root,
    hub_folder,
    is_here,
    release,
)
from maquette.checkpoints.embedded import FILES, embedded_folder, load_models
from maquette.document.fields import Fields
from maquette.document.scene_json import save, scene_of
from maquette.errors import InputError, MaquetteError
from maquette.export.glb import mesh_glb_bytes
from maquette.export.room import with_room
from maquette.hardware import choose_device
from maquette.masks import read_masks
from maquette.masks.diagnose import diagnose
from maquette.methods.together import SharedWeights, gains_by_company, lockstep
from maquette.options import EMBEDDED
from maquette.pipeline import METHODS, PUBLISHED, generate, regenerate
from maquette.recipe import Options, load_for, open_perception
from maquette.types import Instance, JsonObject, SceneInput

USUAL_BATCH = 8  # photos, on a graphics card
MEMORY_ERRORS = (MemoryError, torch.OutOfMemoryError)
INTERVAL = 0.1  # seconds between two messages of progress in one stage
STAGES_OF_OBJECTS = ("objects", "alone")
TITLES = {
    "iscene": "I-Scene",
    "midi": "MIDI",
    "coherent": "Coherent",
    "comboverse": "ComboVerse",
    "independent": "Independent",
}

Say = Callable[..., None]


class Reporter:
    """Tells how far a job is and hands over each object as soon as it is made."""

    def __init__(
        self,
        say: Say,
        folder: Path,
        labels: list[int],
    ) -> None:
        self.say = say
        self.folder = folder
        self.labels = labels
        self.attempt = 1
        self.made = set[int]()
        self.last = 0.0
        self.stage = ""

    def progress(self, stage: str, share: float) -> None:
        """A stage and the share of it that is done."""
        moment = time.monotonic()
        if stage == self.stage and moment - self.last < INTERVAL and share < 1.0:
            return
        self.stage = stage
        self.last = moment
        instance = None
        if stage in STAGES_OF_OBJECTS and share < 1.0:
            k = len(self.made) % len(self.labels)
            instance = {
                "label": self.labels[k],
                "index": k + 1,
                "of": len(self.labels),
            }
        share = round(float(share), 4)
        self.say(
            "progress",
            stage=stage,
            share=share,
            instance=instance,
            attempt=self.attempt,
        )

    def instance(self, instance: Instance) -> None:
        """An object, before its self-check. While a layout is found it only moves; turned and
        scaled it is seen in the finished scene.
        """
        label = instance.label
        if self.stage != "layout":
            if label in self.made:
                self.attempt += 1
                self.made = set()
            self.made.add(label)
            file = self.folder / "instances" / f"{label}_{self.attempt}.glb"
            pictures.write(file, mesh_glb_bytes(instance))
        self.say(
            "instance",
            label=label,
            name=instance.name,
            attempt=self.attempt,
            world_from_instance=instance.world_from_instance.tolist(),
        )


def make(request: JsonObject, models: Any, say: Say) -> None:
    """A scene of a photo and its masks, saved in its result folder."""
    folder = Path(request["folder"])
    given = input_of(folder, request["source"])
    reporter = Reporter(say, folder, [m.label for m in given.masks])
    reporter.progress("load", 0.0)
    options = dict(request["options"])
    wants_room = options.pop("room", True)
    scene = generate(
        given,
        models=models,
        progress=reporter.progress,
        on_instance=reporter.instance,
        **options,
    )
    reporter.progress("write", 0.0)
    if wants_room and given.geometry is not None and given.geometry.depth is not None:
        scene = with_room(scene)
    save(scene, Path(request["result"]) / "scene.json")
    failures = [dataclasses.asdict(failure) for failure in scene.failures]
    seconds = scene.provenance["seconds"]
    say(
        "done",
        seconds=seconds,
        failures=failures,
        warnings=list(given.warnings),
    )


class Company:
    """Scenes that are made together; each ends for itself."""

    def __init__(
        self,
        requests: Sequence[JsonObject],
        models: Any,
        say: Say,
    ) -> None:
        self._requests = requests
        self._models = models
        self._say = say
        self._meeting = lockstep()

    def drop(self, folder: str) -> None:
        """Stop making the scene of this folder."""
        for number, request in enumerate(self._requests):
            if request["folder"] == folder:
                self._meeting.drop(number)

    def make_all(self) -> None:
        """Make them; those for which there was no room in company are made alone then."""
        tasks = [partial(self._make, number) for number in range(len(self._requests))]
        for number, ending in enumerate(self._meeting.run(tasks)):
            try:
                if isinstance(ending, MEMORY_ERRORS):
                    make(self._requests[number], self._models, self._say_of(number))
                elif ending is not None:
                    self._fail(number, ending)
            except PICTURE_ERRORS as error:
                self._fail(number, error)

    def _make(self, number: int) -> Exception | None:
        request = self._requests[number]
        is_published = "model" in request["options"]  # see ``weights_for``
        models = self._models if is_published else SharedWeights(self._models, self._meeting)
        try:
            make(request, models, self._say_of(number))
        except PICTURE_ERRORS as error:
            return error
        return None

    def _say_of(self, number: int) -> Say:
        return partial(self._say, number=number)

    def _fail(self, number: int, error: Exception) -> None:
        self._say_of(number)("failed", message=said_of(error))


def said_of(error: Exception) -> str:
    """An error in one line."""
    return str(error) or type(error).__name__


def input_of(folder: Path, source: str) -> SceneInput:
    """What a job is made from: its photo and masks were read and checked when they came in."""
    masks = read_masks(folder / "masks.npz")
    warnings = [sentence for diagnosis in diagnose(masks) for sentence in diagnosis.warnings]
    focal = pictures.focal_of(folder)
    image = pictures.read_picture(folder / "image.png")
    return with_known(SceneInput(image, masks, source, tuple(warnings), focal), folder / KNOWN)


def remake(request: JsonObject, models: Any, say: Say) -> None:
    """One object of a scene anew, saved alone in its result folder."""
    folder = Path(request["folder"])
    label = request["label"]
    options = dict(request["options"])
    # the weights are loaded, and the scene knows its method and what was seen of its photo
    for key in ("model", "method", "perception", "room"):
        options.pop(key, None)
    reporter = Reporter(say, folder, [label])
    reporter.progress("load", 0.0)
    scene = scene_of(Fields(Path(request["scene"]) / "scene.json", request["document"]))
    start = time.perf_counter()
    reporter.progress("objects", 0.0)
    made = regenerate(scene, label, models=models, **options)[label]
    reporter.instance(made)
    reporter.progress("write", 0.0)
    alone = dataclasses.replace(
        scene,
        instances=(made,),
        around=(),
        failures=(),
        input=None,
    )
    save(alone, Path(request["result"]) / "scene.json")
    seconds = {"objects": round(time.perf_counter() - start, 3)}
    say(
        "done",
        seconds=seconds,
        failures=[],
        warnings=[],
    )


def capabilities(folders: dict[str, Path]) -> JsonObject:
    """What this machine and these weights can do; the first model is the default. A published model
    that was fetched is its own method.
    """
    fetched = [name for name in PUBLISHED if is_here(release(name), default_root())]
    models = [_model(name, _title(name), _able(folder)) for name, folder in folders.items()]
    models = [model for model in models if model["methods"]]
    usable = {name for model in models for name in model["methods"]}
    methods = [_method(name) for name in METHODS if name in usable]
    methods += [_published_method(name) for name in fetched]
    models += [_model(name, f"{name} (published)", [name]) for name in fetched]
    for k, model in enumerate(models):
        model["default"] = k == 0
    seen = [EMBEDDED, *(m.name for m in HUB_MODELS if m.gives == "depth" and _is_fetched(m.name))]
    return {
        "methods": methods,
        "models": models,
        "perceptions": seen,
        "devices": _devices(),
    }


def together() -> JsonObject:
    """Which methods gain by making several photos at once, and how many here."""
    methods = [name for name, method in METHODS.items() if gains_by_company(method)]
    is_processor = choose_device("auto").type == "cpu"
    return {"methods": methods, "most": 1 if is_processor else USUAL_BATCH}


def _is_fetched(name: str) -> bool:
    try:
        return hub_folder(name).is_dir()
    except InputError:
        return False


def _model(name: str, title: str, methods: list[str]) -> JsonObject:
    return {
        "name": name,
        "title": title,
        "methods": methods,
    }


def _title(name: str) -> str:
    return "Embedded weights" if name == EMBEDDED else name


def _method(name: str) -> JsonObject:
    method = METHODS[name]
    return {
        "name": name,
        "title": TITLES.get(name, name),
        "about": _about(method.make),
        "default": name == "iscene",
        "steps": method.sampling.steps,
        "guidance": method.sampling.guidance,
    }


def _published_method(name: str) -> JsonObject:
    shown = {
        "name": name,
        "title": name,
        "about": _about(PUBLISHED[name].make),
    }
    return {
        **shown,
        "default": False,
        "steps": None,
        "guidance": None,
    }


def _devices() -> list[str]:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    cards = torch.cuda.device_count() if there["cuda"] else 0
    numbered = [f"cuda:{card}" for card in range(cards) if cards > 1]
    return [*(name for name, found in there.items() if found), *numbered, "cpu"]


def _able(folder: Path) -> list[str]:
    """The methods for which a folder has all weights."""

    def has(name: str) -> bool:
        return all((folder / FILES[kind]).exists() for kind in Options(method=name).kinds())

    return [name for name in METHODS if has(name)]


def weights_for(options: JsonObject, folders: dict[str, Path], loaded: dict[str, Any]) -> Any:
    """The weights of a request's model, loaded once; the options become those of the pipeline.
    Raises CheckpointError.
    """
    seen = options.get("perception", EMBEDDED)
    if seen != EMBEDDED:
        if seen not in loaded:
            loaded[seen] = open_perception(Options(perception=seen))
        options["perception"] = loaded[seen]
    name = options.pop("model")
    is_published = name in PUBLISHED
    if is_published:
        options |= {"model": name, "method": Options().method}
    if name not in loaded:
        loaded[name] = load_for(Options(model=name)) if is_published else _weights(folders[name])
    return loaded[name]


def _weights(folder: Path) -> Any:
    return load_models(None if folder == embedded_folder() else folder)


def _about(function: Callable[..., Any]) -> str:
    """What the module of a method says of itself, in one sentence."""
    said = (sys.modules[function.__module__].__doc__ or "").strip()
    text = said.partition("\n\n")[0].replace("\n", " ")
    return text.partition(": ")[2] or text


def main(arguments: list[str] | None = None) -> int:
    """Work until stdin ends."""
    parser = argparse.ArgumentParser(
        description="Makes scenes for maquette app, which starts it; not for people."
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        type=Path,
    )
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not look like an answer

    def say(what: str, **values: Any) -> None:
        answers.write(json.dumps({"say": what, **values}, separators=(",", ":")) + "\n")

    folders = {path.resolve().name: path for path in parser.parse_args(arguments).weights}
    if (embedded_folder() / "manifest.json").exists():
        folders.setdefault(EMBEDDED, embedded_folder())
    say("hello", capabilities=capabilities(folders), together=together())
    orders = os.fdopen(os.dup(0), encoding="utf-8")  # an end by an error would wait for sys.stdin
    Worker(folders, say).work(orders)
    orders.close()
    return 0


class Worker:
    """Does what it is ordered, until there are no more orders."""

    def __init__(self, folders: dict[str, Path], say: Say) -> None:
        self._folders = folders
        self._say = say
        self._loaded: dict[str, Any] = {}
        self._company: Company | None = None
        self._orders: SimpleQueue[JsonObject | None] = SimpleQueue()

    def work(self, orders: Iterable[str]) -> None:
        """Take orders, one after the other; meanwhile some may be dropped."""
        threading.Thread(target=self._listen, args=(orders,), daemon=True).start()
        while (order := self._orders.get()) is not None:
            (self._make_together if order["do"] == "together" else self._make)(order)

    def _listen(self, orders: Iterable[str]) -> None:
        for order in map(json.loads, orders):
            if order["do"] != "drop":
                self._orders.put(order)
            elif self._company is not None:
                self._company.drop(order["folder"])
        self._orders.put(None)

    def _make(self, request: JsonObject) -> None:
        try:
            models = weights_for(request["options"], self._folders, self._loaded)
            (make if request["do"] == "generate" else remake)(request, models, self._say)
        except PICTURE_ERRORS as error:
            self._say("failed", message=said_of(error))

    def _make_together(self, order: JsonObject) -> None:
        requests = order["requests"]
        try:
            for request in requests:  # they ask for the same
                models = weights_for(request["options"], self._folders, self._loaded)
        except MaquetteError as error:
            for number in range(len(requests)):
                self._say("failed", number=number, message=said_of(error))
            return
        self._company = Company(requests, models, self._say)
        self._company.make_all()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt):  # the server has gone
        os._exit(1)
