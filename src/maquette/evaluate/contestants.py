"""Who is compared: generators with their weights and options, oracles that look at the truth, and
files that other systems wrote.

A Contestant is plain data that travels to worker processes; ``started`` loads what it needs and
returns its function Case -> Scene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from maquette.checkpoints.embedded import FILES, load_models
from maquette.declare import names_of, values_of
from maquette.errors import InputError
from maquette.evaluate.cases import NO_LABEL, Case, scene_of_meshes
from maquette.evaluate.files import Record, damage_named
from maquette.evaluate.pairs import by_label
from maquette.evaluate.surfaces import Meshes
from maquette.export.read import node_labels, read_glb
from maquette.methods.lookup import find_method
from maquette.output import sha256_of
from maquette.pipeline import PUBLISHED, generate
from maquette.recipe import Options, load_for
from maquette.types import Scene

Predictor = Callable[[Case], Scene]


@dataclass(frozen=True)
class Contestant:
    """One line of a table."""

    name: str  # shown, and a folder's name
    kind: str  # "generator", "oracle" or "files"
    method: str = ""  # of generators as ``Options`` takes it, or a key of PUBLISHED or ORACLES
    weights: str | None = None  # folder of a generator's weights; None = embedded
    options: tuple[tuple[str, Any], ...] = ()  # of ``generate``
    folder: str | None = None  # of files: <folder>/<scene name>.glb

    def asked(self) -> Options:
        """The options of a generator. InputError when some are wrong."""
        known = names_of(Options)
        for name, _ in self.options:
            if name not in known:
                raise InputError(f"unknown option {name!r}; choose from {', '.join(known)}")
        given = dict(self.options)
        if self.method in PUBLISHED:
            return Options(model=self.method, **given)
        return Options(method=self.method, **given)

    def request(self) -> Record:
        """What decides its results: equal requests need no second run. Published models are files
        of a fixed release, told by name.
        """
        weights: dict[str, str] = {}
        if self.kind == "generator":
            models = load_models(None if self.method in PUBLISHED else self.weights)
            for kind in self.asked().kinds():
                file = models.file(kind)
                if file.exists():
                    weights[FILES[kind]] = sha256_of(file.read_bytes())
        # The device does not count, as in batch runs.
        options = {key: value for key, value in self.options if key != "device"}
        return {
            "kind": self.kind,
            "method": self.method,
            "options": options,
            "weights": weights,
        }


def oracle_truth(case: Case) -> Meshes:
    """The truth itself: the best that the protocol can say."""
    return case.truth


def oracle_boxes(case: Case) -> Meshes:
    """Every object replaced by its exact bounding box: what knowing layout and size is worth."""
    return {name: trimesh.creation.box(bounds=mesh.bounds) for name, mesh in case.truth.items()}


def oracle_spheres(case: Case) -> Meshes:
    """Every object replaced by a sphere at the middle of its box, as wide as its mean side."""
    made = {}
    for name, mesh in case.truth.items():
        sphere = trimesh.creation.icosphere(3, radius=0.5 * float(np.mean(mesh.extents)))
        made[name] = sphere.apply_translation(mesh.bounds.mean(0))
    return made


ORACLES: Mapping[str, Callable[[Case], Meshes]] = {
    "boxes": oracle_boxes,
    "spheres": oracle_spheres,
    "truth": oracle_truth,
}


def started(contestant: Contestant) -> Predictor:
    """Load what a contestant needs. Raises InputError, CheckpointError."""
    if contestant.kind == "oracle":
        return lambda case: scene_of_meshes(ORACLES[contestant.method](case), case.camera)
    if contestant.kind == "files":
        return lambda case: scene_from_glb(Path(str(contestant.folder)) / f"{case.name}.glb")
    options = contestant.asked()
    models = load_for(options, contestant.weights)
    given = values_of(options)
    return lambda case: generate(case.scene_input, models=models, **given)


def contestants(
    methods: Sequence[str],
    weights: Mapping[str, str | None],
    files: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Contestant]:
    """Make the contestants of a command line: every method with every named weights (name ->
    folder), then the files (name -> folder).

    variants: name -> further options, each a contestant of its own. A generator is called by its
    method, by the weights' name when one method has several, or by both; a variant by these and its
    name. InputError for unknown names.
    """
    single = sum(name not in ORACLES for name in methods) == 1
    made = []
    for name in methods:
        if name in ORACLES:
            made.append(Contestant(name, "oracle", name))
            continue
        called = _called(name)
        for label, folder in (weights or {"": None}).items():
            shown = _shown(called, label, single)
            for variant, more in (variants or {"": {}}).items():
                given = tuple(sorted({**(options or {}), **more}.items()))
                full = f"{shown}@{variant}" if variant else shown
                made.append(Contestant(full, "generator", name, folder, given))
                made[-1].asked()
    for name, folder in files.items():
        if not Path(folder).is_dir():
            raise InputError(
                f"{folder}: no such folder of predictions for {name!r}; "
                "give NAME=FOLDER with <scene>.glb files"
            )
        made.append(Contestant(name, "files", folder=folder))
    _require_good_names([contestant.name for contestant in made])
    return made


def _shown(method: str, weights: str, single: bool) -> str:
    """What a generator is called, alone or beside other methods with the same weights."""
    if not weights:
        return method
    return weights if single else f"{method}@{weights}"


def _require_good_names(names: Sequence[str]) -> None:
    """They are names of folders, and stand in tables."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or any(not name or set(name) & set("/\\ ,|") for name in names):
        raise InputError(
            f"names of methods {names} must differ and hold no spaces, commas or slashes; "
            f"rename {twice or names}"
        )


def _called(generator: str) -> str:
    """The name of a method or published model, which may be one of a file or another package.
    InputError when there is none.
    """
    if generator in PUBLISHED:
        return generator
    try:
        return find_method(generator).name
    except InputError as error:
        raise InputError(f"{error}, {', '.join([*PUBLISHED, *ORACLES])}") from error


def scene_from_glb(path: Path) -> Scene:
    """Read a GLB as a Scene with its colours, named by the labels or nodes that it tells, with a
    camera in front of it. InputError when it cannot be read.
    """
    with damage_named(path):
        meshes = {name: mesh.apply_transform(matrix) for name, mesh, matrix in read_glb(path)}
        return scene_of_meshes(by_label(meshes, node_labels(path)))


def instances_of(scene: Scene) -> Meshes:
    """Meshes of a scene in its frame, by node name."""
    return {
        i.node_name: i.mesh.copy().apply_transform(i.world_from_instance) for i in scene.instances
    }


def called_by_label(scene: Scene) -> Scene:
    """The scene with nodes ``instance_<label>``, as truths have them, whatever its objects' names
    are; labels that scene_of made up aside.
    """
    told = [i if i.label >= NO_LABEL else replace(i, node="") for i in scene.instances]
    return replace(scene, instances=tuple(told))
