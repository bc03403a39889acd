"""The database: whole transactions or nothing, from any thread."""

import threading

import pytest

from maquette.app.store import Store, now
from maquette.errors import InputError


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "s.sqlite3")
    yield opened
    opened.close()


def add(store, identifier):
    store.insert(
        "photos",
        id=identifier,
        name="n",
        width=1,
        height=2,
        alpha=0,
        notes=["a", {"b": None}],
        created=now(),
        changed=now(),
    )


def test_rows_come_back_as_they_went_in(store):
    add(store, "a")
    row = store.one("SELECT * FROM photos")
    assert (row["id"], row["width"], row["notes"]) == ("a", 1, ["a", {"b": None}])
    assert (
        store.update("photos", "a", name="m", notes=[]) == 1
        and store.update("photos", "zz", name="m") == 0
    )
    assert store.one("SELECT name, notes FROM photos") == {"name": "m", "notes": []}
    assert store.one("SELECT * FROM photos WHERE id = :id", id="b") is None


def test_a_transaction_that_fails_leaves_nothing_however_deep(store):
    with pytest.raises(ZeroDivisionError), store.transaction():
        add(store, "a")
        with store.transaction():
            add(store, "b")
        raise ZeroDivisionError
    assert store.all("SELECT * FROM photos") == []
    with store.transaction():
        add(store, "c")
    assert len(store.all("SELECT * FROM photos")) == 1


def test_threads_take_turns(store):
    def work(k):
        for i in range(20):
            with store.transaction():
                add(store, f"{k}-{i}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.one("SELECT count(*) AS n FROM photos")["n"] == 80


def test_what_was_written_is_there_after_opening_again(tmp_path):
    first = Store(tmp_path / "s.sqlite3")
    add(first, "a")
    with pytest.raises(InputError, match="another maquette app"):
        Store(tmp_path / "s.sqlite3")
    first.close()
    second = Store(tmp_path / "s.sqlite3")
    assert second.one("SELECT id FROM photos") == {"id": "a"}
    second.run("PRAGMA user_version=99")
    second.close()
    with pytest.raises(InputError, match="newer"):
        Store(tmp_path / "s.sqlite3")


def test_times_sort_as_text():
    times = [now() for _ in range(50)]
    assert times == sorted(times) and all(time.endswith("Z") and len(time) == 24 for time in times)
