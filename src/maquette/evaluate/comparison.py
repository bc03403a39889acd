"""Rows -> tables as data, for Markdown and for the report: methods side by side, ablations, means
with bootstrap intervals.

Laid out after I-Scene (arXiv 2512.13683): table 1 (methods on sets of scenes), table 2 (what a
component is worth), table 3 (what the training data are worth). Every table carries its protocol id
and the number of scenes behind each mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.files import Record
from maquette.evaluate.rows import MEASUREMENTS, Rows, column, distinct, measured_names, rows_where
from maquette.evaluate.summary import METRICS, SEEN, bootstrap_interval, means_of
from maquette.evaluate.tables import Cell, Table

Numbers = Sequence[float] | np.ndarray  # (N,)
UP = "↑"
DOWN = "↓"


@dataclass(frozen=True)
class Column:
    """How one number is shown."""

    label: str
    better: str = ""  # UP, DOWN or "": neither
    digits: int = 3


COLUMNS = {
    "cd_s": Column("CD-S", DOWN, 4),
    "f_s": Column("F-S", UP, 1),
    "cd_o": Column("CD-O", DOWN, 4),
    "f_o": Column("F-O", UP, 1),
    "iou_b": Column("IoU-B", UP),
    "cd_s_raw": Column("CD-S raw", DOWN, 4),
    "f_s_raw": Column("F-S raw", UP, 1),
    "cd_o_raw": Column("CD-O raw", DOWN, 4),
    "f_o_raw": Column("F-O raw", UP, 1),
    "iou_b_raw": Column("IoU-B raw", UP),
    "normals": Column("normals", UP),
    "silhouette": Column("silhouette", UP),
    "l_align": Column("L_align", DOWN, 2),
    "f_s_2": Column("F-S, 2nd threshold", UP, 1),
    "f_s_3": Column("F-S, 3rd threshold", UP, 1),
    "cd_s_one": Column("CD-S one way", DOWN, 4),
    "add_s": Column("ADD-S", DOWN),
    "add_s_01": Column("ADD-S@.1 %", UP, 1),
    "icp_rotation": Column("ICP-Rot °", DOWN, 1),
    "emd": Column("EMD", DOWN),
    "iou_obb": Column("turned-box IoU", UP),
    "iou_v": Column("volume IoU", UP),
    "ap15": Column("AP@15", UP, 1),
    "penetration": Column("penetration %", DOWN, 2),
    "gap": Column("gap", DOWN, 4),
    "floating": Column("floating %", DOWN, 1),
    "stable": Column("stable %", UP, 1),
    "depth": Column("depth m", DOWN, 5),
    "displacement": Column("displacement m", DOWN, 4),
    "peak_energy": Column("peak J/kg", DOWN, 3),
    "seconds": Column("s / image", DOWN, 1),
    "peak_mb": Column("peak MB", DOWN, 0),
    "gpu_peak_mb": Column("GPU MB", DOWN, 0),
}
MAIN = (
    "cd_s",
    "f_s",
    "cd_o",
    "f_o",
    "iou_b",
    "cd_s_raw",
    "f_s_raw",
    "iou_b_raw",
    "silhouette",
    "seconds",
    "peak_mb",
)


def comparison_tables(rows: Rows, baseline: str | None = None) -> list[Table]:
    """All tables of a run: per protocol the results, with ``baseline`` the two ablations against
    it, then the remaining metrics.
    """
    tables = []
    for protocol in distinct(rows, "protocol"):
        chosen = rows_where(rows, protocol=protocol)
        tables.append(results_table(chosen))
        if baseline is not None and len(distinct(chosen, "method")) > 1:
            tables += [component_table(chosen, baseline), data_table(chosen, baseline)]
        rest = [name for name in measured_names(chosen, (*METRICS, *SEEN)) if name not in MAIN]
        if rest:
            tables.append(results_table(chosen, rest, "More metrics"))
    return tables


def results_table(rows: Rows, metrics: Sequence[str] = MAIN, title: str = "Results") -> Table:
    """Methods side by side on every set, as I-Scene's table 1: aligned and alignment-free numbers,
    misses, time and memory per image.
    """
    metrics = measured_names(rows, metrics)
    sets = distinct(rows, "set")
    parts = {name: rows_where(rows, set=name) for name in sets}
    if len(sets) > 1:
        parts["all"] = list(rows)
    body: list[tuple[Cell, ...]] = []
    groups = []
    for name, part in parts.items():
        lines = _result_lines(part, distinct(rows, "method"), metrics)
        body += lines
        groups.append((name, len(lines)))
    note = (
        f"protocol {rows[0].protocol}; means ± half the 95 % bootstrap interval over scenes; "
        "raw = without any alignment; F in per cent"
    )
    if not set(metrics).isdisjoint(MEASUREMENTS):
        note += "; peak MB = resident memory while one image was made"
    head = ("method", "scenes", *map(heading, metrics), "missed / objects")
    return Table(title, note, head, tuple(body), tuple(groups))


def _result_lines(
    rows: Rows, methods: Sequence[str], metrics: Sequence[str]
) -> list[tuple[Cell, ...]]:
    """A line for every method that has rows: name, number of scenes, means, misses."""
    own = {method: rows_where(rows, method=method) for method in methods}
    own = {method: found for method, found in own.items() if found}
    columns = [[Cell(display_name(method)) for method in own]]
    columns.append([Cell(str(len(found))) for found in own.values()])
    for metric in metrics:
        means = {method: mean(column(found, metric), metric) for method, found in own.items()}
        columns.append(_best_marked(means, metric))
    misses = []
    for found in own.values():
        missing = sum(row.missing for row in found)
        misses.append(Cell(f"{missing} / {sum(row.objects for row in found)}"))
    return list(zip(*columns, misses))


def component_table(rows: Rows, baseline: str) -> Table:
    """What each variant is worth, as I-Scene's table 2: F-S and IoU-B per set, and the paired
    difference to the baseline.
    """
    return _ablation(rows, baseline, ("f_s", "iou_b"), "Ablation: components")


def data_table(rows: Rows, baseline: str) -> Table:
    """The same in the form of I-Scene's table 3, which compares training data: CD-S and F-S per
    set.
    """
    return _ablation(rows, baseline, ("cd_s", "f_s"), "Ablation: training data")


def _ablation(
    rows: Rows,
    baseline: str,
    metrics: tuple[str, ...],
    title: str,
) -> Table:
    """Every set and metric of the variants, each with its difference to the baseline."""
    methods = [method for method in distinct(rows, "method") if method not in ORACLES]
    head = ["variant"]
    columns = [[Cell(method) for method in methods]]
    for name in distinct(rows, "set"):
        part = rows_where(rows, set=name)
        for metric in metrics:
            head += [f"{name} {heading(metric)}", f"Δ {baseline}"]
            scores = {
                method: by_scene(rows_where(part, method=method), metric) for method in methods
            }
            means = {m: mean([*found.values()], metric) for m, found in scores.items()}
            against = scores.get(baseline, {})
            changes = {m: difference(found, against, metric) for m, found in scores.items()}
            changes[baseline] = Cell("")
            columns.append(_best_marked(means, metric))
            columns.append([changes[method] for method in methods])
    note = (
        f"protocol {rows[0].protocol}; Δ = mean difference to {baseline} on the same scenes "
        "± half its 95 % bootstrap interval (paired)"
    )
    return Table(title, note, tuple(head), tuple(zip(*columns)))


def by_scene(rows: Rows, metric: str) -> dict[str, float]:
    """The values of a metric by the names of the scenes."""
    return {row.scene: row.number(metric) for row in rows}


def shape_of(metric: str) -> Column:
    """How a metric is shown; by its own name when it is not one of ours."""
    return COLUMNS.get(metric, Column(metric))


def heading(metric: str) -> str:
    """The name of a metric with an arrow towards the better."""
    return f"{shape_of(metric).label} {shape_of(metric).better}".rstrip()


def display_name(method: str) -> str:
    """The name of a method; oracles say that they are."""
    return f"{method} (oracle)" if method in ORACLES else method


def mean(values: Numbers, metric: str, spread: bool | None = None) -> Cell:
    """Mean of the known values of a metric, with half its 95 % interval; costs show theirs only
    when asked to (``spread``).
    """
    found = _mean(values) if len(values) else math.nan
    if math.isnan(found):
        return Cell("-")
    digits = shape_of(metric).digits
    if spread is None:
        spread = metric not in MEASUREMENTS
    if not spread or len(values) < 2:  # one scene tells nothing about others
        return Cell(f"{found:.{digits}f}")
    return Cell(f"{found:.{digits}f}", _half(*_interval(values), digits))


def _mean(values: Numbers) -> float:
    """Of values of which some may be nan."""
    return float(means_of(np.array(values)[:, None])[0])


def _interval(values: Numbers) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean."""
    low, high = bootstrap_interval(np.array(values)[:, None])
    return float(low[0]), float(high[0])


