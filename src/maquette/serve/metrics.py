"""What Prometheus asks for (text format 0.0.4): how much waits, what has ended, how long stages
take. All of it is read from the database, so every replica says the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Response

from maquette.app import claims
from maquette.app.jobs import FINAL, OPEN
from maquette.app.routes.common import CrewHere, StudioHere
from maquette.app.studio import Studio

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["server"])


@router.get("/metrics", response_class=Response)
def metrics(studio: StudioHere, crew: CrewHere) -> Response:
    """Metrics for Prometheus; with a token as all addresses."""
    return Response(text_of(studio, crew.states()), media_type=MEDIA_TYPE)


def text_of(studio: Studio, workers: list[str]) -> str:
    """The metrics; ``workers``: what each of them does."""
    return "".join(metric.text() for metric in _found(studio, workers))


def _found(studio: Studio, workers: list[str]) -> Iterator[Metric]:
    rows = studio.store.all("SELECT state, count(*) AS n FROM jobs GROUP BY state")
    now = {state: 0 for state in OPEN} | {row["state"]: row["n"] for row in rows}
    tallies = studio.store.all("SELECT * FROM tallies")
    numbers = {row["name"]: row["number"] for row in tallies}
    stages = {
        row["name"].removeprefix(claims.STAGE): row
        for row in tallies
        if row["name"].startswith(claims.STAGE)
    }
    yield Metric("jobs", "gauge", "state", {state: now[state] for state in OPEN})
    yield Metric("workers", "gauge", "state", Counter(workers))
    ended = {state: numbers.get(claims.JOBS + state, 0) for state in FINAL}
    yield Metric("jobs_finished_total", "counter", "state", ended)
    for column, name in (("number", "stages_total"), ("total", "stage_seconds_total")):
        each = {stage: row[column] for stage, row in stages.items()}
        yield Metric(name, "counter", "stage", each)


@dataclass(frozen=True)
class Metric:
    """Numbers of one kind, told apart by one label."""

    name: str
    kind: str
    label: str
    values: Mapping[str, float]

    def text(self) -> str:
        """The lines of the metric."""
        name = f"maquette_{self.name}"
        lines = [f"# TYPE {name} {self.kind}\n"]
        for key, value in self.values.items():
            lines.append(f'{name}{{{self.label}="{key}"}} {value}\n')
        return "".join(lines)
