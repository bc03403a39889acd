"""Undo and redo are a walk along versions; a number always means the same."""

import random

import pytest

from maquette.app.history import History
from maquette.app.problems import Problem
from maquette.app.settings import Limits, ServerSettings
from maquette.app.studio import Studio


@pytest.fixture
def studio(tmp_path):
    opened = Studio.open(ServerSettings(tmp_path, limits=Limits(versions=3)))
    yield opened
    opened.close()


@pytest.fixture
def history(studio):
    """Of a scene that has a row, as the app makes it."""
    studio.store.insert("scenes", id="0123456789abcdef", name="x")
    made = History(studio, "scenes", "0123456789abcdef")
    made.start({"n": 0})
    return made


def test_it_does_what_a_list_and_a_pointer_do(tmp_path):
    """An independent implementation, driven at random."""
    studio = Studio.open(ServerSettings(tmp_path))
    history = History(studio, "scenes", "x")
    history.start({"n": 0})
    chance = random.Random(0)
    states = [0]
    at = 0
    seen = {1: 0}
    for n in range(1, 120):
        version = history.current()
        what = chance.choice(["edit", "edit", "undo", "redo"])
        if what == "edit":
            history.append(version.number, f"e{n}", {"n": n}, [n])
            states = [*states[: at + 1], n]
            at = at + 1
        elif (what == "undo" and at == 0) or (what == "redo" and at == len(states) - 1):
            with pytest.raises(Problem, match="nothing"):
                history.step(version.number, back=what == "undo")
        else:
            history.step(version.number, back=what == "undo")
            at += 1 if what == "redo" else -1
        new = history.current()
        assert new.document == {"n": states[at]}
        summary = new.summary()
        assert (summary["can_undo"], summary["can_redo"]) == (at > 0, at < len(states) - 1)
        assert (new.undo is None, new.redo is None) == (at == 0, at == len(states) - 1)
        assert seen.setdefault(new.number, states[at]) == states[at]
    assert [d["n"] for d in history.documents()] == states
    studio.close()


def test_old_versions_are_refused_and_the_oldest_go(history):
    history.append(1, "a", {"n": 1}, [])
    for outdated in (
        lambda: history.append(1, "b", {"n": 2}, []),
        lambda: history.newest(1),
        lambda: history.step(1, back=True),
    ):
        with pytest.raises(Problem) as caught:
            outdated()
        assert caught.value.status == 409
    assert history.newest(2).document == {"n": 1}
    assert not history.append(2, "b", {"n": 2}, [4, 5])
    assert history.append(3, "c", {"n": 3}, [])
    assert [d["n"] for d in history.documents()] == [1, 2, 3]
    assert history.current(3).changed == (4, 5)
    with pytest.raises(Problem) as caught:
        history.current(1)
    assert caught.value.status == 404


def test_histories_do_not_know_each_other(studio, history):
    other = History(studio, "scenes", "y")
    other.start({"n": 7})
    other.append(1, "a", {"n": 8}, [])
    assert history.current().document == {"n": 0}
    studio.store.forget("scenes", "y")
    with pytest.raises(Problem):
        other.current()
    assert history.current().number == 1


def test_a_conflict_is_answered_with_the_newest_state(history):
    with pytest.raises(Problem) as caught, history.editing(lambda: {"version": 1}):
        history.newest(9)
    assert caught.value.body()["error"]["current"] == {"version": 1}


def test_what_is_gone_is_not_edited(studio):
    with (
        pytest.raises(Problem, match="no such scene"),
        History(studio, "scenes", "0" * 16).editing(dict),
    ):
        pass


def test_a_change_is_noted_and_told(studio, history, monkeypatch):
    told = []
    monkeypatch.setattr(studio.news, "publish", lambda *news: told.append(news))
    history.changed()
    assert told == [("scene", {"id": "0123456789abcdef", "version": 1})]
    assert studio.row("scenes", "0123456789abcdef")["changed"]