def _half(low: float, high: float, digits: int) -> str:
    """Half the width of an interval, as text."""
    return f"{(high - low) / 2:.{digits}f}"


def difference(variant: Mapping[str, float], baseline: Mapping[str, float], metric: str) -> Cell:
    """Paired: mean over the scenes (scene -> value) that both have, half its 95 % interval, and
    what it is worth.
    """
    change = np.array([variant[scene] - baseline[scene] for scene in variant if scene in baseline])
    if not len(change):
        return Cell("-")
    digits = shape_of(metric).digits
    text = f"{change.mean():+.{digits}f}"
    if len(change) < 2:
        return Cell(text)
    low, high = _interval(change)
    up = shape_of(metric).better == UP
    worth = "better" if (low > 0.0) == up else "worse"
    uncertain = low <= 0.0 <= high
    return Cell(text, _half(low, high, digits), worth="" if uncertain else worth)


def _best_marked(means: Mapping[str, Cell], metric: str) -> list[Cell]:
    """A column of means by method, the best of those marked that do not look at the truth; nothing
    to mark when all are equal.
    """
    better = shape_of(metric).better
    known = {method: float(cell.text) for method, cell in means.items() if cell.text != "-"}
    fair = {value for method, value in known.items() if method not in ORACLES}
    if not better or len(fair) < 2:
        return list(means.values())
    best = max(fair) if better == UP else min(fair)
    marked = []
    for method, cell in means.items():
        wins = method not in ORACLES and known.get(method) == best
        marked.append(replace(cell, best=wins))
    return marked


def as_json(rows: Rows) -> Record:
    """The same means for programs: protocol -> method -> set -> number."""
    result: Record = {}
    for protocol, method, name in dict.fromkeys((r.protocol, r.method, r.set) for r in rows):
        chosen = rows_where(
            rows,
            protocol=protocol,
            method=method,
            set=name,
        )
        entry: Record = {"scenes": len(chosen)}
        entry["objects"] = sum(row.objects for row in chosen)
        entry["missing"] = sum(row.missing for row in chosen)
        for metric in measured_names(chosen, (*METRICS, *SEEN, *MEASUREMENTS)):
            entry[metric] = round(_mean(column(chosen, metric)), 5)
        result.setdefault(protocol, {}).setdefault(method, {})[name] = entry
    return result
