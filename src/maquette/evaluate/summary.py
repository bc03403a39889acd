"""Many scene scores -> means with bootstrap confidence intervals, as plain data for tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.score import SceneScore
from maquette.types import JsonObject

# Every number of a SceneScore but its own run time: a metric that is added there is averaged,
# stored and shown.
METRICS = tuple(
    f.name
    for f in dataclasses.fields(SceneScore)
    if f.type in ("float", "float | None") and f.name != "seconds"
)
SEEN = ("silhouette", "l_align")  # of visibility.py, beside them: where the true camera is known


def summarise(
    scores: Sequence[SceneScore],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> JsonObject:
    """Mean over scenes of every metric with a percentile bootstrap interval (scenes are resampled,
    objects are not independent).

    Returns {"protocol", "scenes", "objects", "misses", "extra", "confidence", "metrics": {name:
    {"mean", "low", "high"}}}. A scene in which a method failed altogether belongs in ``scores`` as
    ``score_scene({}, truth)``. Raises InputError for no scores or scores of several protocols.
    """
    protocols = sorted({score.protocol for score in scores})
    if len(protocols) != 1:
        raise InputError(
            f"cannot average {len(scores)} scores under protocols {protocols}; "
            "give at least one, all of one protocol"
        )
    rows = [[getattr(score, metric) for metric in METRICS] for score in scores]
    table = np.array(rows, dtype=np.float64)  # None becomes nan
    means = means_of(table)
    low, high = bootstrap_interval(
        table,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    metrics = {}
    for k, metric in enumerate(METRICS):
        if not np.isnan(means[k]):  # measured under this protocol
            ends = {"low": float(low[k]), "high": float(high[k])}
            metrics[metric] = {"mean": float(means[k])} | ends
    summary: JsonObject = {"protocol": protocols[0], "scenes": len(scores)}
    summary["objects"] = sum(len(score.objects) for score in scores)
    summary["misses"] = sum(len(score.missing) for score in scores)
    summary["extra"] = sum(len(score.extra) for score in scores)
    return summary | {"confidence": confidence, "metrics": metrics}


def means_of(table: np.ndarray) -> np.ndarray:
    """(columns,) means of the rows that have a value; nan where none has."""
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        return np.where(known, table, 0.0).sum(0) / known.sum(0)


def bootstrap_interval(
    table: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the column means of ``table`` (rows, columns) -> two (columns,)
    arrays; rows are resampled.

    nan cells are left out of their column's means; a column without any value gives nan. Two tables
    of the same rows are resampled alike, so the interval of a difference of methods is that of
    ``table_a - table_b`` (a paired comparison).
    """
    known = ~np.isnan(table)
    shares = _shares(len(table), resamples, seed)
    with np.errstate(invalid="ignore"):
        means = (shares @ np.where(known, table, 0.0)) / (shares @ known)
    tail = 50.0 * (1.0 - confidence)
    low = np.full(table.shape[1], np.nan)
    high = np.full(table.shape[1], np.nan)
    some = known.any(0)
    ends = np.nanpercentile(means[:, some], [tail, 100.0 - tail], axis=0)
    low[some], high[some] = ends
    return low, high


@lru_cache(maxsize=16)  # every cell of a page asks for the same
def _shares(rows: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, rows) how much of each resample is each row."""
    chosen = np.random.default_rng(seed).integers(0, rows, (resamples, rows))
    return np.stack([np.bincount(row, minlength=rows) for row in chosen]) / rows
