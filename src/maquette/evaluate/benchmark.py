"""Scenes, contestants and protocols -> a run folder with everything that was seen, made and scored,
and the rows of its tables.

Three stages, each in processes of its own, each skipping what is finished (run_folder.py says where
everything lies):

    prepare   sources -> scenes
    predict   scenes -> predictions; the only stage that is timed; its processes load nothing but
              the method
    score     predictions -> scores; from the files, as a user would get them
    gather    scores -> rows.csv, objects.csv (and .parquet), run.json

A scene counts whatever happens: a method that fails on one gets a row of misses with the reason.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from maquette import __version__
from maquette.errors import InputError, MaquetteError, contained
from maquette.evaluate.cases import (
    CaseSource,
    camera_to_dict,
    load_case,
    read_objects,
    save_case,
    set_of,
)
from maquette.evaluate.contestants import Contestant, Predictor, called_by_label, started
from maquette.evaluate.files import Record, write_record
from maquette.evaluate.peaks import measured_cost
from maquette.evaluate.protocols import protocol_named
from maquette.evaluate.resources import networks_of
from maquette.evaluate.rows import COUNTS, MEASUREMENTS, ResultRow, write_table
from maquette.evaluate.run_folder import RunFolder, finished_record
from maquette.evaluate.score import ObjectScore, SceneScore, require_extras, score_scene
from maquette.evaluate.summary import METRICS, SEEN
from maquette.evaluate.surfaces import Meshes
from maquette.evaluate.visibility import mean_silhouette_iou, surface_alignment
from maquette.execute.pool import Engine, Here, Pool, in_processes, lost, processes
from maquette.execute.share import require_all
from maquette.export.glb import write_glb
from maquette.export.read import load_named_meshes
from maquette.output import sha256_of, writable_folder
from maquette.types import JsonObject, Scene

StageCounts = Callable[[str, int, int], None]  # stage, done, of
SEED = 0  # of the surface samples of every score
OBJECT_TEXTS = ("name", "predicted", "miss")  # of an ObjectScore; all else are numbers

ONE_PROCESS = Engine()


def _silent(stage: str, done: int, of: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """One run."""

    out: Path
    sources: tuple[CaseSource, ...]
    contestants: tuple[Contestant, ...]
    protocols: tuple[str, ...] = ("iscene",)
    extra: tuple[str, ...] = ()  # measures beyond those of the protocols: of EXTRAS
    # its threads are part of the result, since sums depend on them; its processes are not
    engine: Engine = ONE_PROCESS
    # of the comparison that the contestants make; "" = they are methods, not variants of one
    title: str = ""
    baseline: str | None = None  # the contestant of a comparison that the others are compared with

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("there are no scenes to run; ask for at least one")
        if self.title and self.baseline not in self.methods:
            raise InputError(
                f"baseline {self.baseline!r} of {self.title!r} is none of the methods; "
                f"choose from {', '.join(self.methods)}"
            )
        for name in self.protocols:
            protocol_named(name)
        require_extras(self.extra)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(source.name for source in self.sources)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the contestants, in order."""
        return tuple(contestant.name for contestant in self.contestants)

    @property
    def folder(self) -> RunFolder:
        """Where everything lies."""
        return RunFolder(self.out)


def run_benchmark(plan: BenchmarkPlan, progress: StageCounts = _silent) -> list[ResultRow]:
    """All stages, of the engine's share of the scenes. Returns the rows of these, in the order
    scenes, contestants, protocols, whatever the engine.

    InputError with ``engine.merge`` when something has not been made or scored.
    """
    if plan.engine.merge:
        _require_finished(plan)
        return gather(prepare(plan, Here(), progress))
    with processes(plan.engine, [writable_folder(plan.out)]) as pool:
        usable = prepare(plan, pool, progress)
        predict(usable, pool, progress)
        score(usable, pool, progress)
    return gather(usable)


def _require_finished(plan: BenchmarkPlan) -> None:
    """InputError when a scene, a prediction or a score of a plan is missing."""
    folder = plan.folder
    out = {name for name in plan.scenes if finished_record(folder.unusable(name))}
    lacking = [n for n in plan.scenes if n not in out and not folder.scene(n).is_dir()]
    require_all(lacking, len(plan.sources), "scenes")
    usable = replace(plan, sources=tuple(s for s in plan.sources if s.name not in out))
    asked = [prediction for made in usable.contestants for prediction in _asked(usable, made)]
    made = [f"{each.contestant.name} of {each.scene}" for each in asked if not each.is_made()]
    require_all(made, len(asked), "predictions")
    scorings = _scorings(usable)
    scored = [f"{each.method} of {each.scene}" for each in scorings if not each.is_done()]
    require_all(scored, len(scorings), "scores")


