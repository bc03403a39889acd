"""A run folder -> a page of results in Markdown: all methods on all sets, what they cost, and the
ablations of every method.

The last station of an evaluation, beside the report. Everything in the page but one part is
computed from the run. That part, what the numbers mean, is written by hand in a file of its own and
stands unchanged between two marks, so that making the page anew never loses it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.benchmark import ROWS, RUN
from maquette.evaluate.comparison import (
    Cell,
    Table,
    difference,
    heading,
    markdown,
    mean,
    results_table,
    shown,
)
from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.resources import Network, megabytes, minutes, parameters
from maquette.evaluate.rows import Row, column, read_rows
from maquette.output import atomic_write

GEOMETRY = ("f_s", "cd_s", "f_o", "cd_o", "iou_b")
LAYOUT = ("f_s_raw", "iou_b_raw", "iou_obb", "ap15", "l_align", "silhouette")
PHYSICS = ("penetration", "gap", "floating", "stable")
ABLATION = ("f_s", "f_o", "f_s_raw", "iou_obb", "ap15", "l_align")
NAMES = {"iou_obb": "IoU3D", "ap15": "AP3D@15"}  # as the papers call them
BEGIN = "<!-- begin: written by hand in {name}, included unchanged -->"
END = "<!-- end: {name} -->"
INTRODUCTION = (
    "Made by `maquette benchmark --results`; do not edit, edit `{name}` instead. All scenes are composed of objects that no training has "
    "seen; the page about the benchmark says how, and what the columns are. Every number is a mean over scenes ± half its 95 % bootstrap "
    "interval. An object that is not there counts as a miss: F 0, IoU 0, half its size off. Bold is the best of a column; a method that "
    "was run on fewer scenes stands beside the others, but only equal scenes compare."
)


def write_results(folder: Path, page: Path, text: Path | None = None) -> Path:
    """Write the page about everything that a run folder holds; returns its path.

    text: the part written by hand; by default ``<page>-text.md`` beside the page, left out when
    there is none. Raises InputError when the folder holds nothing that was scored, or a ``text``
    that was asked for is not there.
    """
    rows = read_rows(folder / ROWS)
    record = _record(folder)
    if not rows:
        raise InputError(f"{folder}: nothing was scored yet; finish the benchmark")
    chosen = page.with_name(f"{page.stem}-text.md") if text is None else text
    if text is not None and not text.is_file():
        raise InputError(f"{text}: no such file; write it, or leave the option out")
    written = chosen.read_text(encoding="utf-8") if chosen.is_file() else ""
    with atomic_write(page) as temporary:
        temporary.write_text(results_page(rows, record, written, chosen.name), encoding="utf-8")
    return page


def results_page(rows: Sequence[Row], record: Mapping[str, Any], written: str, name: str) -> str:
    """The whole page. rows: of rows.csv; record: run.json; written: the part by hand, of the file
    ``name``.
    """
    networks = {
        method: [Network(**n) for n in found]
        for method, found in record.get("networks", {}).items()
    }
    comparisons = record.get("comparisons", {})
    variants = {method for c in comparisons.values() for method in c["methods"]}
    apart = variants - set(record.get("plain", variants))
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    parts = ["# Results", INTRODUCTION.format(name=name), _made_of(rows, record)]
    if written:
        parts += [BEGIN.format(name=name), written.strip(), END.format(name=name)]
    for protocol in protocols:
        own = [row for row in rows if row.protocol == protocol]
        parts += [
            markdown(table)
            for table in method_tables([row for row in own if row.method not in apart])
        ]
    first = [row for row in rows if row.protocol == protocols[0]]
    parts += [
        markdown(table)
        for table in (cost_table(first, networks, apart), network_table(networks, apart))
        if table.body
    ]
    for title, comparison in comparisons.items():
        compared = [row for row in first if row.method in comparison["methods"]]
        if len({row.method for row in compared}) > 1:
            parts.append(
                markdown(ablation_table(compared, title, comparison["baseline"], networks))
            )
    return "\n\n".join(part for part in parts if part) + "\n"


def method_tables(rows: Sequence[Row]) -> list[Table]:
    """Geometry, layout and physics of all methods, per set; tables without a number are left out."""
    found = []
    for title, metrics in (("Geometry", GEOMETRY), ("Layout", LAYOUT), ("Physics", PHYSICS)):
        known = (
            [metric for metric in metrics if not np.isnan(column(rows, metric)).all()]
            if rows
            else []
        )
        if known:
            found.append(_renamed(results_table(rows, known, title)))
    return found


def cost_table(
    rows: Sequence[Row], networks: Mapping[str, Sequence[Network]], apart: set[str]
) -> Table:
    """Seconds, memory, parameters, size and training of every method that makes something, over all
    its scenes.
    """
    methods = [
        m for m in dict.fromkeys(row.method for row in rows) if m not in apart and m not in ORACLES
    ]
    body = []
    for method in methods:
        own = [row for row in rows if row.method == method]
        nets = networks.get(method, ())
        costs = [
            mean(np.array([getattr(row, name) for row in own], np.float64), name, spread=True)
            for name in ("seconds", "peak_mb")
        ]
        made = (
            [f"{parameters(nets):.1f}", f"{megabytes(nets):.1f}", f"{minutes(nets):.0f}"]
            if nets
            else ["-"] * 3
        )
        body.append(
            (Cell(shown(method)), Cell(str(len(own))), *costs, *(Cell(text) for text in made))
        )
    head = (
        "method",
        "scenes",
        heading("seconds"),
        heading("peak_mb"),
        "parameters, M",
        "weights, MB",
        "training, minutes",
    )
    note = "Parameters, weights and training are those of all networks that a method uses, as the headers of their files tell."
    return Table("Cost", note, head, tuple(body))


def network_table(networks: Mapping[str, Sequence[Network]], apart: set[str]) -> Table:
    """Every file of weights once: who uses it, its size and its training."""
    users: dict[Network, list[str]] = {}
    for method, found in networks.items():
        if method not in apart:
            for network in found:
                users.setdefault(network, []).append(method)
    body = tuple(
        (
            Cell(n.kind),
            Cell(f"{n.parameters / 1e6:.2f}"),
            Cell(f"{n.bytes / 2**20:.1f}"),
            Cell(str(n.steps)),
            Cell(f"{n.minutes:.0f}"),
            Cell(n.processor),
            Cell(", ".join(names)),
            Cell(f"`{n.sha256[:8]}`"),
        )
        for n, names in users.items()
    )
    head = ("network", "parameters, M", "MB", "steps", "minutes", "processor", "used by", "sha256")
    return Table(
        "Networks", "Steps and minutes of all trainings of a file, one after the other.", head, body
    )


def ablation_table(
    rows: Sequence[Row], title: str, baseline: str, networks: Mapping[str, Sequence[Network]]
) -> Table:
    """Variants of one method on the scenes that all of them made: means, and paired differences to
    the baseline.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    common = set.intersection(*({row.scene for row in rows if row.method == m} for m in methods))
    metrics = [name for name in ABLATION if not np.isnan(column(rows, name)).all()]
    values = {
        m: {row.scene: row.metrics for row in rows if row.method == m and row.scene in common}
        for m in methods
    }
    files: dict[str, set[str]] = {}  # kind of network -> sha256 of all variants
    for network in (network for method in methods for network in networks.get(method, ())):
        files.setdefault(network.kind, set()).add(network.sha256)
    differing = {kind for kind, found in files.items() if len(found) > 1}
    body = []
    for method in sorted(methods, key=lambda m: m != baseline):
        cells = [Cell(method), Cell(_trained(networks.get(method, ()), differing))]
        for metric in metrics:
            scores = {scene: found.get(metric, np.nan) for scene, found in values[method].items()}
            against = {
                scene: found.get(metric, np.nan) for scene, found in values[baseline].items()
            }
            own = mean(np.array(list(scores.values())), metric)
            if method == baseline:
                cells.append(own)
                continue
            change = difference(scores, against, metric)
            mark = f" {change.worth}" if change.worth else ""
            spread = f" ± {change.spread}" if change.spread else ""
            cells.append(Cell(f"{own.text} ({change.text}{spread}{mark})"))
        body.append(tuple(cells))
    sets = ", ".join(dict.fromkeys(row.set for row in rows if row.scene in common))
    note = (
        f"protocol {rows[0].protocol}, {len(common)} scenes ({sets}); in brackets the mean difference to {baseline} on the same scenes "
        "± half its 95 % interval (paired), called better or worse when that interval does not hold zero"
    )
    return Table(
        title,
        note,
        ("variant", "trained", *(NAMES.get(m, "") + _arrow(m) or heading(m) for m in metrics)),
        tuple(body),
    )


