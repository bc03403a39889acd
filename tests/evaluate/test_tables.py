"""One table in three forms; nothing in it can break the form."""

import xml.etree.ElementTree as ET

from maquette.evaluate.tables import (
    Cell,
    Table,
    html,
    markdown,
    text_columns,
    unusable_table,
)

TABLE = Table(
    "Results <1>",
    "a & b",
    ("method", "F"),
    (
        (Cell("one"), Cell("70", "2", best=True)),
        (Cell("boxes (oracle)"), Cell("-2", "1", worth="worse")),
        (Cell("one"), Cell("60")),
    ),
    (("random", 2), ("rooms", 1)),
)


def test_markdown_has_the_group_in_the_first_column():
    assert markdown(TABLE).splitlines() == [
        "### Results <1>",
        "",
        "a & b",
        "",
        "| set | method | F |",
        "|---|---|---|",
        "| random | one | **70** ± 2 |",
        "| random | boxes (oracle) | -2 ± 1 (worse) |",
        "| rooms | one | 60 |",
    ]


def test_html_has_a_line_for_each_group_and_marks_what_stands_out():
    root = ET.fromstring(html(TABLE))
    lines = root.findall(".//tbody/tr")
    assert [line.get("class") for line in lines] == ["group", None, "oracle", "group", None]
    assert [cell.get("class") for cell in root.findall(".//td")] == ["best", "worse", ""]
    assert root.find(".//h3").text == "Results <1>" and root.find(".//p").text == "a & b"
    assert root.find(".//td/span").text == "±2"
    single = Table("t", "n", TABLE.head, TABLE.body[:1], (("random", 1),))
    assert "group" not in html(single)


def test_what_was_given_cannot_break_a_table():
    table = unusable_table({"a|b": "x.glb: 1 | 2 <script>"})
    line = markdown(table).splitlines()[-1]
    assert line == r"| a\|b | x.glb: 1 \| 2 <script> |"
    assert "<script>" not in html(table)


def test_columns_of_text_stand_below_each_other():
    lines = text_columns([("object", "f", ""), ("a", "1.5", "  note")], (8, 5, 0))
    assert lines == ["object      f", "a         1.5  note"]
