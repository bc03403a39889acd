"""Rows -> tables as data, for Markdown here and for the report: methods side by side, ablations,
means with bootstrap intervals.

Laid out after I-Scene (arXiv 2512.13683): table 1 (methods on sets of scenes), table 2 (what a
component is worth), table 3 (what the training data are worth). Every table carries its protocol id
and the number of scenes behind each mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.rows import Row, column
from maquette.evaluate.summary import METRICS, SEEN, bootstrap_interval, means_of


@dataclass(frozen=True)
class Column:
    """How one number is shown."""

    label: str
    better: str = ""  # "up", "down" or "": neither
    digits: int = 3


COLUMNS = {
    "cd_s": Column("CD-S", "down", 4),
    "f_s": Column("F-S", "up", 1),
    "cd_o": Column("CD-O", "down", 4),
    "f_o": Column("F-O", "up", 1),
    "iou_b": Column("IoU-B", "up"),
    "cd_s_raw": Column("CD-S raw", "down", 4),
    "f_s_raw": Column("F-S raw", "up", 1),
    "cd_o_raw": Column("CD-O raw", "down", 4),
    "f_o_raw": Column("F-O raw", "up", 1),
    "iou_b_raw": Column("IoU-B raw", "up"),
    "normals": Column("normals", "up"),
    "silhouette": Column("silhouette", "up"),
    "l_align": Column("L_align", "down", 2),
    "f_s_2": Column("F-S, 2nd threshold", "up", 1),
    "f_s_3": Column("F-S, 3rd threshold", "up", 1),
    "cd_s_one": Column("CD-S one way", "down", 4),
    "add_s": Column("ADD-S", "down"),
    "add_s_01": Column("ADD-S@.1 %", "up", 1),
    "icp_rotation": Column("ICP-Rot °", "down", 1),
    "emd": Column("EMD", "down"),
    "iou_obb": Column("turned-box IoU", "up"),
    "iou_v": Column("volume IoU", "up"),
    "ap15": Column("AP@15", "up", 1),
    "penetration": Column("penetration %", "down", 2),
    "gap": Column("gap", "down", 4),
    "floating": Column("floating %", "down", 1),
    "stable": Column("stable %", "up", 1),
    "seconds": Column("s / image", "down", 1),
    "peak_mb": Column("peak MB", "down", 0),
    "gpu_peak_mb": Column("GPU MB", "down", 0),
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
COSTS = ("seconds", "peak_mb", "gpu_peak_mb")
ARROWS = {"up": " ↑", "down": " ↓", "": ""}


@dataclass(frozen=True)
class Cell:
    """One entry."""

    text: str
    spread: str = ""  # half the width of the 95 % interval, as text
    best: bool = False
    worth: str = ""  # of a difference: "better", "worse" or "" when its interval holds zero


@dataclass(frozen=True)
class Table:
    """A table for people."""

    title: str
    note: str
    head: tuple[str, ...]
    body: tuple[tuple[Cell, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()  # (name, number of rows), in order; none = one group


def comparison_tables(rows: Sequence[Row], baseline: str | None = None) -> list[Table]:
    """All tables of a run: per protocol the results, with ``baseline`` the two ablations against
    it, then the remaining metrics.
    """
    tables = []
    for protocol in dict.fromkeys(row.protocol for row in rows):
        chosen = [row for row in rows if row.protocol == protocol]
        tables.append(results_table(chosen))
        if baseline is not None and len({row.method for row in chosen}) > 1:
            tables += [component_table(chosen, baseline), data_table(chosen, baseline)]
        rest = [
            name
            for name in (*METRICS, *SEEN)
            if name not in MAIN and not np.isnan(column(chosen, name)).all()
        ]
        if rest:
            tables.append(results_table(chosen, tuple(rest), "More metrics"))
    return tables


def results_table(
    rows: Sequence[Row], metrics: Sequence[str] = MAIN, title: str = "Results"
) -> Table:
    """Methods side by side on every set, as I-Scene's table 1: aligned and alignment-free numbers,
    misses, time and memory per image.
    """
    sets = list(dict.fromkeys(row.set for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    columns = [name for name in metrics if not np.isnan(_values(rows, name)).all()]
    costly = any(name in COSTS for name in columns)
    body = []
    groups = []
    for name in [*sets, *(["all"] if len(sets) > 1 else [])]:
        present = [
            (m, [r for r in rows if r.method == m and name in (r.set, "all")]) for m in methods
        ]
        present = [(m, chosen) for m, chosen in present if chosen]
        cells = [[mean(_values(chosen, c), c) for c in columns] for _, chosen in present]
        marked = _with_best(cells, columns, [_is_fair(m) for m, _ in present])
        for (method, chosen), line in zip(present, marked):
            counts = f"{sum(r.missing for r in chosen)} / {sum(r.objects for r in chosen)}"
            body.append((Cell(shown(method)), Cell(str(len(chosen))), *line, Cell(counts)))
        groups.append((name, len(present)))
    head = ("method", "scenes", *(heading(c) for c in columns), "missed / objects")
    note = f"protocol {rows[0].protocol}; means ± half the 95 % bootstrap interval over scenes; raw = without any alignment; F in per cent"
    return Table(
        title,
        note + ("; peak MB = resident memory while one image was made" if costly else ""),
        head,
        tuple(body),
        tuple(groups),
    )


def component_table(rows: Sequence[Row], baseline: str) -> Table:
    """What each variant is worth, as I-Scene's table 2: F-S and IoU-B per set, and the paired
    difference to the baseline.
    """
    return _ablation(rows, baseline, ("f_s", "iou_b"), "Ablation: components")


def data_table(rows: Sequence[Row], baseline: str) -> Table:
    """The same in the form of I-Scene's table 3, which compares training data: CD-S and F-S per
    set.
    """
    return _ablation(rows, baseline, ("cd_s", "f_s"), "Ablation: training data")


def _ablation(rows: Sequence[Row], baseline: str, metrics: tuple[str, ...], title: str) -> Table:
    sets = list(dict.fromkeys(row.set for row in rows))
    methods = [m for m in dict.fromkeys(row.method for row in rows) if _is_fair(m)]
    pairs = [(name, metric) for name in sets for metric in metrics]
    head = ["variant"]
    for name, metric in pairs:
        head += [f"{name} {heading(metric)}", f"Δ {baseline}"]
    columns: list[list[Cell]] = []
    for name, metric in pairs:
        by_scene = {
            m: {r.scene: r.metrics[metric] for r in rows if r.method == m and r.set == name}
            for m in methods
        }
        means = [[mean(np.array(list(by_scene[m].values())), metric)] for m in methods]
        columns.append([line[0] for line in _with_best(means, [metric], [True] * len(methods))])
        columns.append(
            [
                difference(by_scene[m], by_scene.get(baseline, {}), metric)
                if m != baseline
                else Cell("")
                for m in methods
            ]
        )
    body = tuple((Cell(shown(m)), *(c[k] for c in columns)) for k, m in enumerate(methods))
    note = f"protocol {rows[0].protocol}; Δ = mean difference to {baseline} on the same scenes ± half its 95 % bootstrap interval (paired)"
    return Table(title, note, tuple(head), body)


def heading(metric: str) -> str:
    """The name of a metric with an arrow towards the better."""
    known = COLUMNS.get(metric, Column(metric))
    return known.label + ARROWS[known.better]


def shown(method: str) -> str:
    """The name of a method; oracles say that they are."""
    return f"{method} (oracle)" if method in ORACLES else method


def _is_fair(method: str) -> bool:
    return method not in ORACLES


def _values(rows: Sequence[Row], name: str) -> np.ndarray:
    return (
        np.array([getattr(r, name) for r in rows], dtype=np.float64)
        if name in COSTS
        else column(rows, name)
    )


def mean(values: np.ndarray, name: str, spread: bool | None = None) -> Cell:
    """Mean of the known values of a metric, with half its 95 % interval; costs show theirs only
    when asked to (``spread``).
    """
    found = float(means_of(values[:, None])[0]) if len(values) else math.nan
    if math.isnan(found):
        return Cell("-")
    digits = COLUMNS.get(name, Column(name)).digits
    low, high = (float(end[0]) for end in bootstrap_interval(values[:, None]))
    certain = len(values) < 2 or not (name not in COSTS if spread is None else spread)
    return Cell(f"{found:.{digits}f}", "" if certain else f"{(high - low) / 2:.{digits}f}")


def difference(variant: dict[str, float], baseline: dict[str, float], metric: str) -> Cell:
    """Paired: mean over the scenes (scene -> value) that both have, half its 95 % interval, and
    what it is worth.
    """
    common = [scene for scene in variant if scene in baseline]
    if not common:
        return Cell("-")
    change = np.array([variant[s] - baseline[s] for s in common])
    digits = COLUMNS[metric].digits
    if len(change) < 2:  # one scene tells nothing about others
        return Cell(f"{change.mean():+.{digits}f}")
    low, high = (float(end[0]) for end in bootstrap_interval(change[:, None]))
    up = COLUMNS[metric].better == "up"
    worth = "" if low <= 0.0 <= high else "better" if (low > 0.0) == up else "worse"
    return Cell(f"{change.mean():+.{digits}f}", f"{(high - low) / 2:.{digits}f}", worth=worth)


def _with_best(
    cells: list[list[Cell]], columns: Sequence[str], fair: Sequence[bool]
) -> list[list[Cell]]:
    """Mark the best of every column among those that do not look at the truth; nothing to mark when
    all are equal.
    """
    marked = [list(line) for line in cells]
    for k, name in enumerate(columns):
        better = COLUMNS.get(name, Column(name)).better
        candidates = [
            (float(line[k].text), j)
            for j, line in enumerate(cells)
            if fair[j] and line[k].text != "-"
        ]
        if better and len({value for value, _ in candidates}) > 1:
            best = (max if better == "up" else min)(value for value, _ in candidates)
            for value, j in candidates:
                if value == best:
                    marked[j][k] = Cell(cells[j][k].text, cells[j][k].spread, best=True)
    return marked


def markdown(table: Table) -> str:
    """A Markdown table; with groups, their name is the first column."""
    grouped = bool(table.groups)
    head = ("set", *table.head) if grouped else table.head
    names = [name for name, count in table.groups for _ in range(count)]
    lines = [
        f"### {table.title}",
        "",
        table.note,
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for k, line in enumerate(table.body):
        cells = [_plain(cell) for cell in line]
        lines.append(f"| {' | '.join([names[k], *cells] if grouped else cells)} |")
    return "\n".join(lines)


def _plain(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    mark = {"better": " (better)", "worse": " (worse)", "": ""}[cell.worth]
    return f"{text} ± {cell.spread}{mark}" if cell.spread else text + mark


def as_json(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """The same means for programs: protocol -> method -> set -> number."""
    result: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for key in dict.fromkeys((row.protocol, row.method, row.set) for row in rows):
        chosen = [row for row in rows if (row.protocol, row.method, row.set) == key]
        values = {
            name: float(means_of(_values(chosen, name)[:, None])[0])
            for name in (*METRICS, *SEEN, *COSTS)
        }
        entry = {
            "scenes": len(chosen),
            "objects": sum(r.objects for r in chosen),
            "missing": sum(r.missing for r in chosen),
            **{name: round(value, 5) for name, value in values.items() if not math.isnan(value)},
        }
        result.setdefault(key[0], {}).setdefault(key[1], {})[key[2]] = entry
    return result
