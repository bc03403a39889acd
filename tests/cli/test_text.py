"""Tables and words of the command line."""

from maquette.cli.text import aligned, counted


def test_cells_of_a_column_begin_or_end_together():
    rows = [("name", "size", "note"), ("a", "10", ""), ("longer", "7", "x")]
    assert aligned(rows, right=[1]) == ["name    size  note", "a         10", "longer     7  x"]


def test_one_is_singular():
    assert [counted(k, "object") for k in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]
