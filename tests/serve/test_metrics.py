"""Metrics that Prometheus' own parser reads, and that only grow where they should."""

import pytest

from maquette.app import jobs
from maquette.serve.metrics import text_of
from tests.serve.test_claims import add_jobs, leave_result, template  # noqa: F401


def parsed(text):
    """(name, labels) -> value, by an independent parser."""
    parser = pytest.importorskip("prometheus_client.parser")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_they_say_what_waits_and_what_has_ended(join, template):  # noqa: F811
    studio = join()
    add_jobs(studio, 4)
    done, failed, _ = (jobs.claim(studio) for _ in range(3))
    jobs.complete(studio, done, leave_result(studio, done, template))
    jobs.give_up(studio, failed["id"], "failed", "x", failed["claim"])
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
    jobs.delete(studio, done["id"])
    assert parsed(text_of(studio, ["busy", "busy"])) == expected
