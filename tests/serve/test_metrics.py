"""Metrics that Prometheus' own parser reads, and that only grow where they should."""

import pytest

from maquette.app import claims
from maquette.serve.metrics import text_of
from tests.app.live import add_jobs
from tests.serve.test_claims import leave_result


def parsed(text):
    """(name, labels) -> value, by an independent parser."""
    parser = pytest.importorskip("prometheus_client.parser")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_they_say_what_waits_and_what_has_ended(join, template):
    studio = join()
    add_jobs(studio, 4)
    done, failed, _ = (claims.claim(studio) for _ in range(3))
    claims.complete(studio, done, leave_result(studio, done, template))
    claims.give_up(studio, failed["id"], "failed", "x", failed["claim"])
    expected = {
        ("maquette_jobs", "queued"): 1,
        ("maquette_jobs", "running"): 1,
        ("maquette_jobs_finished_total", "done"): 1,
        ("maquette_jobs_finished_total", "failed"): 1,
        ("maquette_jobs_finished_total", "cancelled"): 0,
        ("maquette_jobs_finished_total", "interrupted"): 0,
        ("maquette_workers", "busy"): 2,
        ("maquette_stage_seconds_total", "sample"): 1.5,
        ("maquette_stages_total", "sample"): 1,
    }
    assert parsed(text_of(studio, ["busy", "busy"])) == expected
    claims.delete(studio, done["id"])
    assert parsed(text_of(studio, ["busy", "busy"])) == expected
