"""What one process says all others hear, in order."""

import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from maquette.app import claims, jobs
from maquette.app.events import News
from tests.app.live import add_jobs


@pytest.fixture
def follow(monkeypatch):
    """Let a studio follow; returns what it hears."""
    monkeypatch.setattr("maquette.serve.news.INTERVAL", 0.02)
    heard = {}
    monkeypatch.setattr(
        News, "publish", lambda self, name, data: heard[id(self)].append((name, data))
    )
    threads = []

    def begin(studio):
        heard[id(studio.news)] = []
        threads.append((studio, threading.Thread(target=studio.news.follow)))
        threads[-1][1].start()
        return heard[id(studio.news)]

    yield begin
    for studio, thread in threads:
        studio.news.close()
        thread.join()


def until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_followers_hear_all_news_in_order(join, follow):
    speakers = [join(), join()]
    heard = [follow(join()), follow(join())]
    for number in range(10):
        speakers[number % 2].news.publish("photo", {"id": "x", "version": number})
    for one in heard:
        until(lambda one=one: len(one) == 10)
        assert one == [("photo", {"id": "x", "version": number}) for number in range(10)]


def test_progress_is_heard_when_it_changes_and_forgotten_at_the_end(join, follow):
    add_jobs(join(), 1)
    maker, gate = join(), join()
    heard = follow(gate)
    found = claims.claim(maker)
    said = {"stage": "objects", "share": 0.5, "instance": None, "attempt": 1}
    claims.report(maker, found, said)
    claims.renew(maker, found)
    until(lambda: any(name == "progress" for name, _ in heard))
    claims.renew(maker, found)
    time.sleep(0.1)
    told = [data for name, data in heard if name == "progress"]
    assert [data["share"] for data in told] == [0.5]
    assert jobs.get(gate, found["id"])["progress"]["share"] == 0.5
    claims.give_up(maker, found["id"], "failed", "x", found["claim"])
    until(lambda: found["id"] not in gate.progress)


def test_without_a_database_nothing_is_raised_and_listeners_begin_again(join, follow, monkeypatch):
    studio = join()
    interrupted = []
    monkeypatch.setattr(studio.news, "interrupt", lambda: interrupted.append(1))
    heard = follow(studio)
    run, seen = studio.store.run, studio.store.all

    asked = []

    def gone(statement, **_):
        asked.append(statement)
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(studio.store, "run", gone)
    monkeypatch.setattr(studio.store, "all", gone)
    studio.news.publish("photo", {"id": "lost"})
    until(lambda: any(statement.startswith("SELECT") for statement in asked))
    monkeypatch.setattr(studio.store, "run", run)
    monkeypatch.setattr(studio.store, "all", seen)
    until(lambda: interrupted)
    studio.news.publish("photo", {"id": "kept"})
    until(lambda: heard == [("photo", {"id": "kept"})])
    assert {"id": "lost"} not in [data for _, data in heard]
