"""Who works on what: laws of claims and leases, for several processes on one database. Each studio
stands for a process: it has its own connections.
"""

import secrets
import shutil
import threading
import time
from functools import partial

import pytest
from sqlalchemy.exc import SQLAlchemyError

from maquette.app import claims, jobs
from maquette.app.claims import TRIES
from maquette.app.problems import Problem
from tests.app.live import add_jobs

MOVED = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def leave_result(studio, found, template):
    """What a worker process leaves when it is done; returns its message."""
    shutil.copytree(template, claims.result_of(studio, found))
    return {"seconds": {"sample": 1.5}, "failures": [], "warnings": []}


def end_leases(studio):
    """As if all workers had been silent for long."""
    studio.store.run("UPDATE jobs SET lease = 0")


def at_once(*calls):
    """Run in threads that begin together; returns what they return."""
    gate = threading.Barrier(len(calls))
    found = [None] * len(calls)

    def run(k):
        gate.wait()
        found[k] = calls[k]()

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_jobs_are_taken_in_their_order(join):
    made = add_jobs(join(), 5)
    one, other = join(), join()
    assert [claims.claim(studio)["id"] for studio in (one, other, other, one, one)] == made
    assert claims.claim(one) is None


def test_no_two_claimers_get_the_same_job(join):
    made = add_jobs(join(), 20)

    def take_all(studio):
        taken = []
        while (found := claims.claim(studio)) is not None:
            taken.append(found["id"])
        return taken

    taken = at_once(*(partial(take_all, join()) for _ in range(4)))
    assert sorted(name for names in taken for name in names) == sorted(made)


def test_the_job_of_a_dead_worker_is_taken_exactly_once(join):
    (name,) = add_jobs(join(), 1)
    dead, *others = (join() for _ in range(5))
    first = claims.claim(dead)
    assert first["id"] == name and claims.claim(others[0]) is None
    end_leases(dead)
    found = at_once(*(partial(claims.claim, studio) for studio in others))
    taken = [job for job in found if job is not None]
    assert [(job["id"], job["tries"]) for job in taken] == [(name, 2)]
    assert not claims.renew(dead, first) and claims.renew(others[0], taken[0])


def test_a_worker_that_gives_signs_keeps_its_job(join):
    add_jobs(join(), 1)
    one, other = join(lease=2.0), join()
    found = claims.claim(one)
    end = time.monotonic() + 2.3
    while time.monotonic() < end:
        time.sleep(0.3)
        assert claims.renew(one, found) and claims.claim(other) is None


def test_who_was_late_keeps_the_job_when_nobody_took_it(join):
    add_jobs(join(), 1)
    one, other = join(), join()
    found = claims.claim(one)
    end_leases(one)
    assert claims.renew(one, found) and claims.claim(other) is None


def test_a_finished_result_is_never_overwritten(join, template):
    (name,) = add_jobs(join(), 1)
    dead, alive = join(), join()
    late = claims.claim(dead)
    end_leases(dead)
    taken = claims.claim(alive)
    message = leave_result(alive, taken, template)
    claims.complete(alive, taken, message)
    before = jobs.get(alive, name)
    files = {path: path.read_bytes() for path in alive.folders.root.rglob("*.ply")}
    assert before["state"] == "done" and files
    claims.complete(dead, late, leave_result(dead, late, template))
    label = {
        "label": 9,
        "name": "",
        "attempt": 1,
        "world_from_instance": MOVED,
    }
    claims.add_instance(dead, late, label)
    assert not claims.give_up(dead, name, "failed", "late", late["claim"])
    claims.tidy(dead, name, late["claim"])
    assert jobs.get(alive, name) == before
    assert len(alive.store.ids("scenes")) == 1
    assert {path: path.read_bytes() for path in alive.folders.root.rglob("*.ply")} == files


def test_who_lost_a_job_while_writing_its_scene_leaves_nothing(join, template, monkeypatch):
    """Taken between the last look and the end of the transaction."""
    (name,) = add_jobs(join(), 1)
    dead, alive = join(), join()
    late = claims.claim(dead)
    message = leave_result(dead, late, template)
    count = jobs.scenes.scene_files.take_over

    def slowly(*arguments):
        end_leases(alive)
        assert claims.claim(alive)["tries"] == 2
        return count(*arguments)

    monkeypatch.setattr(jobs.scenes.scene_files, "take_over", slowly)
    with pytest.raises(Problem, match="somebody else"):
        claims.complete(dead, late, message)
    assert jobs.get(alive, name)["state"] == "running" and alive.store.ids("scenes") == []
    assert not any((alive.folders.root / "scenes").iterdir())


