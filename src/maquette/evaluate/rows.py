"""Results as flat rows, one per scene, method and protocol, and one per object: CSV always, Parquet
when pyarrow is there.
"""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.output import atomic_write

MEASUREMENTS = (
    "seconds",
    "peak_mb",
    "gpu_peak_mb",
)  # differ from run to run; everything else is a function of the inputs


@dataclass(frozen=True)
class Row:
    """The score of one method on one scene under one protocol."""

    set: str
    scene: str
    method: str
    protocol: str  # id, such as "iscene/1"
    objects: int  # true ones; all of them count
    missing: int  # of these, counted as misses
    extra: int  # predicted ones that stand for none
    metrics: Mapping[str, float]  # summary.METRICS and SEEN; nan = does not apply
    seconds: float = math.nan
    peak_mb: float = math.nan
    gpu_peak_mb: float = math.nan
    error: str = ""  # why the method gave nothing; "" when it gave something

    def to_record(self) -> dict[str, Any]:
        """Flat."""
        record = {
            name: getattr(self, name)
            for name in ("set", "scene", "method", "protocol", "objects", "missing", "extra")
        }
        measured = {name: round(getattr(self, name), 3) for name in MEASUREMENTS}
        return {
            **record,
            **{name: round(float(value), 6) for name, value in self.metrics.items()},
            **measured,
            "error": self.error,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Row:
        """The inverse, from the texts of a CSV file."""
        fixed = (
            "set",
            "scene",
            "method",
            "protocol",
            "objects",
            "missing",
            "extra",
            *MEASUREMENTS,
            "error",
        )
        metrics = {name: _number(value) for name, value in record.items() if name not in fixed}
        counts = {name: int(record[name]) for name in ("objects", "missing", "extra")}
        texts = {name: record[name] for name in ("set", "scene", "method", "protocol", "error")}
        return cls(
            metrics=metrics,
            **texts,
            **counts,
            **{name: _number(record[name]) for name in MEASUREMENTS},
        )


def _number(text: str) -> float:
    return float(text) if text else math.nan


def write_table(path: Path, records: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write records of equal keys as ``path`` (.csv) and, when pyarrow is installed, beside it as
    .parquet. Returns the files.
    """
    columns = list(dict.fromkeys(key for record in records for key in record))
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({key: _cell(record.get(key)) for key in columns} for record in records)
    if importlib.util.find_spec("pyarrow") is None:
        return [path]
    import pyarrow
    import pyarrow.parquet

    with atomic_write(path.with_suffix(".parquet")) as temporary:
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(
                [{key: record.get(key) for key in columns} for record in records]
            ),
            temporary,
        )
    return [path, path.with_suffix(".parquet")]


def _cell(value: Any) -> Any:
    """Nothing instead of nan: what does not apply is an empty cell."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def read_rows(path: Path) -> list[Row]:
    """Rows of a run; none when there is no file. InputError when it is not such a file."""
    return [_row(record, path) for record in read_table(path)]


def _row(record: dict[str, str], path: Path) -> Row:
    try:
        return Row.from_record(record)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not a table of a benchmark ({error}); run the benchmark again"
        ) from error


def read_table(path: Path) -> list[dict[str, str]]:
    """Records of a CSV file as texts; none when there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: Iterable[Row], metric: str) -> np.ndarray:
    """(N,) float64 of one metric; nan where a row has none."""
    return np.array([row.metrics.get(metric, math.nan) for row in rows], dtype=np.float64)
