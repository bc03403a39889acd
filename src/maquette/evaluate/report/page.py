"""The page: gathers what the other modules of the report make and fills the template in
assets/report.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from maquette.evaluate.cases import TRUTH, Meshes, camera_from_dict, read_objects
from maquette.evaluate.comparison import Cell, Table, comparison_tables, heading, shown
from maquette.evaluate.contestants import instances_of, scene_from_glb
from maquette.evaluate.pool import in_processes, processes
from maquette.evaluate.report.bundle import assets_folder, packed, packed_modules
from maquette.evaluate.report.compact import compact_glb
from maquette.evaluate.report.pictures import draw_photo, draw_prediction, draw_truth, keep
from maquette.evaluate.report.plots import COUNT, HIDDEN, PER_CENT, SIZE, UNIT, Series, plot
from maquette.evaluate.report.run import Run, aligned_from_predicted, number, read_run
from maquette.evaluate.summary import METRICS, SEEN
from maquette.output import atomic_write

KEPT = (
    "report-parts"  # in the run folder: pictures and small meshes, so that a second report is quick
)
FACES = (400, 4000)  # of an embedded object, least and most
ALL_FACES = 1_200_000  # of all embedded objects together, about 17 MB of page
CARD_METRICS = ("f_s", "f_o", "iou_b")

Progress = Callable[[int, int], None]


def write_report(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    baseline: str | None = None,
    jobs: int = 0,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write one self-contained HTML page about a run; returns its path, by default RUN/report.html.

    ``baseline`` adds the ablation tables against that method; ``jobs`` processes draw (0 = this
    one). Raises InputError, OutputError.
    """
    run = read_run(Path(folder))
    path = Path(out) if out is not None else run.folder / "report.html"
    faces = int(
        np.clip(
            ALL_FACES / max(len(run.objects) + len(run.objects) / max(len(run.methods), 1), 1),
            *FACES,
        )
    )
    with processes(jobs, 1) as pool:
        in_processes(
            pool,
            _make_parts,
            [(run.folder, scene, tuple(run.methods), faces) for scene in run.scenes],
            progress,
        )
    text = _fill(run, faces, baseline)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


# ---- parts: drawn once per scene and kept
#   ---------------------------------------------------------------------------------


def _part(folder: Path, scene: str, name: str) -> Path:
    return folder / KEPT / scene / name


def _make_parts(folder: Path, scene: str, methods: Sequence[str], faces: int) -> None:
    """Pictures and small meshes of a scene, unless they are there and newer than what they show."""
    run = read_run(folder)
    place = run.scene_folder(scene)
    part = functools.partial(_part, folder, scene)
    if _is_old([part("photo.jpg"), part("truth.jpg")], place / TRUTH):
        keep([part("photo.jpg"), part("truth.jpg")], [draw_photo(place), draw_truth(place)])
    if _is_old([part(f"truth-{faces}.glb")], place / TRUTH):
        keep([part(f"truth-{faces}.glb")], [compact_glb(_meshes(place / TRUTH), faces)])
    for method in methods:
        prediction = run.prediction(method, scene)
        if not prediction.exists():
            continue
        pictures = [
            part(f"of-{method}.jpg"),
            part(f"turn-{method}.jpg"),
        ]  # prefixes: a method may be called "truth"
        if _is_old(pictures, prediction):
            camera = camera_from_dict(run.made(method, scene).get("camera"), str(prediction))
            keep(pictures, draw_prediction(place, prediction, camera))
        if _is_old([part(f"of-{method}-{faces}.glb")], prediction):
            keep([part(f"of-{method}-{faces}.glb")], [compact_glb(_meshes(prediction), faces)])


def _is_old(parts: Sequence[Path], source: Path) -> bool:
    return not all(
        path.exists() and path.stat().st_mtime >= source.stat().st_mtime for path in parts
    )


def _meshes(path: Path) -> Meshes:
    return instances_of(scene_from_glb(path))


# ---- the page
#   ---------------------------------------------------------------------------------------------------------------


def _fill(run: Run, faces: int, baseline: str | None) -> str:
    files = assets_folder() / "report"
    values = {
        "title": escape(run.folder.resolve().name),
        "style": (files / "report.css").read_text(encoding="utf-8"),
        "facts": _facts(run),
        "tables": _tables(run, baseline),
        "legend": _legend(run),
        "plots": _plots(run),
        "index": _script_json(_index(run)),
        "pictures": _script_json(_pictures(run)),
        "meshes": "\n".join(_mesh_scripts(run, faces)),
        "modules": packed_modules("report/scene-view.js"),
        "script": (files / "report.js").read_text(encoding="utf-8"),
    }
    template = (files / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], template)