def test_a_cancelled_job_is_not_renewed(join):
    (name,) = add_jobs(join(), 1)
    one = join()
    found = claims.claim(one)
    assert claims.stop(join(), name) and not claims.renew(one, found)


def test_a_job_that_ends_its_workers_is_given_up(join):
    (name,) = add_jobs(join(), 1)
    studio = join()
    for number in range(1, TRIES + 1):
        assert claims.claim(studio)["tries"] == number
        end_leases(studio)
    assert claims.claim(studio) is None
    job = jobs.get(studio, name)
    assert job["state"] == "failed" and f"lost {TRIES} times" in job["error"]


def test_progress_is_seen_by_others(join):
    add_jobs(join(), 1)
    one, other = join(), join()
    found = claims.claim(one)
    said = {"stage": "objects", "share": 0.5, "instance": None, "attempt": 1}
    claims.report(one, found, said)
    assert claims.renew(one, found)
    noted = other.store.only("SELECT progress FROM jobs WHERE id = :id", id=found["id"])
    assert noted["progress"]["share"] == 0.5 and noted["progress"]["overall"] > 0.5


def test_company_asks_for_the_same_and_no_two_get_the_same(join):
    first = join()
    made = add_jobs(first, 12)
    for number, name in enumerate(made):
        options = {"method": "iscene", "steps": 1 + number % 2, "seed": number}
        first.store.update("jobs", name, options=options)

    def take_all(studio):
        batches = []
        while (found := claims.claim(studio)) is not None:
            batches.append([found, *claims.company(studio, found, 3)])
        return batches

    batches = [
        batch
        for taken in at_once(*(partial(take_all, join()) for _ in range(3)))
        for batch in taken
    ]
    names = [job["id"] for batch in batches for job in batch]
    assert sorted(names) == sorted(made)
    assert all(len({job["options"]["steps"] for job in batch}) == 1 for batch in batches)
    assert max(map(len, batches)) > 1


def test_a_job_that_is_given_back_keeps_its_place_and_goes_alone(join):
    made = add_jobs(join(), 3)
    one, other = join(), join()
    found = claims.claim(one)
    claims.give_back(one, found)
    assert jobs.get(other, made[0])["position"] == 0
    assert not claims.renew(one, found)
    again = claims.claim(other)
    assert (again["id"], again["tries"]) == (made[0], 2)
    assert claims.company(other, again, 8) == []
    claims.give_back(one, found)  # it has lost it since
    assert jobs.get(other, made[0])["state"] == "running"
    second = claims.claim(one)
    assert [job["id"] for job in claims.company(one, second, 8)] == made[2:]


@pytest.mark.tools
def test_nothing_is_lost_or_made_twice_when_postgresql_is_killed(tmp_path, postgres, template):
    from maquette.serve.settings import ServeSettings
    from maquette.serve.shared import open_shared

    settings = ServeSettings(tmp_path / "data", database=postgres.create(secrets.token_hex(4)))
    first = open_shared(settings)
    made = add_jobs(first, 30)
    over = threading.Event()

    def work(studio):
        """A worker that loses its job with the database, and comes again."""
        errors = 0
        while not over.is_set():
            try:
                found = claims.claim(studio)
                if found is None:
                    time.sleep(0.05)
                    continue
                time.sleep(0.05)
                claims.complete(studio, found, leave_result(studio, found, template))
            except (SQLAlchemyError, Problem):
                errors += 1
                time.sleep(0.1)
        return errors

    def kill_and_wait():
        for _ in range(3):
            time.sleep(0.7)
            postgres.stop("immediate")
            time.sleep(0.3)
            postgres.start()
        end = time.monotonic() + 120
        while time.monotonic() < end and not over.is_set():
            if not first.store.all("SELECT id FROM jobs WHERE state <> 'done'"):
                over.set()
            time.sleep(0.1)
        over.set()

    studios = [open_shared(settings, lease=1.0) for _ in range(3)]
    errors = at_once(*(lambda s=s: work(s) for s in studios), kill_and_wait)[:3]
    rows = first.store.all("SELECT id, state, scene FROM jobs")
    assert {row["id"] for row in rows} == set(made) and {row["state"] for row in rows} == {"done"}
    scenes = {row["scene"] for row in rows}
    assert len(scenes) == len(made) and scenes == set(first.store.ids("scenes"))
    folders = first.folders.root / "scenes"
    assert all((folders / scene / "files").is_dir() for scene in scenes)
    counted = first.store.only("SELECT number FROM tallies WHERE name = 'jobs done'")
    assert counted["number"] == len(made) and sum(errors) > 0
    for studio in (first, *studios):
        studio.close()
