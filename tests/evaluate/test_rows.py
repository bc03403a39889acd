import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.rows import (
    ResultRow,
    column,
    distinct,
    measured_names,
    number,
    read_rows,
    rows_where,
    write_table,
)

ROW = ResultRow(
    "random",
    "random/0000",
    "iscene",
    "iscene/1",
    5,
    1,
    0,
    {"f_s": 71.25, "silhouette": math.nan},
    2.5,
    812.0,
    math.nan,
    'a, "b"\nc',
)


def test_rows_come_back_from_csv(tmp_path):
    write_table(tmp_path / "rows.csv", [row.to_record() for row in (ROW, replace(ROW, error=""))])
    first, second = read_rows(tmp_path / "rows.csv")
    assert (first.error, second.error) == (ROW.error, "") and first.metrics["f_s"] == 71.25
    assert (
        math.isnan(first.metrics["silhouette"])
        and math.isnan(first.gpu_peak_mb)
        and first.peak_mb == 812.0
    )
    assert read_rows(tmp_path / "nothing.csv") == []


def test_parquet_holds_the_same(tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    write_table(tmp_path / "rows.csv", [ROW.to_record()])
    (record,) = pyarrow.read_table(tmp_path / "rows.parquet").to_pylist()
    assert record["f_s"] == 71.25 and record["scene"] == "random/0000"


def test_csv_alone_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert write_table(tmp_path / "rows.csv", [ROW.to_record()]) == [tmp_path / "rows.csv"]


def test_other_tables_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a table of a benchmark"):
        read_rows(tmp_path / "rows.csv")


def test_unknown_metrics_are_nan():
    assert np.isnan(column([ROW], "nothing")).all() and column([ROW], "f_s")[0] == 71.25


def test_empty_cells_are_nan():
    assert number("1.5") == 1.5 and np.isnan(number(""))


def test_rows_are_picked_by_their_fields_in_their_order():
    rows = [replace(ROW, scene=f"random/{k}", method="ab"[k % 2]) for k in range(4)]
    assert [row.scene for row in rows_where(rows, method="b")] == ["random/1", "random/3"]
    assert rows_where(rows, method="b", scene="random/0") == []
    assert distinct(rows, "method") == ["a", "b"]
    assert measured_names([ROW], ("silhouette", "f_s", "gpu_peak_mb", "seconds")) == [
        "f_s",
        "seconds",
    ]
