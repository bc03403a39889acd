"""Everything of one database comes to the other, or nothing does; the folder belongs to one."""

import pytest
from sqlalchemy import text

from maquette.app import claims, jobs
from maquette.app.databases import sqlite
from maquette.app.ownership import DATABASE
from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.serve import move as module
from maquette.serve.move import LEFT, copy_all, move
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import HOME, open_shared, tidy_up
from tests.app.live import add_jobs

PHOTO, SCENE = "0" * 16, "1" * 16
TABLES = ("photos", "jobs", "scenes", "histories", "versions", "news", "tallies")


def rows(database):
    """All rows of all tables, in an order of their own."""
    found = {}
    with database.engine.begin() as connection:
        for table in TABLES:
            told = connection.execute(text(f"SELECT * FROM {table}")).mappings()
            found[table] = sorted((sorted(row.items(), key=str) for row in told), key=str)
    return found


def fill(studio):
    """Something of every kind; returns the ids of jobs."""
    store = studio.store
    names = add_jobs(studio, 3)
    store.insert("photos", id=PHOTO, name="a \N{SNOWMAN} 'photo'", width=3, height=2, notes=["n"])
    store.insert("scenes", id=SCENE, name="scene", job=names[0], photo=PHOTO)
    store.insert("histories", owner=SCENE, head=2, last=3)
    for number in range(3):
        document = {"number": number, "x": 0.1}
        store.insert("versions", owner=SCENE, number=number, changed=0.5, document=document)
    store.run("INSERT INTO tallies VALUES ('jobs done', 4, 1.5)")
    claims.give_up(studio, claims.claim(studio)["id"], "failed", "why")
    store.run(f"UPDATE jobs SET ordinal = ordinal + 1000 WHERE id = '{names[2]}'")
    return names


@pytest.fixture
def filled(tmp_path):
    """The data folder of an app that has been stopped, and its jobs."""
    studio = Studio.open(ServerSettings(tmp_path / "data"))
    names = fill(studio)
    studio.close()
    return tmp_path / "data", names


def test_all_tables_are_copied_and_numbers_go_on(filled, tmp_path):
    data, _ = filled
    source = sqlite(data / DATABASE)
    target = sqlite(tmp_path / "other")
    before = rows(source)
    assert copy_all(source, target, ["home"]) == sum(map(len, before.values()))
    assert rows(target) == rows(source) == before
    with pytest.raises(InputError, match="not empty"):
        copy_all(source, target, [])
    with target.engine.begin() as connection:
        connection.execute(text("INSERT INTO jobs (id) VALUES ('new')"))
        newest = connection.execute(text("SELECT id FROM jobs ORDER BY ordinal DESC LIMIT 1"))
        assert newest.scalar_one() == "new"
        assert connection.execute(text("SELECT id FROM homes")).scalar_one() == "home"
    for database in (source, target):
        database.engine.dispose()


def test_a_copy_that_fails_leaves_nothing(filled, tmp_path, monkeypatch):
    data, _ = filled
    copied = module._copied

    def failing(table, old, new):
        if table.name == "versions":
            raise InputError("the wire was cut")
        return copied(table, old, new)

    monkeypatch.setattr(module, "_copied", failing)
    target = sqlite(tmp_path / "other")
    with pytest.raises(InputError, match="wire"):
        copy_all(sqlite(data / DATABASE), target, [])
    assert not any(rows(target).values())
    target.engine.dispose()


def test_a_database_with_servers_is_left_alone(filled, tmp_path):
    data, _ = filled
    source = sqlite(data / DATABASE)
    with source.engine.begin() as connection:
        values = f"('w', 'ready', '{{}}', {source.clock})"
        connection.execute(text(f"INSERT INTO workers VALUES {values}"))
    with pytest.raises(InputError, match="stop them first"):
        copy_all(source, sqlite(tmp_path / "other"), [])
    source.engine.dispose()


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("sqlite", "sqlite", "expected sqlite"),
        ("postgresql://a/b", "postgresql://a/c", "expected sqlite"),
        ("postgresql://a/b", "sqlite", "there is already"),
        ("sqlite", "mysql://a/b", "of an unknown kind"),
        ("sqlite", "postgresql://127.0.0.1:1/b", "cannot be used"),
    ],
)
def test_what_cannot_be_moved_stays(filled, source, target, said):
    if said == "cannot be used":  # it is asked
        pytest.importorskip("psycopg")
    data, _ = filled
    before = (data / DATABASE).read_bytes()
    with pytest.raises(InputError, match=said) as caught:
        move(data, source, target)
    assert len(str(caught.value).splitlines()) == 1
    assert (data / DATABASE).read_bytes() == before and not (data / HOME).exists()


def test_a_folder_without_a_database_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no"):
        move(tmp_path, "sqlite", "postgresql://a/b")


def test_a_job_that_a_killed_app_had_begun_is_taken(filled):
    data, names = filled
    app = Studio.open(ServerSettings(data))
    assert claims.claim(app)["id"] == names[1]
    app.close()
    studio = open_shared(ServeSettings(data))
    tidy_up(studio)
    assert claims.claim(studio)["id"] == names[1]
    studio.close()


@pytest.mark.tools
def test_there_and_back(filled, postgres):
    data, names = filled
    before = sqlite(data / DATABASE)
    told = rows(before)
    before.engine.dispose()
    address = postgres.create("moved")
    assert move(data, "sqlite", address) == sum(map(len, told.values()))
    assert not (data / DATABASE).exists() and (data / LEFT).exists()
    studio = open_shared(ServeSettings(data, database=address))
    assert rows(studio.store.database) == told
    assert claims.claim(studio)["id"] == names[1]
    assert jobs.get(studio, add_jobs(studio, 1)[0])["position"] == 1  # its number is new
    studio.close()
    with pytest.raises(InputError, match="there is no"):
        move(data, "sqlite", address)
    move(data, address, "sqlite")
    back = Studio.open(ServerSettings(data))
    assert len(jobs.every(back)) == 4 and rows(back.store.database)["scenes"] == told["scenes"]
    back.close()
    with pytest.raises(InputError, match="is not the folder of this database"):
        open_shared(ServeSettings(data, database=address))
