"""Scenes, contestants and protocols -> a run folder with everything that was seen, made and scored,
and the rows of its tables.

Three stages, each in processes of its own, each skipping what is finished:

    prepare   sources -> scenes/<scene>/          photo, masks, truth, camera (cases.py) predict
    -> predictions/<method>/<scene>.glb and .json   the only stage that is timed; its processes load
    nothing but the method score     -> scores/<protocol>/<method>/<scene>.json      from the files,
    as a user would get them gather    -> rows.csv, objects.csv (and .parquet), run.json

A scene counts whatever happens: a method that fails on one gets a row of misses with the reason.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maquette import __version__
from maquette.errors import InputError, MaquetteError
from maquette.evaluate.cases import Case, camera_to_dict, load_case, read_objects, save_case
from maquette.evaluate.contestants import Contestant, Method, started
from maquette.evaluate.peaks import measured_cost
from maquette.evaluate.pool import in_processes, processes
from maquette.evaluate.protocols import EXTRAS, protocol_named
from maquette.evaluate.resources import networks_of
from maquette.evaluate.rows import Row, write_table
from maquette.evaluate.score import ObjectScore, score_scene
from maquette.evaluate.summary import METRICS, SEEN
from maquette.evaluate.visibility import silhouette_iou, surface_alignment
from maquette.export.glb import write_glb
from maquette.export.read import load_named_meshes
from maquette.output import atomic_write, writable_folder

Progress = Callable[[str, int, int], None]  # stage, done, of
Pool = ProcessPoolExecutor | None  # of pool.processes
SCENES = "scenes"
PREDICTIONS = "predictions"
SCORES = "scores"
ROWS = "rows.csv"
OBJECT_ROWS = "objects.csv"
RUN = "run.json"
SEED = 0  # of the surface samples of every score


class Source(Protocol):
    """Something that gives one case when asked; plain data, so that it can travel to another
    process.
    """

    @property
    def name(self) -> str:
        """Name of the case, unique within a run."""
        ...

    @property
    def identity(self) -> str:
        """What it is made of, for people and for telling whether a run folder holds the same scene."""
        ...

    def load(self) -> Case:
        """Make or read the case. Raises InputError."""
        ...


@dataclass(frozen=True)
class Plan:
    """One run."""

    out: Path
    sources: tuple[Source, ...]
    contestants: tuple[Contestant, ...]
    protocols: tuple[str, ...] = ("iscene",)
    extra: tuple[str, ...] = ()  # measures beyond those of the protocols, of protocols.EXTRAS
    jobs: int = 1  # processes; 0 = in this process, without any (for tests)
    # of each process; part of the result, since sums depend on it, so it does not follow from
    # ``jobs``
    threads: int = 1
    # of the comparison that the contestants make; "" = they are methods, not variants of one
    title: str = ""
    baseline: str | None = None  # the contestant of a comparison that the others are compared with

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("there are no scenes to run; ask for at least one")
        if self.jobs < 0 or self.threads < 1:
            raise InputError(
                f"jobs must be at least 0 and threads at least 1, got {self.jobs} and {self.threads}"
            )
        if self.title and self.baseline not in [contestant.name for contestant in self.contestants]:
            known = ", ".join(contestant.name for contestant in self.contestants)
            raise InputError(
                f"baseline {self.baseline!r} of {self.title!r} is none of the methods; choose from {known}"
            )
        for name in self.protocols:
            protocol_named(name)
        if unknown := [name for name in self.extra if name not in EXTRAS]:
            raise InputError(f"extra {unknown[0]!r} is unknown; choose from {', '.join(EXTRAS)}")

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(source.name for source in self.sources)


def run_benchmark(plan: Plan, progress: Progress = lambda stage, done, of: None) -> list[Row]:
    """All stages. Returns the rows of this plan, in the order scenes, contestants, protocols,
    whatever the number of processes.
    """
    with processes(plan.jobs, plan.threads) as pool:
        usable = prepare(plan, pool, progress)
        predict(usable, pool, progress)
        score(usable, pool, progress)
    return gather(usable)


def prepare(plan: Plan, pool: Pool, progress: Progress = lambda stage, done, of: None) -> Plan:
    """Write the scenes that are not there yet; returns the plan without those that cannot be used,
    which run.json names with the reason.

    InputError when the folder holds scenes of another origin, or when no scene can be used.
    """
    writable_folder(plan.out)
    record = _read_json(plan.out / RUN) or {}
    asked = {source.name: source.identity for source in plan.sources}
    known = record.get("sources", {})
    other = [name for name, what in asked.items() if known.get(name, what) != what]
    if other:
        raise InputError(
            f"{plan.out}: scene {other[0]} was made from {known[other[0]]}, not {asked[other[0]]}; choose another --out"
        )
    record |= {"maquette": __version__, "sources": known | asked, "threads": plan.threads}
    _write_json(plan.out / RUN, record)
    todo = [
        (source, plan.out / SCENES / source.name)
        for source in plan.sources
        if not (plan.out / SCENES / source.name).is_dir()
    ]
    in_processes(pool, _prepare_one, todo, functools.partial(progress, "scenes"))
    reasons = {
        name: reason
        for name in asked
        if (reason := _read_json(_unusable(plan.out / SCENES / name))) is not None
    }
    _write_json(plan.out / RUN, record | {"unusable": reasons})
    if len(reasons) == len(asked):
        raise InputError(f"none of {len(asked)} scenes can be used; {next(iter(reasons.values()))}")
    return replace(
        plan, sources=tuple(source for source in plan.sources if source.name not in reasons)
    )


def _unusable(folder: Path) -> Path:
    return folder.with_name(folder.name + ".unusable.json")


def _prepare_one(source: Source, folder: Path) -> None:
    try:
        save_case(source.load(), folder)
    except InputError as error:
        _write_json(_unusable(folder), str(error))


def predict(plan: Plan, pool: Pool, progress: Progress = lambda stage, done, of: None) -> None:
    """Let every contestant make every scene that it has not made yet with these weights and
    options.

    Every generator runs in fresh processes of its own, so that neither scenes nor other networks
    are in the memory that is measured.
    """
    for contestant in plan.contestants:
        request = contestant.request()
        asked = [(contestant, request, plan.out, scene) for scene in plan.scenes]
        todo = [task for task in asked if not _is_made(*task)]
        tell = functools.partial(progress, contestant.name)
        if contestant.kind == "generator" and todo:
            with processes(plan.jobs, plan.threads) as own:
                in_processes(own, _predict_one, todo, tell)
        else:
            in_processes(pool, _predict_one, todo, tell)


def _is_made(contestant: Contestant, request: dict[str, Any], out: Path, scene: str) -> bool:
    """Whether a result of this request is there. Files of other systems are read anew: they may
    have been replaced.
    """
    made = _read_json(out / PREDICTIONS / contestant.name / f"{scene}.json")
    return (
        made is not None
        and contestant.kind != "files"
        and made.get("request") == json.loads(json.dumps(request))
    )


@functools.lru_cache(maxsize=1)
def _method(contestant: Contestant) -> Method:
    """A started contestant, kept for the next scene of this process."""
    return started(contestant)


def _predict_one(contestant: Contestant, request: dict[str, Any], out: Path, scene: str) -> None:
    case = load_case(out / SCENES / scene, scene)
    method = _method(contestant)
    path = out / PREDICTIONS / contestant.name / f"{scene}.glb"
    error = ""
    made = None
    with measured_cost() as cost:
        try:
            made = method(case)
        except MaquetteError as failure:
            error = str(failure)
        except MemoryError:
            error = "out of memory"
    path.unlink(missing_ok=True)
    if made is not None and made.instances:
        write_glb(made, path)
    record = {
        "request": request,
        "error": error,
        **asdict(cost),
        "camera": camera_to_dict(made.camera)
        if made is not None and contestant.kind == "generator"
        else None,
        "failures": [asdict(failure) for failure in made.failures] if made is not None else [],
    }
    _write_json(path.with_suffix(".json"), record)


def score(plan: Plan, pool: Pool, progress: Progress = lambda stage, done, of: None) -> None:
    """Score every prediction under every protocol, unless this very file was scored by this version
    of the protocol before.
    """
    asked = [
        (plan.out, name, contestant.name, scene, plan.extra)
        for scene in plan.scenes
        for contestant in plan.contestants
        for name in plan.protocols
    ]
    todo = [(*task, plan.threads) for task in asked if not _is_scored(*task)]
    in_processes(pool, _score_one, todo, functools.partial(progress, "scores"))


def _score_path(out: Path, protocol: str, method: str, scene: str) -> Path:
    return out / SCORES / protocol_named(protocol).name / method / f"{scene}.json"


def _request(
    out: Path, protocol: str, method: str, scene: str, extra: Sequence[str]
) -> dict[str, Any]:
    prediction = out / PREDICTIONS / method / f"{scene}.glb"
    digest = hashlib.sha256(prediction.read_bytes()).hexdigest() if prediction.exists() else None
    return {
        "protocol": protocol_named(protocol).id,
        "seed": SEED,
        "prediction": digest,
        "extra": list(extra),
        "metrics": [*METRICS, *SEEN],
    }


def _is_scored(out: Path, protocol: str, method: str, scene: str, extra: Sequence[str]) -> bool:
    scored = _read_json(_score_path(out, protocol, method, scene))
    return scored is not None and scored.get("request") == _request(
        out, protocol, method, scene, extra
    )


def _score_one(
    out: Path, protocol: str, method: str, scene: str, extra: Sequence[str], threads: int
) -> None:
    case = load_case(out / SCENES / scene, scene)
    prediction = out / PREDICTIONS / method / f"{scene}.glb"
    error = ""
    meshes = load_named_meshes(prediction) if prediction.exists() else {}
    options = {"extra": extra, "camera": case.camera, "workers": threads}
    try:
        result = score_scene(meshes, case.truth, protocol, SEED, **options)
    # a prediction with NaN vertices, or of which no name fits: the scene counts as missed
    except InputError as failure:
        meshes = {}
        error = str(failure)
        result = score_scene(meshes, case.truth, protocol, SEED, **options)
    seen = dict.fromkeys(SEEN, math.nan)
    if case.camera is not None:
        seen = {
            "silhouette": silhouette_iou(meshes, case.scene_input.masks, case.camera),
            "l_align": surface_alignment(meshes, case.truth, case.camera),
        }
    request = _request(out, protocol, method, scene, extra)
    scores = {**result.to_dict(), **seen}
    _write_json(
        _score_path(out, protocol, method, scene),
        {"request": request, "error": error, "score": scores},
    )


def gather(plan: Plan) -> list[Row]:
    """Collect the rows of the plan and write them with those of earlier plans of this folder:
    rows.csv, objects.csv.
    """
    record = _read_json(plan.out / RUN) or {}
    shown = list(dict.fromkeys([*record.get("methods", []), *(c.name for c in plan.contestants)]))
    protocols = list(
        dict.fromkeys(
            [*record.get("protocols", []), *(protocol_named(p).name for p in plan.protocols)]
        )
    )
    record |= {"methods": shown, "protocols": protocols} | _kept_for_results(plan, record)
    _write_json(plan.out / RUN, record)
    found = [
        (scene, method, protocol)
        for scene in record["sources"]
        for method in shown
        for protocol in protocols
        if _score_path(plan.out, protocol, method, scene).exists()
    ]
    rows = {key: _row(plan.out, *key) for key in found}
    write_table(plan.out / ROWS, [row.to_record() for row in rows.values()])
    write_table(
        plan.out / OBJECT_ROWS, [line for key in found for line in _object_rows(plan.out, *key)]
    )
    wanted = {protocol_named(p).name for p in plan.protocols}
    names = {c.name for c in plan.contestants}
    return [
        row
        for (scene, method, protocol), row in rows.items()
        if scene in plan.scenes and method in names and protocol in wanted
    ]


def _kept_for_results(plan: Plan, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page of results needs besides the rows: networks of every contestant, comparisons,
    and who is a method by itself.
    """
    names = [contestant.name for contestant in plan.contestants]
    networks = {
        c.name: [asdict(network) for network in found]
        for c in plan.contestants
        if (found := networks_of(c))
    }
    comparison = {plan.title: {"methods": names, "baseline": plan.baseline}} if plan.title else {}
    plain = list(dict.fromkeys([*record.get("plain", []), *([] if plan.title else names)]))
    return {
        "networks": record.get("networks", {}) | networks,
        "comparisons": record.get("comparisons", {}) | comparison,
        "plain": plain,
    }


