"""What Prometheus asks for (text format 0.0.4): how much waits, what has ended, how long stages
take. All of it is read from the database, so every replica says the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response

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
    rows = studio.store.all("SELECT state, count(*) AS n FROM jobs GROUP BY state")
    count = {row["state"]: row["n"] for row in rows}
    tallies = {row["name"]: row for row in studio.store.all("SELECT * FROM tallies")}
    ended = {state: tallies.get(f"jobs {state}", {}).get("number", 0) for state in FINAL}
    lines = [
        *_metric("maquette_jobs", "gauge", "Jobs that wait and run."),
        *(f'maquette_jobs{{state="{state}"}} {count.get(state, 0)}' for state in OPEN),
        *_metric("maquette_jobs_finished_total", "counter", "Jobs that have ended."),
        *(f'maquette_jobs_finished_total{{state="{state}"}} {n}' for state, n in ended.items()),
        *_metric("maquette_workers", "gauge", "Workers that give signs."),
        *(f'maquette_workers{{state="{s}"}} {workers.count(s)}' for s in sorted(set(workers))),
        *_metric("maquette_stage_seconds", "summary", "Seconds of a stage of a job."),
    ]
    for name, row in sorted(tallies.items()):
        kind, _, stage = name.partition(" ")
        if kind == "seconds":
            lines.append(f'maquette_stage_seconds_sum{{stage="{stage}"}} {row["total"]}')
            lines.append(f'maquette_stage_seconds_count{{stage="{stage}"}} {row["number"]}')
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, about: str) -> Iterable[str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"
