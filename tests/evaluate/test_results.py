"""The page of results: every method and set of a run, ablations paired, the part written by hand
kept to the letter.
"""

import json
import math

import pytest

from maquette.errors import InputError
from maquette.evaluate.resources import Network
from maquette.evaluate.results import ablation_table, results_page, write_results
from maquette.evaluate.rows import ResultRow, write_table
from maquette.evaluate.summary import METRICS, SEEN

NETWORK = {
    "kind": "image-encoder",
    "sha256": "ab" * 32,
    "parameters": 1_500_000,
    "bytes": 2**21,
    "steps": 10,
    "minutes": 2.0,
    "processor": "abacus",
}
OWN = NETWORK | {
    "kind": "generator",
    "sha256": "cd" * 32,
    "parameters": 2_000_000,
    "steps": 300,
    "minutes": 5.5,
}


def rows(method, values, name="random", misses=0):
    """One row per F-score; every other metric follows from it."""
    return [
        ResultRow(
            name,
            f"{name}/{k:04d}",
            method,
            "iscene/1",
            3,
            misses,
            0,
            {m: value / 100 for m in METRICS} | dict.fromkeys(SEEN, 0.5) | {"f_s": float(value)},
            2.0 + k,
            500.0,
        )
        for k, value in enumerate(values)
    ]


ROWS_OF = [
    *rows("iscene", [70, 80, 90]),
    *rows("iscene", [50, 60], "rooms"),
    *rows("midi", [60, 70, 80], misses=1),
    *rows("boxes", [99, 99, 99]),
    *rows("half", [50, 60, 70]),
    *rows("none", [48, 59, 66, 10]),
]
RECORD = {
    "maquette": "1",
    "threads": 1,
    "sources": {"random/0000": "sets 1, toys"},
    "plain": ["iscene", "midi", "boxes"],
    "networks": {"iscene": [NETWORK, OWN], "midi": [NETWORK, OWN], "half": [NETWORK, OWN]},
    "comparisons": {"MIDI: attention": {"methods": ["half", "none"], "baseline": "half"}},
}


def section(page, title):
    return page.split(f"### {title}")[1].split("###")[0]


def test_every_method_stands_in_every_set_it_ran_and_variants_stand_apart():
    page = results_page(ROWS_OF, RECORD, "", "text.md")
    geometry = section(page, "Geometry")
    lines = [line for line in geometry.splitlines() if line.startswith("| r")]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| random", "iscene", "3"],
        ["| random", "midi", "3"],
        ["| random", "boxes (oracle)", "3"],
        ["| rooms", "iscene", "2"],
    ]
    assert "| half" not in geometry and "3 / 9" in geometry  # misses are shown
    assert "AP3D@15 ↑" in section(page, "Layout") and "IoU3D ↑" in section(page, "Layout")


def test_costs_are_of_all_networks_and_each_network_is_listed_once():
    page = results_page(ROWS_OF, RECORD, "", "text.md")
    cost = section(page, "Cost")
    assert "| 3.5 | 4.0 | 8 |" in cost and "boxes" not in cost and "half" not in cost
    networks = section(page, "Networks")
    assert networks.count("abacus") == 2 and "iscene, midi" in networks


def test_ablations_compare_the_common_scenes_with_their_baseline():
    compared = [row for row in ROWS_OF if row.method in ("half", "none")]
    table = ablation_table(compared, "MIDI: attention", "half", {})
    assert [line[0].text for line in table.body] == [
        "half",
        "none",
    ] and "3 scenes (random)" in table.note
    assert (
        table.body[0][2].text == "60.0"
        and table.body[1][2].text.startswith("57.7 (-2.3 ± ")
        and "worse" in table.body[1][2].text
    )
    swapped = ablation_table(compared, "", "none", {}).body
    assert (
        swapped[0][0].text == "none"
        and "+2.3" in swapped[1][2].text
        and "better" in swapped[1][2].text
    )


def test_an_ablation_tells_the_training_of_what_differs():
    compared = [row for row in ROWS_OF if row.method in ("half", "none")]
    one = Network(**OWN)
    other = Network(**OWN | {"sha256": "ef" * 32, "steps": 120})
    shared = Network(**NETWORK)
    table = ablation_table(compared, "", "half", {"half": (shared, one), "none": (shared, other)})
    assert [line[1].text for line in table.body] == ["300 steps", "120 steps"]
    same = ablation_table(compared, "", "half", {"half": (shared, one), "none": (shared, one)})
    assert [line[1].text for line in same.body] == ["-", "-"]


def test_no_line_is_wider_than_a_screen_allows():
    page = results_page(ROWS_OF, RECORD, "", "text.md")
    tables = [
        line for line in page.splitlines() if line.startswith("|") and not line.startswith("|-")
    ]
    assert max(map(len, tables)) < 190


def test_the_part_by_hand_is_kept_to_the_letter_and_the_page_repeats_itself(tmp_path):
    run = tmp_path / "run"
    page = tmp_path / "docs" / "results.md"
    run.mkdir()
    with pytest.raises(InputError, match=r"run\.json"):
        write_results(run, page)
    (run / "run.json").write_text(json.dumps(RECORD))
    with pytest.raises(InputError, match="nothing was scored"):
        write_results(run, page)
    write_table(run / "rows.csv", [row.to_record() for row in ROWS_OF])
    assert "written by hand in" not in write_results(run, page).read_text(encoding="utf-8")
    words = "## What it means\n\n* a | b, `c`\n  <not a tag>"
    (page.parent / "results-text.md").write_text(words, encoding="utf-8")
    first = write_results(run, page).read_text(encoding="utf-8")
    assert f"unchanged -->\n\n{words}\n\n<!-- end" in first
    assert write_results(run, page).read_text(encoding="utf-8") == first
    with pytest.raises(InputError, match="no such file"):
        write_results(run, page, tmp_path / "gone.md")


def test_a_metric_that_was_not_measured_has_no_column():
    bare = [
        ResultRow(
            r.set,
            r.scene,
            r.method,
            r.protocol,
            3,
            0,
            0,
            dict(r.metrics) | {"l_align": math.nan, "gap": math.nan},
        )
        for r in ROWS_OF
    ]
    page = results_page(bare, RECORD, "", "text.md")
    assert "L_align" not in page and "gap" not in section(page, "Physics")