def _row(out: Path, scene: str, method: str, protocol: str) -> Row:
    stored = _read_json(_score_path(out, protocol, method, scene))
    made = _read_json(out / PREDICTIONS / method / f"{scene}.json") or {}
    values = stored["score"]
    metrics = {
        name: math.nan if values.get(name) is None else float(values[name])
        for name in (*METRICS, *SEEN)
    }
    cost = {
        name: math.nan if made.get(name) is None else float(made[name])
        for name in ("seconds", "peak_mb", "gpu_peak_mb")
    }
    return Row(
        scene.partition("/")[0],
        scene,
        method,
        values["protocol"],
        len(values["objects"]),
        len(values["missing"]),
        len(values["extra"]),
        metrics,
        error=made.get("error") or stored["error"],
        **cost,
    )


def _object_rows(out: Path, scene: str, method: str, protocol: str) -> list[dict[str, Any]]:
    values = _read_json(_score_path(out, protocol, method, scene))["score"]
    known = {f"instance_{o['label']}": o for o in read_objects(out / SCENES / scene)["objects"]}
    numbers = [
        name
        for name in ObjectScore.__dataclass_fields__
        if name not in ("name", "predicted", "miss")
    ]
    return [
        {
            "set": scene.partition("/")[0],
            "scene": scene,
            "method": method,
            "protocol": values["protocol"],
            "node": o["name"],
            "name": known[o["name"]]["name"],
            "share": known[o["name"]]["share"],
            "hidden": known[o["name"]]["hidden"],
            "objects": len(values["objects"]),
            **{name: _rounded(o[name]) for name in numbers},
            "miss": o["miss"],
        }
        for o in values["objects"]
    ]


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) and np.isfinite(value) else value


def _read_json(path: Path) -> Any:
    """What a JSON file holds; None when there is none or it is damaged, which means: not done yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
