"""Results as flat rows, one per scene, method and protocol, and one per object: CSV always, Parquet
when pyarrow is there.
"""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.files import Record
from maquette.output import atomic_write

COUNTS = ("objects", "missing", "extra")
WHAT = ("set", "scene", "method", "protocol")
# Differ from run to run; everything else is a function of the inputs.
MEASUREMENTS = ("seconds", "peak_mb", "gpu_peak_mb")


@dataclass(frozen=True)
class ResultRow:
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

    def number(self, name: str) -> float:
        """A metric or a measurement; nan when it is not there."""
        return getattr(self, name) if name in MEASUREMENTS else self.metrics.get(name, math.nan)

    def to_record(self) -> Record:
        """Flat."""
        record = {name: getattr(self, name) for name in (*WHAT, *COUNTS)}
        record |= {name: round(float(value), 6) for name, value in self.metrics.items()}
        record |= {name: round(self.number(name), 3) for name in MEASUREMENTS}
        return record | {"error": self.error}

    @classmethod
    def of(
        cls,
        what: Sequence[str],
        counts: Iterable[int],
        metrics: Mapping[str, float],
        measurements: Iterable[float],
        error: str,
    ) -> ResultRow:
        """From ``what`` (set, scene, method, protocol), COUNTS and MEASUREMENTS in their order."""
        set_name, scene, method, protocol = what
        objects, missing, extra = counts
        scored = cls(set_name, scene, method, protocol, objects, missing, extra, metrics)
        seconds, peak_mb, gpu_peak_mb = measurements
        return replace(
            scored,
            seconds=seconds,
            peak_mb=peak_mb,
            gpu_peak_mb=gpu_peak_mb,
            error=error,
        )

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> ResultRow:
        """The inverse, from the texts of a CSV file."""
        known = {*WHAT, *COUNTS, *MEASUREMENTS, "error"}
        what = [record[name] for name in WHAT]
        counts = [int(record[name]) for name in COUNTS]
        metrics = {name: number(text) for name, text in record.items() if name not in known}
        measurements = [number(record[name]) for name in MEASUREMENTS]
        return cls.of(what, counts, metrics, measurements, record["error"])


Rows = Sequence[ResultRow]


def number(text: str) -> float:
    """A cell of a CSV file; nan when it is empty."""
    return float(text) if text else math.nan


def write_table(path: Path, records: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write records of equal keys as ``path`` (.csv) and, when pyarrow is installed, beside it as
    .parquet. Returns the files.
    """
    columns = list(dict.fromkeys(key for record in records for key in record))
    complete = [{key: record.get(key) for key in columns} for record in records]
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in complete:
            writer.writerow({key: _cell(value) for key, value in record.items()})
    if importlib.util.find_spec("pyarrow") is None:
        return [path]
    import pyarrow
    import pyarrow.parquet

    beside = path.with_suffix(".parquet")
    with atomic_write(beside) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(complete), temporary)
    return [path, beside]


def _cell(value: Any) -> Any:
    """Nothing instead of nan: what does not apply is an empty cell."""
    return "" if isinstance(value, float) and math.isnan(value) else value


def read_rows(path: Path) -> list[ResultRow]:
    """Rows of a run; none when there is no file. InputError when it is not such a file."""
    try:
        return [ResultRow.from_record(record) for record in read_table(path)]
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


def column(rows: Rows, name: str) -> np.ndarray:
    """(N,) float64 of one metric or measurement; nan where a row has none."""
    return np.array([row.number(name) for row in rows], dtype=np.float64)


def measured_names(rows: Rows, names: Sequence[str]) -> list[str]:
    """Those of the metrics and measurements that some row has."""
    return [name for name in names if not np.isnan(column(rows, name)).all()]


def distinct(rows: Rows, field: str) -> list[str]:
    """The values of a field, in the order in which they come first."""
    return list(dict.fromkeys(getattr(row, field) for row in rows))


def rows_where(rows: Rows, **values: str) -> list[ResultRow]:
    """The rows whose fields have these values."""
    return [row for row in rows if all(getattr(row, k) == value for k, value in values.items())]
