"""A database and a folder that belong together, or a refusal in one line."""

import dataclasses
import time

import pytest
from sqlalchemy import create_engine, text

from maquette.app.databases import postgresql
from maquette.app.ownership import DATABASE
from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
from maquette.errors import InputError
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import HOME, open_shared, tidy_up

OTHERS = [
    ("mysql://me:secret@host/db", "unknown kind"),
    ("sqlite:///x.db", "leave --database out"),
    ("not an address", "is no address"),
]


@pytest.mark.parametrize(("address", "said"), OTHERS)
def test_an_address_of_another_kind_is_refused(tmp_path, address, said):
    with pytest.raises(InputError, match=said) as caught:
        open_shared(ServeSettings(tmp_path / "data", database=address))
    assert "secret" not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_without_its_driver_the_line_to_install_is_said(monkeypatch):
    def no_driver(*_, **__):
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr("maquette.app.databases.create_engine", no_driver)
    with pytest.raises(InputError, match=r"pip install 'maquette\[postgres\]'"):
        postgresql("postgresql://host/db")


def test_a_server_that_does_not_answer_is_one_line(tmp_path):
    pytest.importorskip("psycopg")
    address = "postgresql://me:secret@127.0.0.1:1/db"
    with pytest.raises(InputError, match="cannot be used") as caught:
        open_shared(ServeSettings(tmp_path / "data", database=address))
    assert "secret" not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_the_app_and_a_cluster_are_not_on_one_folder_at_a_time(tmp_path):
    shared = open_shared(ServeSettings(tmp_path))
    with pytest.raises(InputError, match="another maquette app"):
        Studio.open(ServerSettings(tmp_path))
    shared.close()
    alone = Studio.open(ServerSettings(tmp_path))  # and one after the other on the same
    start = time.monotonic()
    with pytest.raises(InputError, match="another maquette app"):
        open_shared(ServeSettings(tmp_path))
    assert time.monotonic() - start < 15
    alone.close()
    open_shared(ServeSettings(tmp_path)).close()


def test_leftovers_are_put_aside_unless_others_work(join):
    studio = join()
    with studio.folders.new("photos") as folder:
        pass
    sign = f"INSERT INTO workers (id, seen) VALUES ('a', {studio.store.database.clock})"
    studio.store.run(sign)
    tidy_up(studio)
    assert folder.is_dir()
    studio.store.run("DELETE FROM workers")
    tidy_up(studio)
    assert not folder.is_dir() and any((studio.folders.root / "trash").iterdir())


@pytest.mark.tools
def test_a_folder_of_another_database_is_refused(tmp_path, postgres):
    one, other = postgres.create("one"), postgres.create("other")
    home = ServeSettings(tmp_path / "data", database=one)
    open_shared(home).close()
    for wrong in (dataclasses.replace(home, database=other), ServeSettings(tmp_path / "data")):
        with pytest.raises(InputError) as caught:
            open_shared(wrong)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="not the folder of this database"):
        open_shared(dataclasses.replace(home, data=tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()
    open_shared(home).close()
    assert (tmp_path / "data" / HOME).is_file() and not (tmp_path / "data" / DATABASE).exists()


@pytest.mark.tools
def test_a_database_of_another_program_or_a_newer_maquette_is_refused_and_stays(tmp_path, postgres):
    address = postgres.create("theirs")
    engine = create_engine(address.replace("postgresql", "postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE photos (id INTEGER)"))
    with pytest.raises(InputError, match="not a database of maquette"):
        open_shared(ServeSettings(tmp_path / "data", database=address))
    names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with engine.begin() as connection:
        assert connection.execute(text(names)).scalars().all() == ["photos"]
        connection.execute(text("DROP TABLE photos"))
    open_shared(ServeSettings(tmp_path / "data", database=address)).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE maquette_version SET version_num = '99'"))
    with pytest.raises(InputError, match=r"newer maquette \(version 99"):
        open_shared(ServeSettings(tmp_path / "data", database=address))
    engine.dispose()
