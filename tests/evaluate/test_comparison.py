"""Tables: means that count every scene, the best marked, paired differences, oracles out of
competition.
"""

import dataclasses
import math

import numpy as np
import pytest

from maquette.evaluate.comparison import (
    as_json,
    comparison_tables,
    component_table,
    data_table,
    results_table,
)
from maquette.evaluate.rows import ResultRow
from maquette.evaluate.summary import METRICS
from maquette.evaluate.tables import markdown


def rows(method, f, shift=0.0, name="random"):
    """One row per F-score; all other metrics follow from it."""
    metrics = [
        {m: (value if m.startswith("f_") else value / 100) + shift for m in METRICS} for value in f
    ]
    return [
        ResultRow(
            name,
            f"{name}/{k:04d}",
            method,
            "iscene/1",
            3,
            k == 0,
            0,
            m | {"silhouette": 0.5},
            2.0,
            500.0 + k,
        )
        for k, m in enumerate(metrics)
    ]


ONE = rows("one", [60, 70, 80, 90])
TWO = rows("two", [64, 74, 84, 95])
BOXES = rows("boxes", [99, 99, 99, 99])


def lookup(table, method, label):
    line = next(line for line in table.body if line[0].text.startswith(method))
    return line[[text.startswith(label) for text in table.head].index(True)]


def test_means_intervals_counts_and_the_best():
    table = results_table(ONE + TWO + BOXES)
    assert (
        lookup(table, "one", "F-S").text == "75.0" and float(lookup(table, "one", "F-S").spread) > 3
    )
    assert lookup(table, "two", "F-S").best and not lookup(table, "one", "F-S").best
    assert (
        lookup(table, "one", "CD-S").best and not lookup(table, "boxes", "F-S").best
    )  # lower is better; oracles do not compete
    assert (
        lookup(table, "one", "missed").text == "1 / 12"
        and lookup(table, "one", "scenes").text == "4"
    )
    assert "iscene/1" in table.note and "boxes (oracle)" in {line[0].text for line in table.body}
    assert lookup(table, "one", "peak").text == "502"


def test_several_sets_have_a_group_each_and_one_for_all():
    table = results_table(ONE + rows("one", [10, 10], name="rooms"))
    assert table.groups == (("random", 1), ("rooms", 1), ("all", 1))
    assert table.body[2][table.head.index("F-S ↑")].text == f"{(75 * 4 + 20) / 6:.1f}"


def test_differences_are_paired():
    table = component_table(ONE + TWO, "one")
    change = lookup(table, "two", "Δ")
    assert change.text == "+4.2" and float(change.spread) < 0.5 < float(
        lookup(table, "two", "random F-S").spread
    )
    assert (
        change.worth == "better"
        and lookup(component_table(ONE + TWO, "two"), "one", "Δ").worth == "worse"
    )
    assert lookup(data_table(ONE + TWO, "one"), "two", "Δ").worth == "worse"  # a larger distance
    noise = rows("noise", [65, 65, 75, 95])
    assert lookup(component_table(ONE + noise, "one"), "noise", "Δ").worth == ""


def test_one_scene_says_nothing_about_others():
    change = lookup(component_table(rows("one", [60]) + rows("two", [64]), "one"), "two", "Δ")
    assert (change.text, change.spread, change.worth) == ("+4.0", "", "")


def test_markdown_has_the_protocol_and_as_many_cells_in_every_line():
    for table in comparison_tables(ONE + TWO, "one"):
        lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1 and "iscene/1" in markdown(table)
    titles = [table.title for table in comparison_tables(ONE + TWO, "one")]
    assert titles == ["Results", "Ablation: components", "Ablation: training data", "More metrics"]
    assert [table.title for table in comparison_tables(ONE + TWO)] == ["Results", "More metrics"]


def test_what_does_not_apply_is_left_out_of_means_and_tables():
    half = [
        with_metric(row, "normals", value)
        for row, value in zip(ONE, [0.5, math.nan, 0.7, math.nan])
    ]
    assert as_json(half)["iscene/1"]["one"]["random"]["normals"] == pytest.approx(0.6)
    none = [with_metric(row, "silhouette", math.nan) for row in ONE]
    assert not any("silhouette" in name for name in results_table(none).head)
    assert "silhouette" not in as_json(none)["iscene/1"]["one"]["random"]
    assert np.isfinite(as_json(none)["iscene/1"]["one"]["random"]["f_s"])


def with_metric(row, name, value):
    return dataclasses.replace(row, metrics=dict(row.metrics) | {name: value})
