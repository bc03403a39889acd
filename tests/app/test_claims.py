"""A job is claimed once and ends once; several processes are in serve/test_claims.py."""

import pytest

from maquette.app import claims, jobs
from maquette.app.problems import Problem
from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
from tests.app.live import add_jobs


@pytest.fixture
def studio(tmp_path):
    opened = Studio.open(ServerSettings(tmp_path / "data"))
    yield opened
    opened.close()


def test_who_waited_longest_comes_first_and_nobody_twice(studio):
    names = add_jobs(studio, 3)
    taken = [claims.claim(studio) for _ in range(4)]
    assert [found["id"] for found in taken[:3]] == names and taken[3] is None
    assert len({found["claim"] for found in taken[:3]}) == 3


def test_a_job_ends_once(studio):
    (name,) = add_jobs(studio, 1)
    found = claims.claim(studio)
    with pytest.raises(Problem, match="cancel it first"):
        claims.delete(studio, name)
    assert claims.stop(studio, name) and not claims.stop(studio, name)
    assert not claims.give_up(studio, name, "failed", "late", found["claim"])
    claims.complete(studio, found, {"seconds": {}, "failures": [], "warnings": []})
    assert jobs.get(studio, name)["state"] == "cancelled"
    claims.delete(studio, name)
    assert studio.store.ids("jobs") == []


def test_progress_never_goes_back(studio):
    add_jobs(studio, 1)
    found = claims.claim(studio)
    seen = []
    for stage, share in (("perceive", 1.0), ("objects", 0.5), ("scene", 0.1), ("write", 1.0)):
        said = {"stage": stage, "share": share, "instance": None, "attempt": 1}
        claims.report(studio, found, said)
        seen.append(jobs.get(studio, found["id"])["progress"]["overall"])
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_after_a_restart_what_ran_is_interrupted_and_what_waited_waits(studio):
    ran, waits = add_jobs(studio, 2)
    claims.claim(studio)
    claims.recover(studio)
    assert [jobs.get(studio, name)["state"] for name in (ran, waits)] == ["interrupted", "queued"]