# Scenes


def prepare(plan: BenchmarkPlan, pool: Pool, progress: StageCounts = _silent) -> BenchmarkPlan:
    """Write the scenes that are not there yet; returns the plan without those that cannot be used,
    which run.json names with the reason.

    InputError when the folder holds scenes of another origin, or when no scene can be used.
    """
    folder = plan.folder
    writable_folder(plan.out)
    record = finished_record(folder.record_file) or {}
    asked = {source.name: source.identity for source in plan.sources}
    sources = record.get("sources", {})
    for name, identity in asked.items():
        if sources.setdefault(name, identity) != identity:
            raise InputError(
                f"{plan.out}: scene {name} was made from {sources[name]}, not {identity}; "
                "choose another --out"
            )
    record |= {
        "maquette": __version__,
        "sources": sources,
        "threads": plan.engine.threads,
    }
    write_record(folder.record_file, record)
    plan = replace(plan, sources=tuple(plan.engine.share.part(plan.sources)))
    asked = {source.name: source.identity for source in plan.sources}
    todo = [(source, folder) for source in plan.sources if not folder.scene(source.name).is_dir()]
    made = in_processes(pool, _prepare_one, todo, functools.partial(progress, "scenes"))
    for (source, _), reason in lost(todo, made):
        write_record(folder.unusable(source.name), f"{source.name}: {reason}")
    reasons = {name: reason for name in asked if (reason := finished_record(folder.unusable(name)))}
    write_record(folder.record_file, record | {"unusable": reasons})
    if len(reasons) == len(asked):
        raise InputError(f"none of {len(asked)} scenes can be used; {next(iter(reasons.values()))}")
    return replace(plan, sources=tuple(s for s in plan.sources if s.name not in reasons))


def _prepare_one(source: CaseSource, folder: RunFolder) -> None:
    """Write a case, or why it cannot be used."""
    try:
        with contained(f"{source.name}: cannot be prepared", "leave it out"):
            save_case(source.load(), folder.scene(source.name))
        folder.unusable(source.name).unlink(missing_ok=True)
    except InputError as error:
        write_record(folder.unusable(source.name), str(error))


# Predictions


@dataclass(frozen=True)
class _Prediction:
    """A scene that a contestant makes, or has made."""

    folder: RunFolder
    contestant: Contestant
    request: JsonObject  # what decides the result
    scene: str

    def is_done(self) -> bool:
        """Whether a result of this request is there. Files of other systems are read anew: they may
        have been replaced.
        """
        return self.contestant.kind != "files" and self.is_made()

    def is_made(self) -> bool:
        """The same of whatever made it."""
        made = finished_record(self.folder.making(self.contestant.name, self.scene))
        return made is not None and made.get("request") == json.loads(json.dumps(self.request))


def predict(plan: BenchmarkPlan, pool: Pool, progress: StageCounts = _silent) -> None:
    """Let every contestant make every scene that it has not made yet with these weights and
    options.

    Every generator runs in fresh processes of its own, so that neither scenes nor other networks
    are in the memory that is measured.
    """
    for contestant in plan.contestants:
        todo = [(each,) for each in _asked(plan, contestant) if not each.is_done()]
        tell = functools.partial(progress, contestant.name)
        if contestant.kind == "generator" and todo:
            with processes(plan.engine) as own:
                made = in_processes(own, _predict_one, todo, tell)
        else:
            made = in_processes(pool, _predict_one, todo, tell)
        for (prediction,), reason in lost(todo, made):
            _give_up(prediction, reason)


def _asked(plan: BenchmarkPlan, contestant: Contestant) -> list[_Prediction]:
    request = contestant.request()
    return [_Prediction(plan.folder, contestant, request, scene) for scene in plan.scenes]


def _give_up(prediction: _Prediction, reason: str) -> None:
    """Record that nothing was made; without the request, so that the next run tries again."""
    place = (prediction.contestant.name, prediction.scene)
    prediction.folder.prediction(*place).unlink(missing_ok=True)
    record: Record = {
        "request": None,
        "error": reason,
        "camera": None,
        "failures": [],
    }
    write_record(prediction.folder.making(*place), record)