def _trained(networks: Sequence[Network], differing: set[str]) -> str:
    """Steps of the network that makes a variant what it is; "-" where all variants have the same
    networks.
    """
    return next(
        (f"{network.steps} steps" for network in networks if network.kind in differing), "-"
    )


def _arrow(metric: str) -> str:
    return heading(metric).rpartition(" ")[2].join((" ", "")) if metric in NAMES else ""


def _renamed(table: Table) -> Table:
    """The papers' names for our columns."""
    ours = {heading(metric): NAMES[metric] + _arrow(metric) for metric in NAMES}
    return Table(
        table.title,
        table.note,
        tuple(ours.get(name, name) for name in table.head),
        table.body,
        table.groups,
    )


def _made_of(rows: Sequence[Row], record: Mapping[str, Any]) -> str:
    """What was run: version, sources, threads, scenes."""
    sources = ", ".join(dict.fromkeys(record.get("sources", {}).values()))
    scenes = len({row.scene for row in rows})
    text = f"maquette {record.get('maquette', '?')}; scenes of {sources}; {scenes} scenes, {record.get('threads', 1)} thread(s) a process."
    unusable = record.get("unusable", {})
    return text + (f" Could not be used: {', '.join(unusable)}." if unusable else "")


def _record(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: no {RUN}; give the --out folder of maquette benchmark"
        ) from error
    except ValueError as error:
        raise InputError(f"{folder / RUN}: damaged ({error}); repeat the benchmark") from error
