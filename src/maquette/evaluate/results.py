"""A run folder -> a page of results in Markdown: all methods on all sets, what they cost, and the
ablations of every method.

The last station of an evaluation, beside the report. Everything in the page but one part is
computed from the run. That part, what the numbers mean, is written by hand in a file of its own and
stands unchanged between two marks, so that making the page anew never loses it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from maquette.errors import InputError
from maquette.evaluate.comparison import (
    by_scene,
    difference,
    display_name,
    heading,
    mean,
    results_table,
    shape_of,
)
from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.resources import Network, megabytes, minutes, parameters
from maquette.evaluate.rows import Rows, column, distinct, measured_names, rows_where
from maquette.evaluate.run_folder import RunFolder
from maquette.evaluate.tables import Cell, Table, markdown, unusable_table
from maquette.execute.store import written as written_to
from maquette.types import JsonObject

GEOMETRY = ("f_s", "cd_s", "f_o", "cd_o", "iou_b")
LAYOUT = ("f_s_raw", "iou_b_raw", "iou_obb", "ap15", "l_align", "silhouette")
PHYSICS = ("penetration", "gap", "floating", "stable", "depth", "displacement", "peak_energy")
ABLATION = ("f_s", "f_o", "f_s_raw", "iou_obb", "ap15", "l_align")
NAMES = {"iou_obb": "IoU3D", "ap15": "AP3D@15"}  # as the papers call them
BEGIN = "<!-- begin: written by hand in {name}, included unchanged -->"
END = "<!-- end: {name} -->"
INTRODUCTION = (
    "Made by `maquette benchmark --results`; do not edit, edit `{name}` instead. All scenes are "
    "composed of objects that no training has seen; the page about the benchmark says how, and "
    "what the columns are. Every number is a mean over scenes ± half its 95 % bootstrap interval. "
    "An object that is not there counts as a miss: F 0, IoU 0, half its size off. Bold is the best "
    "of a column; a method that was run on fewer scenes stands beside the others, but only equal "
    "scenes compare."
)

Networks = Mapping[str, Sequence[Network]]  # of every method that has some


def write_results(folder: Path, page: Path, text: Path | None = None) -> Path:
    """Write the page about everything that a run folder holds; returns its path.

    text: the part written by hand; by default ``<page>-text.md`` beside the page, left out when
    there is none. Raises InputError when the folder holds nothing that was scored, or a ``text``
    that was asked for is not there.
    """
    run = RunFolder(folder)
    record = run.record()
    rows = run.scored_rows()
    by_hand = page.with_name(f"{page.stem}-text.md") if text is None else text
    if text is not None and not text.is_file():
        raise InputError(f"{text}: no such file; write it, or leave the option out")
    written = by_hand.read_text(encoding="utf-8") if by_hand.is_file() else ""
    with written_to(page) as temporary:
        temporary.write_text(results_page(rows, record, written, by_hand.name), encoding="utf-8")
    return page


def results_page(
    rows: Rows,
    record: JsonObject,
    written: str,
    name: str,
) -> str:
    """The whole page. rows: of rows.csv; record: run.json; written: the part by hand, of the file
    ``name``.
    """
    stored = record.get("networks", {})
    networks = {method: [Network(**n) for n in found] for method, found in stored.items()}
    comparisons = record.get("comparisons", {})
    variants = {method for comparison in comparisons.values() for method in comparison["methods"]}
    apart = variants - set(record.get("plain", variants))
    by_hand = [BEGIN.format(name=name), written.strip(), END.format(name=name)] if written else []
    parts = ["# Results", INTRODUCTION.format(name=name), _made_of(rows, record), *by_hand]
    protocols = distinct(rows, "protocol")
    tables = []
    for protocol in protocols:
        own = rows_where(rows, protocol=protocol)
        tables += method_tables([row for row in own if row.method not in apart])
    first = rows_where(rows, protocol=protocols[0])
    tables.append(cost_table(first, networks, apart))
    tables.append(network_table(networks, apart))
    for title, comparison in comparisons.items():
        compared = [row for row in first if row.method in comparison["methods"]]
        if len(distinct(compared, "method")) > 1:
            tables.append(ablation_table(compared, title, comparison["baseline"], networks))
    tables.append(unusable_table(record.get("unusable", {})))
    return "\n\n".join(parts + [markdown(table) for table in tables if table.body]) + "\n"


def method_tables(rows: Rows) -> list[Table]:
    """Geometry, layout and physics of all methods, per set; not those without any number."""
    found = []
    for title, metrics in (("Geometry", GEOMETRY), ("Layout", LAYOUT), ("Physics", PHYSICS)):
        known = measured_names(rows, metrics)
        if known:
            table = results_table(rows, known, title)
            head = ("method", "scenes", *map(_heading, known), table.head[-1])
            found.append(replace(table, head=head))
    return found


def _heading(metric: str) -> str:
    """The papers' name for a metric, or ours, with an arrow towards the better."""
    if metric in NAMES:
        return f"{NAMES[metric]} {shape_of(metric).better}"
    return heading(metric)


