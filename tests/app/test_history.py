"""Undo and redo are a walk along versions; a number always means the same."""

import random

import pytest

from maquette.app import history
from maquette.app.problems import Problem
from maquette.app.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "s.sqlite3")
    history.start(opened, "x", {"n": 0})
    yield opened
    opened.close()


def test_it_does_what_a_list_and_a_pointer_do(store):
    """An independent implementation, driven at random."""
    chance = random.Random(0)
    states = [0]
    at = 0
    seen = {1: 0}
    for n in range(1, 120):
        version = history.current(store, "x")
        what = chance.choice(["edit", "edit", "undo", "redo"])
        if what == "edit":
            history.append(store, "x", version.number, f"e{n}", {"n": n}, [n], keep=1000)
            states = [*states[: at + 1], n]
            at = at + 1
        elif (what == "undo" and at == 0) or (what == "redo" and at == len(states) - 1):
            with pytest.raises(Problem, match="nothing"):
                history.step(store, "x", version.number, back=what == "undo")
        else:
            history.step(store, "x", version.number, back=what == "undo")
            at += 1 if what == "redo" else -1
        new = history.current(store, "x")
        assert (
            new.document == {"n": states[at]}
            and (new.undo is None) == (at == 0)
            and (new.redo is None) == (at == len(states) - 1)
        )
        assert seen.setdefault(new.number, states[at]) == states[at]
    assert [d["n"] for d in history.documents(store, "x")] == states


def test_old_versions_are_refused_and_the_oldest_go(store):
    history.append(store, "x", 1, "a", {"n": 1}, [], keep=3)
    with pytest.raises(Problem) as caught:
        history.append(store, "x", 1, "b", {"n": 2}, [], keep=3)
    assert caught.value.status == 409
    assert not history.append(store, "x", 2, "b", {"n": 2}, [4, 5], keep=3)
    assert history.append(store, "x", 3, "c", {"n": 3}, [], keep=3)
    assert [d["n"] for d in history.documents(store, "x")] == [1, 2, 3]
    assert history.current(store, "x", 3).changed == (4, 5)
    with pytest.raises(Problem) as caught:
        history.current(store, "x", 1)
    assert caught.value.status == 404


def test_histories_do_not_know_each_other(store):
    history.start(store, "y", {"n": 7})
    history.append(store, "y", 1, "a", {"n": 8}, [], keep=9)
    assert history.current(store, "x").document == {"n": 0}
    history.forget(store, "y")
    with pytest.raises(Problem):
        history.current(store, "y")
    assert history.current(store, "x").number == 1
