"""The page: gathers what the other modules of the report make and fills the template in
assets/report.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from maquette.data.library import CountProgress
from maquette.errors import InputError, contained
from maquette.evaluate.cases import TRUTH, camera_from_dict, read_objects, set_of
from maquette.evaluate.comparison import comparison_tables, display_name, heading
from maquette.evaluate.contestants import instances_of, scene_from_glb
from maquette.evaluate.files import Record
from maquette.evaluate.report.compact import compact_glb
from maquette.evaluate.report.pictures import draw_photo, draw_prediction, draw_truth
from maquette.evaluate.report.plots import COUNT, HIDDEN, PER_CENT, SIZE, UNIT, Series, plot
from maquette.evaluate.report.run import FinishedRun, aligned_from_predicted, read_run
from maquette.evaluate.rows import distinct, number, rows_where
from maquette.evaluate.summary import METRICS, SEEN
from maquette.evaluate.tables import html, reasons_table, unusable_table
from maquette.execute.pool import Engine, in_processes, lost, processes
from maquette.export.bundle import filled, packed, packed_modules, script_json
from maquette.output import atomic_write
from maquette.types import StrPath

# In the run folder: pictures and small meshes, so that a second report is quick.
KEPT = "report-parts"
FACES = (400, 4000)  # of an embedded object, least and most
ALL_FACES = 1_200_000  # of all embedded objects together, about 17 MB of page
OBJECT_METRICS = ("cd_o", "f_o", "iou_b")
CARD_METRICS = ("f_s", "f_o", "iou_b")


def write_report(
    folder: StrPath,
    out: StrPath | None = None,
    *,
    baseline: str | None = None,
    jobs: int = 0,
    progress: CountProgress = lambda done, of: None,
) -> Path:
    """Write one self-contained HTML page about a run; returns its path, by default RUN/report.html.

    ``baseline`` adds the ablation tables against that method; ``jobs`` processes draw (0 = this
    one). Scenes that cannot be drawn are named in the page. Raises InputError, OutputError.
    """
    folder = Path(folder)
    run = read_run(folder)
    path = folder / "report.html" if out is None else Path(out)
    truths = len(run.objects) / len(run.methods)
    faces = int(np.clip(ALL_FACES / max(len(run.objects) + truths, 1), *FACES))
    with processes(Engine(jobs)) as pool:
        tasks = [(folder, scene, tuple(run.methods), faces) for scene in run.scenes]
        reasons = in_processes(pool, _make_parts, tasks, progress)
    undrawn = {scene: reason for scene, reason in zip(run.scenes, reasons) if reason}
    undrawn |= {scene: reason for (_, scene, *_), reason in lost(tasks, reasons)}
    text = _fill(run, faces, baseline, undrawn)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


# Parts: drawn once per scene and kept


def _parts(run: FinishedRun, scene: str) -> Path:
    """Where the parts of a scene are kept."""
    return run.folder.path / KEPT / scene


def _make_parts(
    folder: Path,
    scene: str,
    methods: Sequence[str],
    faces: int,
) -> str:
    """Make the parts of a scene that can be made; returns why others cannot, or nothing."""
    try:
        with contained(f"{scene}: cannot be drawn", "repeat the benchmark of this scene"):
            _draw(read_run(folder), scene, methods, faces)
    except InputError as error:
        return str(error)
    return ""


def _draw(
    run: FinishedRun,
    scene: str,
    methods: Sequence[str],
    faces: int,
) -> None:
    """Pictures and small meshes of a scene, unless they are there and newer than what they show."""
    place = run.folder.scene(scene)
    truth = place / TRUTH
    parts = _parts(run, scene)
    _keep([parts / "photo.jpg"], truth, lambda: [draw_photo(place)])
    _keep([parts / "truth.jpg"], truth, lambda: [draw_truth(place)])
    _keep([parts / f"truth-{faces}.glb"], truth, functools.partial(_small_meshes, truth, faces))
    for method in methods:
        prediction = run.folder.prediction(method, scene)
        if not prediction.exists():
            continue
        # prefixes: a method may be called "truth"
        pictures = [parts / f"of-{method}.jpg", parts / f"turn-{method}.jpg"]
        camera = camera_from_dict(run.made(method, scene).get("camera"), str(prediction))
        _keep(pictures, prediction, functools.partial(draw_prediction, place, prediction, camera))
        meshes = functools.partial(_small_meshes, prediction, faces)
        _keep([parts / f"of-{method}-{faces}.glb"], prediction, meshes)


def _keep(paths: Sequence[Path], source: Path, made: Callable[[], Sequence[bytes]]) -> None:
    """Write parts, each complete or not at all, unless all are there and newer than the source."""
    since = source.stat().st_mtime
    if all(path.exists() and path.stat().st_mtime >= since for path in paths):
        return
    for path, content in zip(paths, made(), strict=True):
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)


def _small_meshes(path: Path, faces: int) -> list[bytes]:
    """A GLB file as one of at most so many faces."""
    return [compact_glb(instances_of(scene_from_glb(path)), faces)]


# The page


def _fill(
    run: FinishedRun,
    faces: int,
    baseline: str | None,
    undrawn: Mapping[str, str],
) -> str:
    """The page: its template with everything put in."""
    pictures = {scene: _pictures(run, scene) for scene in run.scenes}
    values = {
        "facts": _facts(run),
        "legend": _legend(run),
        "plots": _plots(run),
    }
    values["title"] = escape(run.folder.path.resolve().name)
    values["tables"] = _tables(run, baseline, undrawn)
    values["index"] = script_json(_index(run))
    values["pictures"] = script_json(pictures)
    values["meshes"] = "\n".join(_mesh_scripts(run, faces))
    values["modules"] = packed_modules("report/scene-view.js")
    return filled("report", **values)


def _facts(run: FinishedRun) -> str:
    """What was run, as a list of HTML."""
    threads = run.record.get("threads", 1)
    unusable = run.record.get("unusable") or {}
    objects = {(row["scene"], row["node"]) for row in run.objects}
    facts = [f"{len(run.scenes)} scenes", f"{len(objects)} objects"]
    facts.append(", ".join(map(display_name, run.methods)))
    facts.append(f"protocol {', '.join(distinct(run.rows, 'protocol'))}")
    facts.append(f"{threads} thread{'s' * (threads != 1)} per process")
    facts.append(f"maquette {run.record.get('maquette', '')}")
    if unusable:
        facts.append(f"{len(unusable)} scenes could not be used: {next(iter(unusable.values()))}")
    return "".join(f"<li>{escape(fact)}</li>" for fact in facts)


def _tables(run: FinishedRun, baseline: str | None, undrawn: Mapping[str, str]) -> str:
    """The tables of the first protocol, and those of the others to be unfolded."""
    parts = []
    for protocol in distinct(run.rows, "protocol"):
        tables = comparison_tables(rows_where(run.rows, protocol=protocol), baseline)
        text = "\n".join(map(html, tables))
        if protocol != run.protocol:
            summary = f"<summary>protocol {escape(protocol)}</summary>"
            text = f"<details>{summary}{text}</details>"
        parts.append(text)
    if unusable := run.record.get("unusable"):
        parts.append(html(unusable_table(unusable)))
    if undrawn:
        note = "scenes of which pictures or meshes are missing on this page, and why"
        parts.append(html(reasons_table("Not drawn", note, undrawn)))
    return "\n".join(parts)


def _legend(run: FinishedRun) -> str:
    """The methods and their colours."""
    names = enumerate(map(display_name, run.methods))
    return "".join(f'<li><i class="s{k}"></i>{escape(name)}</li>' for k, name in names)


def _plots(run: FinishedRun) -> str:
    """F-score and box IoU of objects over size, hidden share and number, as SVG."""
    own = [row for row in run.objects if row["protocol"] == run.protocol]
    parts = []
    for score, y in (("f_o", PER_CENT), ("iou_b", UNIT)):
        for key, x in (("share", SIZE), ("hidden", HIDDEN), ("objects", COUNT)):
            series = []
            for method in run.methods:
                rows = [row for row in own if row["method"] == method]
                across, up = (
                    np.array([number(row[name]) for row in rows]) for name in (key, score)
                )
                series.append(Series(method, across, up))
            parts.append(plot(series, x, y))
    return "".join(parts)


def _index(run: FinishedRun) -> Record:
    """What the gallery and the 3D view need to know of every scene; pictures and meshes are
    elsewhere in the page.
    """
    scenes = []
    for name in run.scenes:
        record = read_objects(run.folder.scene(name))
        scene: Record = {
            "name": name,
            "set": set_of(name),
            "camera": record.get("camera"),
        }
        scene["objects"] = record["objects"]
        scene["results"] = dict(_results(run, name))
        scenes.append(scene)
    index: Record = {
        "card": CARD_METRICS,
        "protocol": run.protocol,
        "scenes": scenes,
    }
    index["methods"] = [{"name": name, "label": display_name(name)} for name in run.methods]
    index["metrics"] = [{"key": key, "label": heading(key)} for key in (*METRICS, *SEEN)]
    return index


def _results(run: FinishedRun, scene: str) -> Iterator[tuple[str, Record]]:
    """What became of a scene, by method."""
    of_scene = rows_where(run.rows, protocol=run.protocol, scene=scene)
    for row in sorted(of_scene, key=lambda row: run.methods.index(row.method)):
        objects = {}
        for scored in run.score(row.method, scene)["objects"]:
            numbers = {name: _short(scored[name]) for name in OBJECT_METRICS}
            objects[scored["name"]] = numbers | {"miss": scored["miss"]}
        there = run.folder.prediction(row.method, scene).exists()
        result: Record = {
            "missing": row.missing,
            "error": row.error,
            "objects": objects,
        }
        result["metrics"] = {name: _short(value) for name, value in row.metrics.items()}
        result["seconds"] = _short(row.seconds)
        result["peak_mb"] = _short(row.peak_mb)
        result["camera"] = run.made(row.method, scene).get("camera")
        result["there"] = there
        result["aligned"] = aligned_from_predicted(run, row.method, scene) if there else None
        yield row.method, result


def _short(value: float | None) -> float | None:
    """Five digits; None for what is not finite, which JSON lacks."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.5g}")


def _pictures(run: FinishedRun, scene: str) -> dict[str, str]:
    """Base64 JPEGs by name."""
    files = sorted(_parts(run, scene).glob("*.jpg"))
    return {file.stem: base64.b64encode(file.read_bytes()).decode("ascii") for file in files}


def _mesh_scripts(run: FinishedRun, faces: int) -> Iterator[str]:
    """One inert <script> per scene and method, so that the browser parses none of it before it is
    wanted.
    """
    names = ["truth", *(f"of-{method}" for method in run.methods)]
    for scene in run.scenes:
        for name in names:
            path = _parts(run, scene) / f"{name}-{faces}.glb"
            if path.exists():
                key = escape(f"{scene}|{name}", quote=True)
                content = packed(path.read_bytes())
                yield f'<script type="text/plain" data-mesh="{key}">{content}</script>'