def cost_table(rows: Rows, networks: Networks, apart: Collection[str]) -> Table:
    """Seconds, memory, parameters, size and training of every method that makes something, over all
    its scenes.
    """
    body = []
    for method in distinct(rows, "method"):
        if method in apart or method in ORACLES:
            continue
        own = rows_where(rows, method=method)
        costs = [mean(column(own, name), name, spread=True) for name in ("seconds", "peak_mb")]
        nets = networks.get(method, ())
        sizes = [f"{parameters(nets):.1f}", f"{megabytes(nets):.1f}", f"{minutes(nets):.0f}"]
        made = [Cell(size if nets else "-") for size in sizes]
        body.append((Cell(display_name(method)), Cell(str(len(own))), *costs, *made))
    measures = (heading("seconds"), heading("peak_mb"))
    head = ("method", "scenes", *measures, "parameters, M", "weights, MB", "training, minutes")
    note = (
        "Parameters, weights and training are those of all networks that a method uses, "
        "as the headers of their files tell."
    )
    return Table("Cost", note, head, tuple(body))


def network_table(networks: Networks, apart: Collection[str]) -> Table:
    """Every file of weights once: who uses it, its size and its training."""
    users: dict[Network, list[str]] = {}
    for method, found in networks.items():
        for network in found if method not in apart else ():
            users.setdefault(network, []).append(method)
    body = []
    for network, methods in users.items():
        size = (f"{network.parameters / 1e6:.2f}", f"{network.bytes / 2**20:.1f}")
        training = (str(network.steps), f"{network.minutes:.0f}", network.processor)
        texts = (network.kind, *size, *training, ", ".join(methods), f"`{network.sha256[:8]}`")
        body.append(tuple(map(Cell, texts)))
    head = ("network", "parameters, M", "MB", "steps", "minutes", "processor", "used by", "sha256")
    note = "Steps and minutes of all trainings of a file, one after the other."
    return Table("Networks", note, head, tuple(body))


def ablation_table(
    rows: Rows,
    title: str,
    baseline: str,
    networks: Networks,
) -> Table:
    """Variants of one method on the scenes that all of them made: means, and paired differences to
    the baseline.
    """
    methods = sorted(distinct(rows, "method"), key=lambda method: method != baseline)
    metrics = measured_names(rows, ABLATION)
    made = [set(distinct(rows_where(rows, method=method), "scene")) for method in methods]
    common = set.intersection(*made)
    compared = [row for row in rows if row.scene in common]
    differing = _differing_kinds([networks.get(method, ()) for method in methods])
    body = []
    for method in methods:
        cells = [Cell(method), Cell(_trained(networks.get(method, ()), differing))]
        for metric in metrics:
            scores = by_scene(rows_where(compared, method=method), metric)
            own = mean([*scores.values()], metric)
            if method != baseline:
                against = by_scene(rows_where(compared, method=baseline), metric)
                own = Cell(f"{own.text} ({_change(difference(scores, against, metric))})")
            cells.append(own)
        body.append(tuple(cells))
    note = (
        f"protocol {rows[0].protocol}, {len(common)} scenes "
        f"({', '.join(distinct(compared, 'set'))}); in brackets the mean difference to {baseline} "
        "on the same scenes ± half its 95 % interval (paired), called better or worse when that "
        "interval does not hold zero"
    )
    return Table(title, note, ("variant", "trained", *map(_heading, metrics)), tuple(body))


def _change(cell: Cell) -> str:
    """A difference with its spread and whether it is better or worse."""
    spread = f" ± {cell.spread}" if cell.spread else ""
    return cell.text + spread + (f" {cell.worth}" if cell.worth else "")


def _differing_kinds(networks: Sequence[Sequence[Network]]) -> set[str]:
    """The kinds of networks of which the variants have several."""
    files = {(network.kind, network.sha256) for found in networks for network in found}
    kinds = [kind for kind, _ in files]
    return {kind for kind in kinds if kinds.count(kind) > 1}


def _trained(networks: Sequence[Network], differing: Collection[str]) -> str:
    """Steps of the network that makes a variant what it is; "-" where all variants have the same
    networks.
    """
    steps = [f"{network.steps} steps" for network in networks if network.kind in differing]
    return steps[0] if steps else "-"


def _made_of(rows: Rows, record: JsonObject) -> str:
    """What was run: version, sources, threads, scenes."""
    sources = ", ".join(dict.fromkeys(record.get("sources", {}).values()))
    scenes = len(distinct(rows, "scene"))
    threads = record.get("threads", 1)
    unusable = ", ".join(record.get("unusable", {}))
    text = (
        f"maquette {record.get('maquette', '?')}; scenes of {sources}; {scenes} scenes, "
        f"{threads} thread(s) a process."
    )
    return text + (f" Could not be used: {unusable}." if unusable else "")