@functools.lru_cache(maxsize=1)
def _predictor(contestant: Contestant) -> Predictor:
    """A started contestant, kept for the next scene of this process."""
    return started(contestant)


def _predict_one(prediction: _Prediction) -> None:
    """Run a method on a case and store what it made, what it cost, or how it failed."""
    folder = prediction.folder
    contestant = prediction.contestant
    case = load_case(folder.scene(prediction.scene), prediction.scene)
    predictor = _predictor(contestant)
    error = ""
    made: Scene | None = None
    with measured_cost() as cost:
        try:
            with contained("the method failed", "look at the scene, or report this"):
                made = predictor(case)
        except MaquetteError as failure:
            error = str(failure)
    path = folder.prediction(contestant.name, prediction.scene)
    path.unlink(missing_ok=True)
    if made is not None and made.instances:
        try:
            write_glb(called_by_label(made), path)
        except InputError as failure:  # vertices that are no numbers
            error = str(failure)
    record = {
        "request": prediction.request,
        "error": error,
        **asdict(cost),
    }
    record |= {"camera": None, "failures": []}
    if made is not None:
        record["failures"] = [asdict(failure) for failure in made.failures]
    if made is not None and contestant.kind == "generator":
        record["camera"] = camera_to_dict(made.camera)
    write_record(folder.making(contestant.name, prediction.scene), record)


# Scores


@dataclass(frozen=True)
class _Scoring:
    """A prediction that is scored under a protocol, or has been."""

    folder: RunFolder
    protocol: str
    method: str
    scene: str
    extra: tuple[str, ...] = ()
    threads: int = 1

    @property
    def file(self) -> Path:
        """Where the score lies."""
        return self.folder.score(self.protocol, self.method, self.scene)

    def request(self) -> Record:
        """What decides the score."""
        prediction = self.folder.prediction(self.method, self.scene)
        content = prediction.read_bytes() if prediction.exists() else None
        digest = None if content is None else sha256_of(content)
        request: Record = {"protocol": protocol_named(self.protocol).id, "seed": SEED}
        return request | {
            "prediction": digest,
            "extra": list(self.extra),
            "metrics": [*METRICS, *SEEN],
        }

    def is_done(self) -> bool:
        """Whether this very prediction has this score."""
        scored = finished_record(self.file)
        return scored is not None and scored.get("request") == self.request()


def score(plan: BenchmarkPlan, pool: Pool, progress: StageCounts = _silent) -> None:
    """Score every prediction under every protocol, unless this very file was scored by this version
    of the protocol before.
    """
    todo = [(scoring,) for scoring in _scorings(plan) if not scoring.is_done()]
    scored = in_processes(pool, _score_one, todo, functools.partial(progress, "scores"))
    missed = [(*arguments, reason) for arguments, reason in lost(todo, scored)]
    for (scoring, _), reason in lost(missed, in_processes(pool, _score_one, missed)):
        raise MaquetteError(
            f"{scoring.scene}: cannot be scored, not even as missed ({reason}); "
            "repeat the command with fewer --jobs"
        )


def _scorings(plan: BenchmarkPlan) -> list[_Scoring]:
    return [
        _Scoring(plan.folder, protocol, method, scene, plan.extra, plan.engine.threads)
        for scene in plan.scenes
        for method in plan.methods
        for protocol in plan.protocols
    ]


def _score_one(scoring: _Scoring, missed: str = "") -> None:
    """Write a score; that of an empty prediction where scoring the real one ended a process, with
    that as its reason and without the request, so that the next run tries again.
    """
    case = load_case(scoring.folder.scene(scoring.scene), scoring.scene)
    prediction = scoring.folder.prediction(scoring.method, scoring.scene)

    def scored(meshes: Meshes) -> SceneScore:
        return score_scene(
            meshes,
            case.truth,
            scoring.protocol,
            SEED,
            extra=scoring.extra,
            camera=case.camera,
            workers=scoring.threads,
        )

    error = missed
    meshes: Meshes = {}
    try:
        if prediction.exists() and not missed:
            meshes = load_named_meshes(prediction)
        result = scored(meshes)
    # a prediction with NaN vertices, or of which no name fits: the scene counts as missed
    except InputError as failure:
        meshes = {}
        error = str(failure)
        result = scored(meshes)
    seen = dict.fromkeys(SEEN, math.nan)
    if case.camera is not None:
        seen["silhouette"] = mean_silhouette_iou(meshes, case.scene_input.masks, case.camera)
        seen["l_align"] = surface_alignment(meshes, case.truth, case.camera)
    scores = {**result.to_dict(), **seen}
    request = None if missed else scoring.request()
    write_record(
        scoring.file,
        {
            "request": request,
            "error": error,
            "score": scores,
        },
    )