def _script_json(content: Any) -> str:
    """JSON that cannot end the <script> it stands in."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _facts(run: Run) -> str:
    protocols = list(dict.fromkeys(row.protocol for row in run.rows))
    objects = len({(o["scene"], o["node"]) for o in run.objects})
    threads = run.record.get("threads", 1)
    facts = [
        f"{len(run.scenes)} scenes",
        f"{objects} objects",
        ", ".join(shown(m) for m in run.methods),
        f"protocol {', '.join(protocols)}",
        f"{threads} thread{'s' * (threads != 1)} per process",
        f"maquette {run.record.get('maquette', '')}",
    ]
    unusable = run.record.get("unusable") or {}
    if unusable:
        facts.append(f"{len(unusable)} scenes could not be used: {next(iter(unusable.values()))}")
    return "".join(f"<li>{escape(fact)}</li>" for fact in facts)


def _tables(run: Run, baseline: str | None) -> str:
    """The tables of the first protocol, and those of the others to be unfolded."""
    parts = []
    for protocol in dict.fromkeys(row.protocol for row in run.rows):
        tables = comparison_tables([row for row in run.rows if row.protocol == protocol], baseline)
        text = "\n".join(_table_html(table) for table in tables)
        parts.append(
            f"<details><summary>protocol {escape(protocol)}</summary>{text}</details>"
            if parts
            else text
        )
    return "\n".join(parts)


def _table_html(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_first(k)}>{escape(text)}</th>' for k, text in enumerate(table.head)
    )
    lines = []
    at = 0
    for name, count in table.groups or (("", len(table.body)),):
        if name and len(table.groups) > 1:
            lines.append(
                f'<tr class="group"><th colspan="{len(table.head)}" scope="rowgroup">{escape(name)}</th></tr>'
            )
        for line in table.body[at : at + count]:
            oracle = ' class="oracle"' if "(oracle)" in line[0].text else ""
            cells = "".join(_cell_html(cell, k) for k, cell in enumerate(line))
            lines.append(f"<tr{oracle}>{cells}</tr>")
        at += count
    return (
        f'<figure class="table"><figcaption><h3>{escape(table.title)}</h3><p>{escape(table.note)}</p></figcaption>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div></figure>'
    )


def _first(column: int) -> str:
    return ' class="name"' if column == 0 else ""


def _cell_html(cell: Cell, column: int) -> str:
    spread = f'<span class="spread">±{escape(cell.spread)}</span>' if cell.spread else ""
    classes = " ".join(
        filter(None, ["name" if column == 0 else "", "best" if cell.best else "", cell.worth])
    )
    tag = 'th scope="row"' if column == 0 else "td"
    return f'<{tag} class="{classes}">{escape(cell.text)}{spread}</{tag.split()[0]}>'


def _legend(run: Run) -> str:
    return "".join(
        f'<li><i class="s{k}"></i>{escape(shown(name))}</li>' for k, name in enumerate(run.methods)
    )


def _plots(run: Run) -> str:
    own = [o for o in run.objects if o["protocol"] == run.protocol]
    parts = []
    for score, y in (("f_o", PER_CENT), ("iou_b", UNIT)):
        for key, x in (("share", SIZE), ("hidden", HIDDEN), ("objects", COUNT)):
            series = []
            for method in run.methods:
                chosen = [o for o in own if o["method"] == method]
                series.append(
                    Series(
                        method,
                        *(np.array([number(o[name]) for o in chosen]) for name in (key, score)),
                    )
                )
            parts.append(plot(series, x, y))
    return "".join(parts)


def _index(run: Run) -> dict[str, Any]:
    """What the gallery and the 3D view need to know of every scene; pictures and meshes are
    elsewhere in the page.
    """
    rows = {(row.scene, row.method): row for row in run.rows if row.protocol == run.protocol}
    scenes = []
    for name in run.scenes:
        record = read_objects(run.scene_folder(name))
        results = {
            method: _result(run, method, rows[name, method])
            for method in run.methods
            if (name, method) in rows
        }
        scenes.append(
            {
                "name": name,
                "set": name.partition("/")[0],
                "camera": record.get("camera"),
                "objects": record["objects"],
                "results": results,
            }
        )
    shown_metrics = [{"key": key, "label": heading(key)} for key in (*METRICS, *SEEN)]
    methods = [{"name": name, "label": shown(name)} for name in run.methods]
    return {
        "methods": methods,
        "metrics": shown_metrics,
        "card": CARD_METRICS,
        "protocol": run.protocol,
        "scenes": scenes,
    }


def _result(run: Run, method: str, row: Any) -> dict[str, Any]:
    score = run.score(method, row.scene)
    made = run.made(method, row.scene)
    objects = {
        o["name"]: {key: _short(o[key]) for key in ("cd_o", "f_o", "iou_b")} | {"miss": o["miss"]}
        for o in score["objects"]
    }
    there = run.prediction(method, row.scene).exists()
    return {
        "metrics": {key: _short(value) for key, value in row.metrics.items()},
        "missing": row.missing,
        "seconds": _short(row.seconds),
        "peak_mb": _short(row.peak_mb),
        "error": row.error,
        "objects": objects,
        "camera": made.get("camera"),
        "aligned": aligned_from_predicted(run, method, row.scene) if there else None,
        "there": there,
    }


def _short(value: float) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.5g}")


def _pictures(run: Run) -> dict[str, dict[str, str]]:
    """Base64 JPEGs by scene and name."""
    return {
        scene: {
            path.stem: base64.b64encode(path.read_bytes()).decode("ascii")
            for path in sorted(_part(run.folder, scene, "photo.jpg").parent.glob("*.jpg"))
        }
        for scene in run.scenes
    }


def _mesh_scripts(run: Run, faces: int) -> list[str]:
    """One inert <script> per scene and method, so that the browser parses none of it before it is
    wanted.
    """
    scripts = []
    for scene in run.scenes:
        for name in ("truth", *(f"of-{method}" for method in run.methods)):
            path = _part(run.folder, scene, f"{name}-{faces}.glb")
            if path.exists():
                key = escape(f"{scene}|{name}", quote=True)
                scripts.append(
                    f'<script type="text/plain" data-mesh="{key}">{packed(path.read_bytes())}</script>'
                )
    return scripts