# Rows


def gather(plan: BenchmarkPlan) -> list[ResultRow]:
    """Collect the rows of the plan and write them with those of earlier plans of this folder:
    rows.csv, objects.csv.
    """
    folder = plan.folder
    record = finished_record(folder.record_file) or {}
    protocols = [protocol_named(name).name for name in plan.protocols]
    record["methods"] = _together(record.get("methods", []), plan.methods)
    record["protocols"] = _together(record.get("protocols", []), protocols)
    record |= _kept_for_results(plan, record)
    write_record(folder.record_file, record)
    every = itertools.product(record["sources"], record["methods"], record["protocols"])
    asked = [_Scoring(folder, protocol, method, scene) for scene, method, protocol in every]
    found = [scoring for scoring in asked if scoring.file.exists()]
    rows = {scoring: _row(scoring) for scoring in found}
    write_table(folder.rows_file, [row.to_record() for row in rows.values()])
    write_table(folder.objects_file, [row for scoring in found for row in _object_rows(scoring)])
    own = itertools.product(plan.scenes, plan.methods, protocols)
    wanted = {_Scoring(folder, protocol, method, scene) for scene, method, protocol in own}
    return [row for scoring, row in rows.items() if scoring in wanted]


def _together(earlier: Iterable[str], names: Iterable[str]) -> list[str]:
    """All names, each once, in the order in which they came."""
    return list(dict.fromkeys([*earlier, *names]))


def _kept_for_results(plan: BenchmarkPlan, record: JsonObject) -> Record:
    """What the page of results needs besides the rows: networks of every contestant, comparisons,
    and who is a method by itself.
    """
    networks = dict(record.get("networks", {}))
    for contestant in plan.contestants:
        if found := networks_of(contestant):
            networks[contestant.name] = [asdict(network) for network in found]
    comparisons = dict(record.get("comparisons", {}))
    plain = record.get("plain", [])
    if plan.title:
        comparisons[plan.title] = {"methods": list(plan.methods), "baseline": plan.baseline}
    else:
        plain = _together(plain, plan.methods)
    return {
        "networks": networks,
        "comparisons": comparisons,
        "plain": plain,
    }


def _row(scoring: _Scoring) -> ResultRow:
    """What is stored of a scene, a method and a protocol, as a row of the table."""
    stored = finished_record(scoring.file)
    made = finished_record(scoring.folder.making(scoring.method, scoring.scene)) or {}
    values = stored["score"]
    what = (set_of(scoring.scene), scoring.scene, scoring.method, values["protocol"])
    counts = [len(values[listed]) for listed in COUNTS]
    metrics = _known_numbers(values, (*METRICS, *SEEN))
    measurements = _known_numbers(made, MEASUREMENTS).values()
    error = made.get("error") or stored["error"]
    return ResultRow.of(what, counts, metrics, measurements, error)


def _known_numbers(values: JsonObject, names: Iterable[str]) -> dict[str, float]:
    """Numbers by name; nan where there is none."""
    found = {name: values.get(name) for name in names}
    return {name: math.nan if value is None else float(value) for name, value in found.items()}


def _object_rows(scoring: _Scoring) -> list[JsonObject]:
    """The same, a row an object, with what made it hard."""
    values = finished_record(scoring.file)["score"]
    listed = read_objects(scoring.folder.scene(scoring.scene))["objects"]
    known = {f"instance_{about['label']}": about for about in listed}
    scene = {
        "set": set_of(scoring.scene),
        "scene": scoring.scene,
        "method": scoring.method,
        "protocol": values["protocol"],
    }
    numbers = [f.name for f in fields(ObjectScore) if f.name not in OBJECT_TEXTS]
    rows = []
    for scored in values["objects"]:
        about = known[scored["name"]]
        row = scene | {"node": scored["name"]}
        row |= {name: about[name] for name in ("name", "share", "hidden")}
        row["objects"] = len(values["objects"])
        row |= {name: _rounded(scored[name]) for name in numbers}
        rows.append(row | {"miss": scored["miss"]})
    return rows


def _rounded(value: Any) -> Any:
    """Six digits are enough in tables; infinities stay."""
    return round(value, 6) if isinstance(value, float) and math.isfinite(value) else value
